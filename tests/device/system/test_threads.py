"""Helper threads: none ends because of what it meets, and one that has ended is started again."""

import ast
import io
import json
import os
import sys
import threading
import time
from pathlib import Path

import pytest
from rich.console import Console

from device.audio.speaker import SilentSpeaker
from device.closeable import Closeable
from device.console import SafeStream, say, without_errors
from device.model.network import Network
from device.playback.instrument import Instrument
from device.playback.model_loader import ModelLoader
from device.store.store import ModelStore
from device.switches.base import FixedSwitches
from device.synthesis.performance import Performance
from device.synthesis.score_cache import ScoreCache
from device.synthesis.variation import VariationWalk
from device.synthesis.voice import Voice
from device.system.threads import THREADS, SupervisedThread, ThreadMonitor, ThreadRegistry
from device.ui.leds import PLAYING, StatusLeds
from device.ui.status_file import StatusFile
from device.ui.systemd import Heartbeat
from device.ui.terminal import TerminalDisplay
from tests.support import tiny_model as tiny
from tests.support.instrument_state import snapshot

PATIENCE_SECONDS = 20.0
DEVICE = Path(__file__).parents[3] / "device"
OFF = (False, False, False)
ERRORS = [
    BrokenPipeError(32, "Broken pipe"),
    ValueError("I/O operation on closed file"),
    UnicodeEncodeError("latin-1", "\u266a", 0, 1, "ordinal not in range"),
    MemoryError(),
    KeyError("a listener's own mistake"),
    SystemExit(1),
    KeyboardInterrupt(),
]


