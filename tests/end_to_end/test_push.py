"""From training to sound: trained, exported, paired, pushed over a real sshd, and played.

`switchboard play` records in real time meanwhile, as a device would play, in a process of its own.
The duration of a push is printed, and limited only so that the test ends.
"""

import json
import os
import pty
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from device.model.network import Network
from device.store.store import ModelStore
from tests.support import tiny_model
from tests.support.loopback_sshd import LoopbackBox
from tests.support.recording import EDGE_SECONDS, WINDOW, Recording, read_wav
from tests.support.tiny_run import finished

SWITCHBOARD = [sys.executable, "-c", "import sys; from device.cli import main; sys.exit(main())"]
BAR_SECONDS = 2.0  # four beats at the tiny model's 120 bpm
NEW_BAR_SECONDS = 3.0  # four beats at the studio's 80 bpm
# So that the new model's own downbeats are part of what a click is compared with.
HEARD_BARS = 4
PATIENCE_SECONDS = 60.0
# Between a beat and its sound in the file: the inversion's look-ahead, and the window of analysis.
LATENCY_SECONDS = 0.06


class Player:
    """`switchboard play` at a terminal, with a folder for the recording."""

    def __init__(self, store, folder, environment):
        self.recording = folder / "heard.wav"
        self._growth = []
        self._terminal, slave = pty.openpty()
        arguments = ["--store", store, "--speaker", f"wav:{self.recording}"]
        arguments += ["--switches", "keyboard", "--tape", "0", "--still", "--json"]
        self._process = subprocess.Popen(
            [*SWITCHBOARD, "play", *map(str, arguments)],
            stdin=slave,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **environment},
            cwd=folder,
            start_new_session=True,
        )
        os.close(slave)
        # As the service on a device: other tests must not make the player late.
        with suppress(OSError):
            os.sched_setscheduler(self._process.pid, os.SCHED_RR, os.sched_param(10))
        self._stop = threading.Event()
        self._watch = threading.Thread(target=self._note_growth)
        self._watch.start()

    def seconds(self):
        """Music recorded so far."""
        return self._growth[-1][1] if self._growth else 0.0

    def wait_for(self, seconds):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.seconds() < seconds:
            assert self._process.poll() is None, self._process.stderr.read()
            assert time.monotonic() < deadline, "the player does not play"
            time.sleep(0.02)

    def when(self, seconds):
        """When the recording had that length, on the monotonic clock."""
        clock, recorded = np.array(self._growth).T
        return float(np.interp(seconds, recorded, clock))

    def finish(self):
        """Press q; returns the report, the messages and the sound."""
        os.write(self._terminal, b"q")
        out, err = self._process.communicate(timeout=PATIENCE_SECONDS)
        self.close()
        return json.loads(out), err.decode(), read_wav(self.recording)

    def close(self):
        self._process.kill()
        self._stop.set()
        self._watch.join()
        for pipe in (self._process.stdout, self._process.stderr):
            pipe.close()
        with suppress(OSError):
            os.close(self._terminal)

    def _note_growth(self):
        while not self._stop.wait(0.02):
            for part in self.recording.parent.glob(f".{self.recording.name}.*.part"):
                with suppress(FileNotFoundError):
                    n_samples = (part.stat().st_size - 44) / 2
                    self._growth.append((time.monotonic(), n_samples / 22050))


