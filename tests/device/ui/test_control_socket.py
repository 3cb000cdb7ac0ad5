"""The control socket: commands in, the state out; who reads too little is closed."""

import json
import selectors
import socket
import stat
from types import SimpleNamespace

import pytest

from device.errors import OutputError
from device.playback.evening.state import EveningState
from device.switches.bits import format_bits
from device.switches.commands import CommandQueue, FlipSwitch, Keep
from device.system.threads import THREADS
from device.ui import control_socket
from device.ui.control_client import ControlClient
from device.ui.control_socket import MOST_CLIENTS, ControlSocket
from tests.support.instrument_state import snapshot
from tests.support.waiting import wait_until

FIGURES = {"strength": [0.5, 1.0], "recognised": [1.0, 0.9], "coherence": [1, 1]}


def card(**provenance):
    return SimpleNamespace(
        title="Rain", switch_labels=("warmth", "d" * 200), n_switches=2, tempo_bpm=80.0,
        sample_rate=22050, scores={}, provenance=provenance,
    )  # fmt: skip


@pytest.fixture
def path(tmp_path):
    return tmp_path / "control.sock"


@pytest.fixture
def queue():
    return CommandQueue()


@pytest.fixture
def serve(path, queue, tmp_path):
    opened = []

    def serve(provenance=None, **changes):
        options = {
            "card": lambda: card(**(provenance or {"panel": FIGURES})),
            "origin": lambda digest: f"origin of {digest[:2]}",
            "scenes": ["verse"],
            "kept": tmp_path / "kept",
            **changes,
        }
        opened.append(ControlSocket(path, queue, **options))
        return opened[-1]

    yield serve
    for control in opened:
        control.close()


class Client:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.socket.connect(str(path))
        self.file = self.socket.makefile("rb")

    def send(self, text):
        self.socket.sendall(text.encode())

    def next(self, name):
        """The next message of a kind."""
        while True:
            line = self.file.readline()
            assert line, "the connection was closed"
            if name in (message := json.loads(line)):
                return message[name]

    def close(self):
        self.file.close()
        self.socket.close()

    def is_closed(self):
        try:
            while self.file.readline():
                pass
        except ConnectionResetError:
            pass
        return True


@pytest.fixture
def connect(path):
    clients = []

    def connect():
        clients.append(Client(path))
        return clients[-1]

    yield connect
    for client in clients:
        client.close()


def test_who_connects_gets_scenes_card_and_state(serve, connect, tmp_path):
    control = serve()
    control(snapshot(bar=6, holders={1: "midi"}, level_db=float("-inf")))
    client = connect()
    assert json.loads(client.file.readline()) == {
        "scenes": ["verse"], "kept": str(tmp_path / "kept")
    }  # fmt: skip
    shown = client.next("card")
    assert (shown["title"], shown["origin"]) == ("Rain", "origin of ab")
    assert shown["labels"] == ["warmth", "d" * 60]
    assert shown["strength"] == [0.5, 1.0]
    state = client.next("state")
    assert (state["switches"], state["bar"], state["held_by"]) == ("10", 7, {"2": "midi"})
    assert (state["bar_in_loop"], state["bars_per_loop"], state["level_db"]) == (1, 4, None)


@pytest.mark.parametrize(
    "panel", [None, 7, {}, {"strength": [1.0]}, {"strength": ["a", 2.0]}, {"strength": {"x": 1}}]
)
def test_a_model_without_figures_of_its_switches_has_none(serve, panel, connect):
    serve(provenance={"panel": panel})(snapshot())
    assert connect().next("card")["strength"] is None


def test_the_provenance_of_a_strange_model_is_cut(serve, connect):
    provenance = {f"key {i} \x1b[31m": "long " * 1000 for i in range(500)}
    serve(provenance=provenance)(snapshot())
    facts = connect().next("card")["facts"]
    assert len(facts) == 80
    assert all(len(part) <= 200 and part.isprintable() for fact in facts for part in fact)


def with_a_state(serve, connect):
    """A socket, and a client that has had the first state."""
    control = serve()
    control(snapshot())
    client = connect()
    client.next("state")
    return control, client


def test_a_new_state_and_a_new_model_are_sent(serve, connect):
    control, client = with_a_state(serve, connect)
    control(snapshot(bits=(False, True), digest="cd" * 32))
    assert client.next("card")["origin"] == "origin of cd"
    assert client.next("state")["switches"] == "01"


def test_a_flip_is_sent_at_once(serve, connect, monkeypatch):
    # No line comes by itself: only the flip can have it sent.
    for name in ("STATE_SECONDS", "LINE_SECONDS"):
        monkeypatch.setattr(control_socket, name, 3600.0)
    control, client = with_a_state(serve, connect)
    for sounding in ((False, True), (True, True)):
        control(snapshot(bits=(True, True), sounding=sounding))
        assert client.next("state")["sounding"] == format_bits(sounding)


def test_what_lasts_is_sent_with_the_next_line(serve, connect, monkeypatch):
    monkeypatch.setattr(control_socket, "STATE_SECONDS", 3600.0)
    control, client = with_a_state(serve, connect)
    for changes in ({"gain_db": -6.0}, {"n_underruns": 1}, {"failure": "silent"}):
        control(snapshot(**changes))
        client.next("state")


