"""Signals: whatever a command waits for, it ends, and what it leaves behind is whole."""

import os
import signal
import wave
from pathlib import Path

import numpy as np
import pytest

from device.cli import main
from device.errors import Ended, Interrupted
from device.model.network import interrupt
from device.playback.instrument import Instrument
from device.system.termination import SIGNALS, TerminationHandler
from tests.support import faulty_models as faulty
from tests.support import forked_processes as forked
from tests.support import tiny_model as tiny
from tests.support.waiting import wait_until

LIMIT_SECONDS = 60.0
MODELS = ("sound", "endless", "endless in one operator")
SWEEP_SECONDS = 120
COMMANDS = {
    "play": ["play", "--switches=script:flips.txt", "--speaker=wav:out.wav", "--status=status"],
    "render": ["render", "--bits=000", "--seconds=90000", "--out=out.wav"],
    "sweep": ["sweep", f"--seconds={SWEEP_SECONDS}", "--out=."],
    "bench": ["bench", "--seconds=90000"],
}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {
        "sound": tiny.build(folder / "sound.onnx"),
        "endless": faulty.endless_after_a_while(folder / "loop.onnx", in_one_operator=False),
        "endless in one operator": faulty.endless_after_a_while(
            folder / "operator.onnx", in_one_operator=True
        ),
    }


def n_samples(path):
    with wave.open(str(path)) as wav:
        return wav.getnframes()


@pytest.fixture
def start(tmp_path):
    """Start a command in a folder of its own; returns folder, process and its event."""
    running = []

    def start(name, args):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "flips.txt").write_text("0 000\n90000 000\n", encoding="utf-8")
        marker = forked.context().Event()
        process = forked.context().Process(target=forked.run_command, args=(folder, args, marker))
        process.start()
        running.append(process)
        return folder, process, marker

    yield start
    for process in running:
        process.kill()
        process.join()


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_signal_ends_a_command_whatever_the_network_does(start, models, command, model):
    args = [*COMMANDS[command], f"--model={models[model]}"]
    started = {number: start(number.name, args) for number in SIGNALS}
    for folder, _, marker in started.values():
        assert marker.wait(LIMIT_SECONDS), (folder / "output.txt").read_text(encoding="utf-8")
    for number, (_, process, _) in started.items():
        os.kill(process.pid, number)
    for number, (folder, process, _) in started.items():
        process.join(LIMIT_SECONDS)
        assert process.exitcode == (0 if command == "play" else 128 + number)
        left = {path.name for path in folder.iterdir()} - {"flips.txt", "output.txt"}
        if command == "play":
            assert left == {"out.wav"}
            assert n_samples(folder / "out.wav") > 0
        elif command == "sweep":
            assert all(n_samples(folder / name) == SWEEP_SECONDS * 22050 for name in left)
        else:
            assert left == set()


def test_a_signal_before_the_first_block_leaves_the_previous_recording(
    tmp_path, models, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    Path("out.wav").write_bytes(b"previous")
    Path("flips.txt").write_text("0 000\n9 000\n", encoding="utf-8")
    handlers = []
    enter, prepare = TerminationHandler.__enter__, Instrument.__init__

    def prepared(*args, **options):
        raise_signal(handlers[0], signal.SIGTERM)
        prepare(*args, **options)

    monkeypatch.setattr(
        TerminationHandler, "__enter__", lambda self: handlers.append(self) or enter(self)
    )
    monkeypatch.setattr(Instrument, "__init__", prepared)
    assert main([*COMMANDS["play"], f"--model={models['sound']}"]) == 128 + signal.SIGTERM
    assert {path.name for path in tmp_path.iterdir()} == {"out.wav", "flips.txt"}
    assert Path("out.wav").read_bytes() == b"previous"


def raise_signal(handler, number):
    signal.raise_signal(number)
    wait_until(lambda: handler._number is not None)


@pytest.mark.parametrize("number", SIGNALS)
def test_signals_are_handled_only_within_the_block(number):
    before = [signal.getsignal(n) for n in SIGNALS]
    stopped = []
    with pytest.raises(Ended) as ended, TerminationHandler(lambda _: None) as handler:
        handler.check()
        with handler.stopping(lambda: stopped.append(True)):
            raise_signal(handler, number)
            wait_until(lambda: stopped)
        handler.check()
    assert ended.value.number == number
    assert [signal.getsignal(n) for n in SIGNALS] == before
    assert signal.set_wakeup_fd(-1) == -1


def test_an_early_signal_stops_what_begins_after_it():
    stopped = []
    with TerminationHandler(lambda _: None) as handler:
        raise_signal(handler, signal.SIGTERM)
        with handler.stopping(lambda: stopped.append(True)):
            assert stopped


def test_a_hangup_that_was_ignored_before_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with TerminationHandler(lambda _: None) as handler:
            signal.raise_signal(signal.SIGHUP)
            raise_signal(handler, signal.SIGTERM)
            assert handler._number == signal.SIGTERM
    finally:
        signal.signal(signal.SIGHUP, before)


def test_an_interrupted_network_computes_again(network):
    try:
        interrupt(True)
        with pytest.raises(Interrupted):
            network.compose(np.zeros(3, np.float32), np.zeros(2, np.float32))
    finally:
        interrupt(False)
    network.compose(np.zeros(3, np.float32), np.zeros(2, np.float32))
