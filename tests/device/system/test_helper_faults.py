"""No helper thread ends because of an exception inside it, whichever it is."""

import io
import json
import socket
import threading
import time
from contextlib import suppress
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from device.closeable import Closeable
from device.model.network import Network
from device.playback.model_loader import ModelLoader
from device.store.store import ModelStore
from device.switches.commands import CommandQueue
from device.switches.expander import Expander, ExpanderReader
from device.synthesis.frame_cache import FrameCache
from device.synthesis.performance import Performance
from device.synthesis.score_cache import ScoreCache
from device.synthesis.transport import Transport
from device.synthesis.variation import SongForm
from device.synthesis.voice import Voice
from device.system.threads import THREADS
from device.ui.control_socket import ControlSocket
from device.ui.display import Lines, QueuedDisplay
from device.ui.leds import PLAYING, StatusLeds
from device.ui.status_file import StatusFile
from device.ui.terminal import TerminalDisplay
from tests.support import tiny_model as tiny
from tests.support.faulty_calls import ERRORS, RaisingCall
from tests.support.gpio_chips import Chip, install_chips
from tests.support.instrument_state import snapshot
from tests.support.waiting import wait_until

OFF = (False, False, False)


class HelperWithFault(Closeable):
    """A helper thread of the device, with a call inside it that raises."""

    def __init__(self, fault, tmp_path, monkeypatch):
        self.fault = fault
        self.tmp_path = tmp_path
        self.monkeypatch = monkeypatch
        self.helper = self.make()

    def close(self):
        self.helper.close()


class StatusWriter(HelperWithFault):
    def make(self):
        self.monkeypatch.setattr("device.ui.status_file.WRITE_SECONDS", 0.01)
        return StatusFile(
            self.tmp_path / "status.json",
            origin=self.fault.before(lambda _: "file"),
            last_refusal=lambda: None,
            degrees=lambda: None,
        )

    def works(self):
        self.helper(snapshot(bar=6))
        path = self.tmp_path / "status.json"
        return path.exists() and json.loads(path.read_text(encoding="utf-8"))["bar"] == 7


class PanelSocket(HelperWithFault):
    def make(self):
        self.bar = 0
        card = SimpleNamespace(
            title="Rain", switch_labels=(), n_switches=0, tempo_bpm=80.0, sample_rate=22050,
            scores={}, provenance={},
        )  # fmt: skip
        path, make_card = self.tmp_path / "control.sock", self.fault.before(lambda: card)
        return ControlSocket(path, CommandQueue(), card=make_card, origin=str)

    def works(self):
        self.bar += 1
        self.helper(snapshot(bar=self.bar))
        with socket.socket(socket.AF_UNIX) as client, suppress(TimeoutError):
            client.settimeout(0.3)
            client.connect(str(self.tmp_path / "control.sock"))
            with client.makefile("rb") as lines:
                return any(line.startswith(b'{"state":') for line in lines)
        return False


class MessagePrinter(HelperWithFault):
    def make(self):
        self.lines = []
        lines = Lines()
        lines.print_line = self.fault.before(self.lines.append)
        return QueuedDisplay(lines)

    def works(self):
        self.helper.print_line("a line")
        return self.lines == ["a line"] * len(self.lines) != []


class LedsOnPins(HelperWithFault):
    def make(self):
        gpiozero = pytest.importorskip("gpiozero", reason="gpiozero is not installed")
        from gpiozero.pins.mock import MockFactory

        self.factory = MockFactory()
        self.monkeypatch.setattr(gpiozero.Device, "pin_factory", self.factory)
        leds = StatusLeds({PLAYING: 17}, lambda: False)
        leds._clock = self.fault.before(time.monotonic)
        self.helper = leds
        return leds

    def works(self):
        self.helper._queue.put((0.0, (True, False, False)))
        return bool(self.factory.pin(17).state)


class ChipsThatAreRead(HelperWithFault):
    def make(self):
        install_chips(self.monkeypatch, self.tmp_path / "dev", {1: Chip()})
        chip = Expander(1, [0], True, None)
        chip.levels = 0
        chip.refresh = self.fault.before(chip.refresh)
        return ExpanderReader([chip])

    def works(self):
        return self.helper.read() == 1


class LiveDisplay(HelperWithFault):
    def make(self):
        self.monkeypatch.setattr("device.ui.terminal.REDRAW_SECONDS", 0.01)
        self.terminal = io.StringIO()
        self.terminal.isatty = lambda: True
        display = TerminalDisplay(
            Console(file=self.terminal, force_terminal=True, width=80, height=30)
        )
        display._view.update = self.fault.before(display._view.update)
        display.__enter__()
        return display

    def works(self):
        self.helper.update(snapshot(title="Rain at last"))
        return "Rain at last" in self.terminal.getvalue()


