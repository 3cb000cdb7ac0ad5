"""Ableton Link: who decides tempo and bars, and two real sessions on this machine."""

import os
import socket
import subprocess
import sys
import time

import pytest

from device.cli import main
from device.errors import MissingExtra
from device.switches.commands import CommandQueue, SetTempo
from device.ui.control_socket import ControlSocket
from device.ui.link import MOST_SLEW, LinkBridge, LinkFollower, LinkSession
from tests.support.instrument_state import snapshot
from tests.support.waiting import wait_until

STATE_SECONDS = 0.1


class FakeSession:
    """A session of which the test is the other peer."""

    def __init__(self, tempo_bpm=100.0, n_peers=1):
        self.n_peers = n_peers
        self.beat, self.at, self.tempo_bpm = 0.0, 0.0, tempo_bpm
        self.n_set = 0

    def beat_in_bar(self, at):
        return (self.beat + (at - self.at) * self.tempo_bpm / 60) % 4

    def set_tempo(self, bpm):
        self.n_set += 1
        self.beat, self.at = self.beat + (self.now - self.at) * self.tempo_bpm / 60, self.now
        self.tempo_bpm = bpm

    def set_beat(self, beat, at):
        self.n_set += 1
        self.beat, self.at = beat, at


class Playing:
    """An instrument that plays beats, with the delay of its states."""

    def __init__(self, session, tempo_bpm=80.0, beat=0.0):
        self.session = session
        self.now, self.beat, self.tempo_bpm = 0.0, beat, tempo_bpm
        self.tempos = []
        self.follower = LinkFollower(session, self.tempos.append)

    def play(self, seconds):
        for _ in range(round(seconds / STATE_SECONDS)):
            self.session.now = self.now
            fields = {"tempo_bpm": round(self.tempo_bpm, 2), "heard_beat": self.beat}
            self.follower.take({**fields, "heard_at": self.now})
            self.now += STATE_SECONDS
            self.beat += STATE_SECONDS * self.tempo_bpm / 60
            if self.tempos:
                self.tempo_bpm = self.tempos[-1]

    @property
    def early(self):
        early = self.session.beat_in_bar(self.now) - self.beat
        return early - 4 * round(early / 4)


def test_alone_the_session_has_the_tempo_and_the_bars_of_the_instrument():
    playing = Playing(FakeSession(n_peers=0), tempo_bpm=84.5, beat=1.7)
    playing.play(5)
    assert playing.session.tempo_bpm == 84.5
    assert playing.early == pytest.approx(0, abs=0.02)
    assert playing.tempos == []
    before = playing.session.n_set
    playing.play(20)
    assert playing.session.n_set == before  # what is right is not set again


@pytest.mark.parametrize("beat", [0.0, 0.4, 1.9, 3.0])
def test_with_peers_the_bars_come_together_at_the_tempo_of_the_session(beat):
    playing = Playing(FakeSession(tempo_bpm=100.0), beat=beat)
    playing.play(150)
    assert playing.tempo_bpm == pytest.approx(100, rel=1e-3)
    assert playing.early == pytest.approx(0, abs=0.02)
    assert playing.session.n_set == 0
    assert all(abs(bpm / 100 - 1) <= MOST_SLEW + 1e-9 for bpm in playing.tempos)


def test_a_tempo_that_a_hand_sets_is_given_to_the_peers():
    playing = Playing(FakeSession(tempo_bpm=100.0), beat=1.0)
    playing.play(20)
    playing.tempos.clear()
    playing.tempo_bpm = 72.0
    playing.play(60)
    assert playing.session.tempo_bpm == 72.0
    assert playing.session.n_set == 1
    assert playing.early == pytest.approx(0, abs=0.05)


def test_a_new_tempo_of_a_peer_is_followed():
    playing = Playing(FakeSession(tempo_bpm=100.0))
    playing.play(10)
    playing.session.set_tempo(90.0)
    playing.play(60)
    assert playing.tempo_bpm == pytest.approx(90, rel=1e-3)
    assert playing.session.n_set == 1


def test_when_the_last_peer_goes_its_tempo_stays():
    playing = Playing(FakeSession(tempo_bpm=100.0), beat=1.9)
    playing.play(10)
    assert playing.tempo_bpm != 100.0  # it is catching up
    playing.session.n_peers = 0
    playing.play(10)
    assert playing.tempo_bpm == playing.session.tempo_bpm == 100.0
    assert playing.early == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize("beat", [None, float("nan"), "1"])
def test_a_state_without_a_beat_changes_nothing(beat):
    session, tempos = FakeSession(), []
    state = {"tempo_bpm": 80.0, "heard_beat": beat, "heard_at": 1.0}
    LinkFollower(session, tempos.append).take(state)
    LinkFollower(session, tempos.append).take({"tempo_bpm": 80.0})
    assert tempos == []
    assert session.n_set == 0