def spectrum_of(model: Path):
    """A model's mean magnitudes as the keys are at first, in the bins of a recording's spectra."""
    network = Network.open(model)
    card = network.card
    bits = np.array([2 * i < card.n_switches for i in range(card.n_switches)], np.float32)
    score = network.compose(bits, np.zeros(card.n_variation, np.float32))
    position = np.linspace(0, card.beats_per_loop, 256, endpoint=False, dtype=np.float32)
    drawn = network.frames(score, position)[:, : card.n_bins].mean(axis=0)
    grid = np.linspace(0, 1, WINDOW // 2 + 1)
    spectrum = np.interp(grid, np.linspace(0, 1, card.n_bins), drawn)
    return spectrum / np.linalg.norm(spectrum)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A model that was trained and exported with the commands."""
    _, run = finished(tmp_path_factory)
    path = tmp_path_factory.mktemp("exported") / "trained.onnx"
    switchboard("export", run, "--out", path, "--title", "Trained")
    return path


def switchboard(*arguments, environment=None):
    """Run the command; returns its output."""
    done = subprocess.run(
        [*SWITCHBOARD, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **(environment or {})},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@dataclass(frozen=True)
class Push:
    """One push while the music played, and its results."""

    old: Path
    new: Path
    report: dict
    messages: str
    heard: Recording
    pushed_at: float
    when: object
    active: Path


@pytest.fixture(scope="module")
def push(trained, tmp_path_factory):
    """Pushes a model once; the tests check the results."""
    folder = tmp_path_factory.mktemp("end_to_end")
    old = tiny_model.build(folder / "old.onnx")
    with LoopbackBox(folder / "box") as device:
        port = ["--port", device.port]
        switchboard(
            "pair", device.host, *port, "--store", device.store, environment=device.environment
        )
        switchboard("push", device.host, old, *port, environment=device.environment)
        player = Player(device.store, folder, device.environment)
        try:
            player.wait_for(1.0)
            pushed_at = time.monotonic()
            switchboard("push", device.host, trained, *port, environment=device.environment)
            player.wait_for(player.seconds() + BAR_SECONDS + HEARD_BARS * NEW_BAR_SECONDS)
            report, messages, heard = player.finish()
        finally:
            player.close()
    active = ModelStore(device.store).active()
    return Push(old, trained, report, messages, heard, pushed_at, player.when, active)


@pytest.fixture(scope="module")
def alone(push, tmp_path_factory):
    """The old model's sound without a push."""
    path = tmp_path_factory.mktemp("old") / "old.wav"
    # What the keys are at first.
    arguments = ["--bits", "110", "--still", "--tape", "0", "--seconds", len(push.heard)]
    switchboard("render", "--model", push.old, *arguments, "--out", path)
    return read_wav(path)


@pytest.fixture(scope="module")
def takeover(push, alone):
    """When, in seconds of the recording, the sound was no longer the old model's.

    Spectra are compared and not samples: on a machine that is late the governor may have removed
    an iteration of the inversion, which changes phases.
    """
    heard, expected = push.heard.spectra(), alone.spectra()[: len(push.heard.middles())]
    likeness = (heard[: len(expected)] * expected).sum(axis=1)
    return float(push.heard.middles()[np.argmax(likeness < 0.8)])


def test_the_new_model_takes_over_at_a_bar_line(push, takeover):
    bars = round(takeover / BAR_SECONDS)
    assert bars >= 1
    assert abs(takeover - bars * BAR_SECONDS) < LATENCY_SECONDS
    assert "'Trained' takes over at the next bar" in push.messages


def test_the_sound_after_the_takeover_is_the_new_models(push, takeover):
    spectra, middles = push.heard.spectra(), push.heard.middles()
    old, new = (spectra @ spectrum_of(model) for model in (push.old, push.new))
    before = (middles > EDGE_SECONDS) & (middles < takeover - WINDOW / push.heard.rate)
    after = middles > takeover + 0.1
    assert (old[before] > new[before]).all()
    assert np.median(new[after]) > 1.2 * np.median(old[after])
    assert np.median(new[after]) > 1.5 * np.median(new[before])


def test_there_is_no_gap_anywhere(push):
    assert push.heard.longest_silence_seconds() < 0.005


def test_there_is_no_click_at_the_takeover(push, takeover):
    """No larger second difference than elsewhere, where both sounds have their downbeats."""
    curvature = push.heard.curvature()
    seam = push.heard.around(takeover)
    assert curvature[seam].max() <= 1.5 * np.percentile(np.delete(curvature, seam), 99.9)


def test_the_new_model_stays_active(push):
    assert push.active.read_bytes() == push.new.read_bytes()
    assert push.report["switches"] == "keyboard"


def test_the_new_model_is_heard_soon_after_the_push(push, takeover, capsys):
    seconds = push.when(takeover) - push.pushed_at
    with capsys.disabled():
        sys.stdout.write(f"[{seconds:.1f} s from push to sound, {BAR_SECONDS:.0f} s of it a bar] ")
    assert 0 < seconds < PATIENCE_SECONDS