class ScoresAhead(HelperWithFault):
    def make(self):
        network = Network.open(tiny.build(self.tmp_path / "tiny.onnx"))
        compose = network.compose

        def composed(switches, variation):
            if threading.current_thread().name == "scores":
                self.fault()
            return compose(switches, variation)

        network.compose = composed
        self.bar = 0
        return ScoreCache(network, SongForm(2, seed=3), ahead=True)

    def works(self):
        self.bar += 1
        self.helper.get(OFF, self.bar)
        time.sleep(0.05)
        return (OFF, self.bar + 1) in self.helper._scores


class FramesAhead(HelperWithFault):
    def make(self):
        network = Network.open(tiny.build(self.tmp_path / "tiny.onnx"))
        frames = network.frames

        def drawn(score, beats):
            if threading.current_thread().name == "frames":
                self.fault()
            return frames(score, beats)

        network.frames = drawn
        self.score = network.compose(np.array(OFF, np.float32), np.zeros(2, np.float32))
        self.frame = 0
        self.out = np.zeros((1, network.card.frame_size), np.float32)
        return FrameCache(network, Transport.of(network.card, None), ahead=True)

    def works(self):
        self.frame += 1000
        self.helper.draw(self.score, self.frame, self.out)
        time.sleep(0.05)
        return self.helper._next.frames is not None


class LoaderWithFault(HelperWithFault):
    """The model loader; each subclass has the fault in another part."""

    def make(self):
        self.store = ModelStore(self.tmp_path / "store")
        playing = Network.open(tiny.build(self.tmp_path / "plays.onnx"))
        with tiny.build(self.tmp_path / "next.onnx", beats_per_loop=8).open("rb") as file:
            self.digest = self.store.add(file)
        self.store.accept(self.digest)
        self.store.activate(self.digest)
        self.voice = None
        loader = self.loader(playing=playing.digest)
        loader.state = snapshot(digest=playing.digest, bits=OFF, switch_states=OFF)
        return loader

    def loader(self, **changes):
        options = {
            "make": lambda network: Voice(network, Performance()),
            "report": lambda _: None,
            "poll_seconds": 0.005,
            **changes,
        }
        return ModelLoader(self.store, options.pop("make"), **options)

    def works(self):
        self.voice = self.voice or self.helper.next_voice()
        return self.voice is not None and self.voice.network.digest == self.digest

    def close(self):
        super().close()
        if self.voice is not None:
            self.voice.close()


class LoaderThatReports(LoaderWithFault):
    def loader(self, **changes):
        return super().loader(report=self.fault, **changes)


class LoaderThatMakesAVoice(LoaderWithFault):
    def loader(self, **changes):
        return super().loader(
            make=self.fault.before(lambda network: Voice(network, Performance())), **changes
        )


class LoaderThatReadsTheStore(LoaderWithFault):
    def loader(self, **changes):
        self.store.active = self.fault.before(self.store.active)
        return super().loader(**changes)


class LoaderWithAJob(LoaderWithFault):
    def loader(self, **changes):
        loader = super().loader(**changes)
        self.store.confirm_running = self.fault
        loader.confirm_running()
        loader.confirm_running()
        return loader


HELPERS = [
    StatusWriter,
    PanelSocket,
    MessagePrinter,
    LedsOnPins,
    ChipsThatAreRead,
    LiveDisplay,
    ScoresAhead,
    FramesAhead,
    LoaderThatReports,
    LoaderThatMakesAVoice,
    LoaderThatReadsTheStore,
    LoaderWithAJob,
]


# An OSError while a model is opened is a fault of the model, not of the helper.
CASES = [
    pytest.param(helper_class, error, id=f"{helper_class.__name__}-{type(error).__name__}")
    for helper_class in HELPERS
    for error in ERRORS
    if not (helper_class is LoaderThatMakesAVoice and isinstance(error, OSError))
]


@pytest.mark.parametrize(("helper_class", "error"), CASES)
def test_no_helper_ends_because_of_an_exception(helper_class, error, tmp_path, monkeypatch):
    fault = RaisingCall(error)
    with helper_class(fault, tmp_path, monkeypatch) as helper:
        wait_until(helper.works, THREADS.restart_ended)
    assert fault.n_left < 2
