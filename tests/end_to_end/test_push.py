"""From a training to the ear: trained, exported, paired, pushed over a real sshd, and heard.

`switchboard play` records in real time meanwhile, as a box would play, in a process of its own.
How long a push takes is told, and bounded only so that nobody waits for ever.
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
# So that the newcomer's own downbeats are part of what a click is held against.
HEARD_BARS = 4
PATIENCE_SECONDS = 60.0
# Between a beat and its sound in the file: the inversion's look-ahead, and a window to see it in.
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
        # As the service runs on a box; the tests around us are no fault of the player's.
        with suppress(OSError):
            os.sched_setscheduler(self._process.pid, os.SCHED_RR, os.sched_param(10))
        self._stop = threading.Event()
        self._watch = threading.Thread(target=self._note_growth)
        self._watch.start()

    def seconds(self):
        """Music recorded so far."""
        return self._growth[-1][1] if self._growth else 0.0

    def wait_for(self, seconds):
        give_up = time.monotonic() + PATIENCE_SECONDS
        while self.seconds() < seconds:
            assert self._process.poll() is None, self._process.stderr.read()
            assert time.monotonic() < give_up, "the player does not play"
            time.sleep(0.02)

    def when(self, seconds):
        """The moment at which that much of the recording was there, on the monotonic clock."""
        clock, recorded = np.array(self._growth).T
        return float(np.interp(seconds, recorded, clock))

    def finish(self):
        """Press q; the report, what was said, and the sound."""
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
    """What a model draws on average with all switches off, as long as a recording's spectra."""
    network = Network.open(model)
    card = network.card
    off = np.zeros(card.n_switches, np.float32)
    score = network.compose(off, np.zeros(card.n_variation, np.float32))
    position = np.linspace(0, card.beats_per_loop, 256, endpoint=False, dtype=np.float32)
    drawn = network.magnitude(score, position).mean(axis=0)
    grid = np.linspace(0, 1, WINDOW // 2 + 1)
    spectrum = np.interp(grid, np.linspace(0, 1, card.n_bins), drawn)
    return spectrum / np.linalg.norm(spectrum)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A model that was trained and exported as its owner would."""
    _, run = finished(tmp_path_factory)
    path = tmp_path_factory.mktemp("exported") / "trained.onnx"
    switchboard("export", run, "--out", path, "--title", "Trained")
    return path


def switchboard(*arguments, environment=None):
    """Run the command as a person would; what it says."""
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
    """One push while the music played, and what came of it."""

    old: Path
    new: Path
    report: dict
    said: str
    heard: Recording
    pushed_at: float
    moment: object
    active: Path


@pytest.fixture(scope="module")
def push(trained, tmp_path_factory):
    """Everything happens here, once; the tests look at what came of it."""
    folder = tmp_path_factory.mktemp("end_to_end")
    old = tiny_model.build(folder / "old.onnx")
    with LoopbackBox(folder / "box") as box:
        port = ["--port", box.port]
        switchboard("pair", box.host, *port, "--store", box.store, environment=box.environment)
        switchboard("push", box.host, old, *port, environment=box.environment)
        player = Player(box.store, folder, box.environment)
        try:
            player.wait_for(1.0)
            pushed_at = time.monotonic()
            switchboard("push", box.host, trained, *port, environment=box.environment)
            player.wait_for(player.seconds() + BAR_SECONDS + HEARD_BARS * NEW_BAR_SECONDS)
            report, said, heard = player.finish()
        finally:
            player.close()
    active = ModelStore(box.store).active()
    return Push(old, trained, report, said, heard, pushed_at, player.when, active)


@pytest.fixture(scope="module")
def alone(push, tmp_path_factory):
    """What the old model would have played on."""
    path = tmp_path_factory.mktemp("old") / "old.wav"
    arguments = ["--bits", "000", "--still", "--tape", "0", "--seconds", len(push.heard)]
    switchboard("render", "--model", push.old, *arguments, "--out", path)
    return read_wav(path)


@pytest.fixture(scope="module")
def turn(push, alone):
    """When, in seconds of the recording, it was no longer what the old model plays.

    Spectra are compared and not samples: on a machine that is late the governor may have taken a
    pass of the inversion away, which changes phases.
    """
    heard, expected = push.heard.spectra(), alone.spectra()[: len(push.heard.middles())]
    likeness = (heard[: len(expected)] * expected).sum(axis=1)
    return float(push.heard.middles()[np.argmax(likeness < 0.8)])


def test_it_comes_in_at_a_bar_line(push, turn):
    bars = round(turn / BAR_SECONDS)
    assert bars >= 1
    assert abs(turn - bars * BAR_SECONDS) < LATENCY_SECONDS
    assert "'Trained' takes over at the next bar" in push.said


def test_what_is_heard_then_is_the_new_models_sound(push, turn):
    spectra, middles = push.heard.spectra(), push.heard.middles()
    old, new = (spectra @ spectrum_of(model) for model in (push.old, push.new))
    before = (middles > EDGE_SECONDS) & (middles < turn - WINDOW / push.heard.rate)
    after = middles > turn + 0.1
    assert (old[before] > new[before]).all()
    assert np.median(new[after]) > 1.2 * np.median(old[after])
    assert np.median(new[after]) > 1.5 * np.median(new[before])


def test_there_is_no_gap_anywhere(push):
    assert push.heard.longest_silence_seconds() < 0.005


def test_there_is_no_click_where_it_comes_in(push, turn):
    """No sharper a turn of the wave than elsewhere, where both sounds have their downbeats."""
    curvature = push.heard.curvature()
    seam = push.heard.around(turn)
    assert curvature[seam].max() <= 1.5 * np.percentile(np.delete(curvature, seam), 99.9)


def test_the_player_has_kept_the_new_model(push):
    assert push.active.read_bytes() == push.new.read_bytes()
    assert push.report["switches"] == "keyboard"


def test_it_is_heard_soon_after_it_was_pushed(push, turn, capsys):
    seconds = push.moment(turn) - push.pushed_at
    with capsys.disabled():
        sys.stdout.write(f"[{seconds:.1f} s from push to sound, {BAR_SECONDS:.0f} s of it a bar] ")
    assert 0 < seconds < PATIENCE_SECONDS