class Beats:
    is_running = True

    def beat_at(self, at):
        return 80 / 60 * at


def test_a_bridge_sets_the_tempo_through_the_control_socket(tmp_path):
    queue, lines = CommandQueue(), []
    path = tmp_path / "control.sock"
    session = FakeSession(tempo_bpm=100.0)
    with LinkBridge(session, path, report=lines.append) as bridge:
        bridge.serve(0.0)
        assert "is it playing, with --control?" in lines[0]
        card = lambda: pytest.fail("no card is needed")  # noqa: E731
        with ControlSocket(path, queue, card=card, origin=str, beats=Beats()) as control:
            control._card_digest = snapshot().digest
            control(snapshot(tempo_bpm=80.0))

            def is_set():
                bridge.serve(0.1)
                return bool(queue)

            wait_until(is_set)
    command = queue.take()
    assert isinstance(command, SetTempo)
    assert 98 <= command.bpm <= 102


def test_where_it_cannot_be_confined_the_network_has_to_be_allowed(capsys, monkeypatch):
    def refuse():
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setitem(sys.modules, "link", object())
    monkeypatch.setattr("device.system.own_loopback.enter_own_loopback", refuse)
    assert main(["link"]) == 2
    printed = capsys.readouterr().err
    assert "Operation not permitted" in printed
    assert "allow every network of this machine with --network" in printed


def confined(code, *words):
    """Run a program that has entered a loopback of its own; what it prints."""
    begin = "from device.system.own_loopback import enter_own_loopback as enter; enter()\n"
    done = subprocess.run(
        [*words, sys.executable, "-c", ("" if words else begin) + code],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    if "PermissionError" in done.stderr:
        pytest.skip("this machine permits no network namespace")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_its_own_loopback_has_no_other_network_and_reaches_a_path_socket(tmp_path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "control.sock"))
        listener.listen()
        found = confined(f"""if True:
            import os, socket, pathlib
            print(socket.if_nameindex(), os.geteuid(), os.getegid())
            socket.socket(socket.AF_UNIX).connect({str(tmp_path / "control.sock")!r})
            pathlib.Path({str(tmp_path / "file")!r}).touch()
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                print(sender.sendto(b"x", ("127.0.0.1", 9)))
                for away in ("192.0.2.1", "224.76.78.75"):
                    try:
                        sender.sendto(b"x", (away, 20808))
                    except OSError as error:
                        print(error.strerror)
            """)
    assert found.splitlines() == [
        f"[(1, 'lo')] {os.geteuid()} {os.getegid()}", "1",
        "Network is unreachable", "Network is unreachable",
    ]  # fmt: skip
    assert (tmp_path / "file").stat().st_uid == os.geteuid()


WITH_A_PEER = """if True:
    import time
    from device.ui.link import LinkSession
    with LinkSession(101.0) as session:
        for _ in range(200):
            time.sleep(0.1)
            if session.n_peers:
                time.sleep(1)
                print(session.n_peers, round(session.tempo_bpm, 2))
                break
    """


def test_by_default_it_is_found_in_its_own_loopback_and_nowhere_else(tmp_path):
    pytest.importorskip("link", reason="LinkPython-extern is not installed")
    process = subprocess.Popen(
        [sys.executable, "-c", "from device.cli import main; main()", "link", "--control",
         str(tmp_path / "control.sock")],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    try:
        first = process.stdout.readline()
        if not first:
            pytest.skip("this machine permits no network namespace")
        assert "no other machine is reached" in first
        command = process.stdout.readline().partition("joins: ")[2].split()
        assert command[-1] == "PROGRAM"
        assert confined(WITH_A_PEER, *command[:-1]).split()[0] == "1"
        with LinkSession(90.0) as outside:
            time.sleep(3)
            assert outside.n_peers == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_without_its_package_the_extra_is_named(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "link", None)
    assert main(["link", "--network"]) == MissingExtra.exit_code
    assert "lofi-switchboard[link]" in capsys.readouterr().err


def test_two_real_sessions_on_this_machine_share_tempo_and_bars():
    pytest.importorskip("link", reason="LinkPython-extern is not installed")
    with LinkSession(100.0) as first, LinkSession(77.0) as second:
        try:
            wait_until(lambda: first.n_peers == second.n_peers == 1, limit_seconds=20)
        except AssertionError:
            pytest.skip("this machine passes no multicast to itself")
        first.set_tempo(91.0)
        wait_until(lambda: abs(second.tempo_bpm - 91.0) < 0.01)
        second.set_beat(2.0, time.monotonic())

        def is_together():
            now = time.monotonic()
            early = first.beat_in_bar(now) - second.beat_in_bar(now)
            return abs(early - 4 * round(early / 4)) < 0.02

        wait_until(is_together)