def test_between_two_states_only_what_always_changes_is_sent(serve, connect, monkeypatch):
    monkeypatch.setattr(control_socket, "STATE_SECONDS", 3600.0)
    control, client = with_a_state(serve, connect)
    for level_db in (-20.04, float("-inf"), -7.0):
        control(snapshot(bar=6, beat=2, bar_in_loop=2, seconds=9.0, level_db=level_db))
    levels = []
    while len(levels) < 3:
        now = client.next("now")
        levels += now.pop("levels")
    assert levels == [-20.0, None, -7.0]
    assert now == {"bar": 7, "beat": 3, "bar_in_loop": 3, "level_db": -7.0}


class Beats:
    """Two beats a second."""

    is_running = True

    def beat_at(self, at):
        return 2 * at

    def time_of(self, beat):
        return beat / 2


@pytest.mark.parametrize(
    ("now", "asleep", "expected"),
    [(10.2, False, 10.51), (10.01, False, 10.41), (10.499, False, 10.549), (10.2, True, 10.6)],
)
def test_a_line_comes_when_a_beat_is_heard_and_in_between(serve, now, asleep, expected):
    control = serve(beats=Beats())
    control(snapshot(evening=EveningState(is_asleep=asleep)))
    assert control._next_line_at(now) == pytest.approx(expected)


def test_commands_are_queued_in_their_order_however_they_are_cut(serve, queue, connect):
    serve()
    client = connect()
    for part in ('{"do":"fl', 'ip","switch":2}\n{"do":"ke', 'ep"}\n'):
        client.send(part)
    wait_until(lambda: len(queue) == 2)
    assert [queue.take(), queue.take()] == [FlipSwitch(1, "phone"), Keep()]


def test_a_line_that_is_no_command_is_answered_and_costs_nothing_else(serve, path, queue, connect):
    serve()
    client = connect()
    client.send('{"do":"load","path":"x"}\n{"do":"keep"}\n')
    assert "expected flip" in client.next("error")
    wait_until(lambda: queue)
    assert queue.take() == Keep()


def test_a_line_without_an_end_closes_its_connection_alone(serve, queue, connect):
    control = serve()
    control(snapshot())
    other, flooding = connect(), connect()
    flooding.send("x" * 4000)
    assert flooding.is_closed()
    other.send('{"do":"keep"}\n')
    wait_until(lambda: queue)


def test_who_does_not_read_is_closed_and_the_others_go_on(serve, connect):
    control = serve(provenance={f"k{i}": "long " * 1000 for i in range(80)})
    control(snapshot(digest="00" * 32))
    lazy = connect()
    lazy.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    reading = connect()
    wait_until(lambda: len(control._clients) == 2)

    def next_model():
        next_model.n += 1
        control(snapshot(digest=f"{next_model.n:064x}"))
        reading.next("state")

    next_model.n = 0
    wait_until(lambda: len(control._clients) == 1, meanwhile=next_model)
    next_model()


def test_too_many_connections_are_closed_at_once(serve, connect):
    control = serve()
    clients = [connect() for _ in range(MOST_CLIENTS)]
    wait_until(lambda: len(control._clients) == MOST_CLIENTS)
    assert connect().is_closed()
    clients[0].close()
    wait_until(lambda: len(control._clients) == MOST_CLIENTS - 1)
    control(snapshot())
    assert connect().next("state")


def test_owner_and_group_may_connect_and_nobody_else(serve, path):
    serve()
    assert stat.S_IMODE(path.stat().st_mode) == 0o660


def test_a_socket_that_a_killed_instrument_left_is_replaced(serve, path, connect):
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()
    serve()(snapshot())
    assert connect().next("state")


def test_the_socket_of_another_instrument_and_another_file_are_not(serve, tmp_path, queue, connect):
    serve()
    with pytest.raises(OutputError, match="choose another --control"):
        serve()
    assert connect().next("scenes")
    file = tmp_path / "notes.txt"
    file.write_text("mine")
    for wrong in (file, tmp_path / "missing/control.sock", tmp_path / ("long" * 40)):
        with pytest.raises(OutputError, match=r"found .+, expected"):
            ControlSocket(wrong, queue, card=card, origin=str)
    assert file.read_text() == "mine"


def test_its_end_removes_the_socket_and_closes_the_connections(serve, path, connect):
    control = serve()
    client = connect()
    client.next("scenes")
    control.close()
    control.close()
    assert not control._helper.is_alive
    assert client.is_closed()
    assert not path.exists()


def test_a_bridge_has_whole_states_though_few_are_sent(serve, path, monkeypatch):
    monkeypatch.setattr(control_socket, "STATE_SECONDS", 3600.0)
    control = serve()
    control(snapshot(tempo_bpm=81.0))
    states = []
    with selectors.DefaultSelector() as selector, ControlClient(path, selector, print) as client:
        client.connect()
        wait_until(lambda: states, meanwhile=lambda: states.extend(client.receive()))
        control(snapshot(tempo_bpm=81.0, beat=3))
        wait_until(
            lambda: states[-1]["beat"] == 4, meanwhile=lambda: states.extend(client.receive())
        )
    assert (states[0]["beat"], states[-1]["tempo_bpm"]) == (1, 81.0)


def test_without_a_client_nothing_is_sent_and_no_fault_is_counted(serve, monkeypatch):
    before = THREADS.faults.get("control")
    control = serve(origin=pytest.fail)
    for bar in range(5):
        control(snapshot(bar=bar))
    control.close()
    assert THREADS.faults.get("control") == before