def until(condition, meanwhile=THREADS.restart_ended):
    """Wait as the audio loop goes on, which looks after the helpers."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "nothing came of it"
        meanwhile()
        time.sleep(0.005)


class Poison:
    """Raises where it is called, the first times."""

    def __init__(self, error, n_times=2):
        self.error = error
        self.n_left = n_times

    def __call__(self, *_args, **_options):
        if self.n_left:
            self.n_left -= 1
            raise self.error

    def before(self, good):
        def both(*args, **options):
            self()
            return good(*args, **options)

        return both


class HelperWithPoison(Closeable):
    """One helper thread of the box, with something poisonous inside it that it cannot avoid."""

    def __init__(self, poison, tmp_path, monkeypatch):
        self.poison = poison
        self.tmp_path = tmp_path
        self.monkeypatch = monkeypatch
        self.held = self.make()

    def close(self):
        self.held.close()


class Status(HelperWithPoison):
    def make(self):
        self.monkeypatch.setattr("device.ui.status_file.WRITE_SECONDS", 0.01)
        return StatusFile(
            self.tmp_path / "status.json",
            origin=self.poison.before(lambda _: "file"),
            last_refusal=lambda: None,
            degrees=lambda: None,
        )

    def is_well(self):
        self.held(snapshot(bar=6))
        path = self.tmp_path / "status.json"
        return path.exists() and json.loads(path.read_text(encoding="utf-8"))["bar"] == 7


class LampsOnPins(HelperWithPoison):
    def make(self):
        gpiozero = pytest.importorskip("gpiozero", reason="gpiozero is not installed")
        from gpiozero.pins.mock import MockFactory

        self.factory = MockFactory()
        self.monkeypatch.setattr(gpiozero.Device, "pin_factory", self.factory)
        lamps = StatusLeds({PLAYING: 17}, lambda: False)
        lamps._clock = self.poison.before(time.monotonic)
        self.held = lamps
        return lamps

    def is_well(self):
        self.held._queue.put((0.0, (True, False, False)))
        return bool(self.factory.pin(17).state)


class LivePanel(HelperWithPoison):
    def make(self):
        self.monkeypatch.setattr("device.ui.terminal.REDRAW_SECONDS", 0.01)
        self.terminal = io.StringIO()
        self.terminal.isatty = lambda: True
        panel = TerminalDisplay(
            Console(file=self.terminal, force_terminal=True, width=80, height=30)
        )
        panel._view.update = self.poison.before(panel._view.update)
        panel.__enter__()
        return panel

    def is_well(self):
        self.held.update(snapshot(title="Rain at last"))
        return "Rain at last" in self.terminal.getvalue()


class ComposedAhead(HelperWithPoison):
    def make(self):
        network = Network.open(tiny.build(self.tmp_path / "tiny.onnx"))
        compose = network.compose

        def poisoned(switches, variation):
            if threading.current_thread().name == "scores":
                self.poison()
            return compose(switches, variation)

        network.compose = poisoned
        self.turn = 0
        return ScoreCache(network, VariationWalk(2, seed=3), ahead=True)

    def is_well(self):
        self.turn += 1
        self.held.get(OFF, self.turn)
        time.sleep(0.05)
        return (OFF, self.turn + 1) in self.held._scores


class InTheWings(HelperWithPoison):
    """Of which each subclass poisons another part."""

    def make(self):
        self.store = ModelStore(self.tmp_path / "store")
        plays = Network.open(tiny.build(self.tmp_path / "plays.onnx"))
        with tiny.build(self.tmp_path / "next.onnx", beats_per_loop=8).open("rb") as file:
            self.digest = self.store.add(file)
        self.store.accept(self.digest)
        self.store.activate(self.digest)
        self.voice = None
        wings = self.wings(playing=plays.digest)
        wings.state = snapshot(digest=plays.digest, bits=OFF, switch_states=OFF)
        return wings

    def wings(self, **changes):
        options = {
            "make": lambda network: Voice(network, Performance()),
            "report": lambda _: None,
            "poll_seconds": 0.005,
            **changes,
        }
        return ModelLoader(self.store, options.pop("make"), **options)

    def is_well(self):
        self.voice = self.voice or self.held.next_voice()
        return self.voice is not None and self.voice.network.digest == self.digest

    def close(self):
        super().close()
        if self.voice is not None:
            self.voice.close()


class WingsThatReport(InTheWings):
    def wings(self, **changes):
        return super().wings(report=self.poison, **changes)


class WingsThatMake(InTheWings):
    def wings(self, **changes):
        return super().wings(
            make=self.poison.before(lambda network: Voice(network, Performance())), **changes
        )


class WingsThatLook(InTheWings):
    def wings(self, **changes):
        self.store.active = self.poison.before(self.store.active)
        return super().wings(**changes)


class WingsWithAJob(InTheWings):
    def wings(self, **changes):
        wings = super().wings(**changes)
        self.store.confirm_running = self.poison
        wings.confirm_running()
        wings.confirm_running()
        return wings


POISONED = [
    Status,
    LampsOnPins,
    LivePanel,
    ComposedAhead,
    WingsThatReport,
    WingsThatMake,
    WingsThatLook,
    WingsWithAJob,
]


# Said by the system while a model is opened, an error says something about the model.
CASES = [
    pytest.param(kind, error, id=f"{kind.__name__}-{type(error).__name__}")
    for kind in POISONED
    for error in ERRORS
    if not (kind is WingsThatMake and isinstance(error, OSError))
]


@pytest.mark.parametrize(("kind", "error"), CASES)
def test_no_helper_ends_because_of_what_it_meets(kind, error, tmp_path, monkeypatch):
    poison = Poison(error)
    with kind(poison, tmp_path, monkeypatch) as helper:
        until(helper.is_well)
    assert poison.n_left < 2


def test_every_thread_of_the_box_is_a_helper():
    threads = {
        path.name
        for path in DEVICE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("threading.Thread", "Thread")
    }
    # The one beside is started when the process is about to be ended by force.
    assert threads == {"threads.py", "termination.py"}
    names = {
        node.args[0].value
        for path in DEVICE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "SupervisedThread"
    }
    assert names == {"loader", "scores", "status", "leds", "display", "messages", "signals"}


def test_what_went_wrong_is_said_once_and_an_ended_helper_is_started_again():
    registry, said, clock, errors = (
        ThreadRegistry(),
        [],
        [0.0],
        [OSError("broken"), OSError("broken")],
    )

    def turn():
        if errors:
            raise errors.pop()
        time.sleep(0.001)

    attendance = ThreadMonitor(said.append, registry=registry, clock=lambda: clock[0])

    def attend():
        clock[0] += 1.0
        attendance(snapshot())

    with SupervisedThread("sums", turn, registry=registry):
        until(lambda: said, attend)
        until(lambda: not errors, attend)
        errors.append(SystemExit(3))
        until(lambda: len(said) == 2, attend)
    assert said == [
        "helper 'sums': found OSError: broken; it goes on",
        "helper 'sums' had ended (SystemExit: 3) and is started again",
    ]
    trouble = registry.faults["sums"]
    assert (trouble.n_faults, trouble.n_restarts) == (2, 1)


def test_a_helper_that_was_closed_is_not_started_again():
    registry = ThreadRegistry()
    helper = SupervisedThread("sums", lambda: time.sleep(0.001), registry=registry)
    helper.close()
    registry.restart_ended()
    helper.restart()
    assert not helper.is_alive
    helper.close()


def test_a_helper_that_cannot_be_started_now_is_started_later(monkeypatch):
    registry, turns = ThreadRegistry(), [SystemExit()]

    def turn():
        if turns:
            raise turns.pop()
        time.sleep(0.001)

    def no_room(_thread):
        raise RuntimeError("can't start new thread")

    with SupervisedThread("sums", turn, registry=registry) as helper:
        until(lambda: not helper.is_alive, lambda: None)
        with monkeypatch.context() as full:
            full.setattr(threading.Thread, "start", no_room)
            registry.restart_ended()
        assert not helper.is_alive
        registry.restart_ended()
        assert helper.is_alive
    assert registry.faults["sums"].n_restarts == 1


def test_the_status_says_which_helper_had_trouble(tmp_path, monkeypatch):
    monkeypatch.setattr("device.ui.status_file.WRITE_SECONDS", 0.01)
    registry, path = ThreadRegistry(), tmp_path / "status.json"
    registry.record_fault("loader", OSError("broken"))
    with StatusFile(
        path, origin=str, last_refusal=lambda: None, degrees=lambda: None, registry=registry
    ) as file:
        file(snapshot())
        until(path.exists)
        facts = json.loads(path.read_text(encoding="utf-8"))
    assert facts["helpers"] == {
        "loader": {"n_faults": 1, "n_restarts": 0, "latest": "OSError: broken"}
    }


def test_a_listener_that_raises_ends_neither_the_music_nor_the_other_listeners(network):
    heard, before = [], THREADS.faults.get("listener Poison")
    with Instrument(
        network,
        FixedSwitches(OFF),
        SilentSpeaker(22050, sleep=lambda _: None),
        Performance(),
        ahead=False,
        listeners=[Poison(KeyError("mine"), n_times=-1), heard.append],
    ) as instrument:
        report = instrument.play(1.0)
    assert report.seconds == 1.0
    assert len(heard) > 10
    assert before is None
    assert THREADS.faults["listener Poison"].n_faults == len(heard)


def test_the_watchdog_is_fed_though_the_status_line_fails():
    class SystemdNotifier:
        told = ()

        def notify(self, *lines):
            self.told = lines

    manager = SystemdNotifier()
    with pytest.raises(UnicodeError):
        Heartbeat(manager, Poison(UnicodeError("a lone surrogate")))(snapshot())
    assert manager.told == ("READY=1", "WATCHDOG=1")


def closed_file():
    file = io.StringIO()
    file.close()
    return file


def pipe_without_a_reader(encoding="utf-8"):
    reader, writer = os.pipe()
    os.close(reader)
    return io.TextIOWrapper(io.FileIO(writer, "w"), encoding=encoding, write_through=True)


def full_disk():
    return io.TextIOWrapper(io.FileIO("/dev/full", "w"), encoding="utf-8", write_through=True)


@pytest.mark.parametrize("broken", [closed_file, pipe_without_a_reader, full_disk, lambda: None])
def test_a_line_that_cannot_be_written_is_lost_and_nothing_else(broken, monkeypatch):
    stream = broken()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(sys, "stdout", stream)
    say("of no use", err=True)
    with TerminalDisplay() as panel:
        panel.print_line("of no use")
    Console(file=SafeStream(stream)).print("of no use")
    if stream is not None and not stream.closed:
        # So that what it still holds does not trouble whoever lets go of it.
        with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
            os.dup2(nowhere.fileno(), stream.fileno())
        stream.close()


def test_what_an_encoding_does_not_have_is_escaped():
    content = io.BytesIO()
    stream = SafeStream(io.TextIOWrapper(content, encoding="latin-1", write_through=True))
    assert stream.encoding == "latin-1"
    stream.write("\xe9t\xe9 \u266a\n")
    assert content.getvalue() == b"\xe9t\xe9 \\u266a\n"


@pytest.mark.parametrize("error", [*ERRORS[:-1]], ids=lambda error: type(error).__name__)
def test_a_report_that_fails_costs_its_line_alone(error):
    without_errors(Poison(error))("a line")
