"""Takeovers while the music goes on, by the command line alone and at its defaults.

`switchboard play --store` plays in a process of its own, and `switchboard models activate` changes
the model. The player is held in the middle of a bar until the next model is ready, so that the
result does not depend on the speed of this machine.
"""

import json
import os
import subprocess
import sys
import threading
import wave
from queue import Queue

import numpy as np
import pytest

from device.store.store import ModelStore
from tests.support import faulty_models as faulty
from tests.support import tiny_model as tiny
from tests.support.forked_processes import run_switchboard
from tests.support.stepped_player import RATE

PATIENCE_SECONDS = 60.0
READY = "takes over at the next bar"

N_TAKEOVERS = 40
BAR_SECONDS = 1.0
SIZES = {"n_fft": 1024, "hop_length": 256, "n_switches": 8}
# Their lowest partials, in Hz, lie between the others', and a third is of another shape.
LOWEST_HERTZ = (220.0, 245.0, 275.0)
SAMPLE_RATES = (RATE, RATE, 16000)
# 10 ms of these models are never below -38 dB; the hiss of the tape has -60 dB.
GAP_LEVEL = 10 ** (-46 / 20)


class Player:
    """`switchboard play --store`, recording as far as it is allowed."""

    def __init__(self, store, script, folder, seconds):
        (folder / "flips.txt").write_text(script)
        self.recording = folder / "heard.wav"
        arguments = ["play", "--store", store, "--switches", "script:flips.txt", "--json"]
        arguments += ["--speaker", f"wav:{self.recording}", "--seconds", seconds]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.stepped_player", *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        )
        self.messages = []
        self._lines = {}
        self._readers = []
        for stream in (self._process.stdout, self._process.stderr):
            self._lines[stream] = Queue()
            reader = threading.Thread(target=self._read, args=(stream,))
            reader.start()
            self._readers.append(reader)
        self._wait_until_held()

    def record_until(self, seconds):
        """Let it record up to `seconds`, and wait until it has."""
        self._process.stdin.write(f"{seconds}\n")
        self._process.stdin.flush()
        self._wait_until_held()

    def wait_for(self, words):
        """Wait until standard error has a line with `words`."""
        while words not in self._next(self._process.stderr):
            pass

    def finish(self):
        """Let it play to its end; the report, and what was recorded."""
        self._process.stdin.close()
        line = self._next(self._process.stdout)
        assert self._process.wait(PATIENCE_SECONDS) == 0, self.messages
        with wave.open(str(self.recording)) as recording:
            assert recording.getframerate() == RATE
            pcm = recording.readframes(recording.getnframes())
        return json.loads(line), np.frombuffer(pcm, "<i2").astype(np.float32) / 32767

    def close(self):
        self._process.kill()
        for reader in self._readers:
            reader.join()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            stream.close()

    def _wait_until_held(self):
        assert self._next(self._process.stdout) == "held\n", self.messages

    def _next(self, stream):
        line = self._lines[stream].get(timeout=PATIENCE_SECONDS)
        assert line, f"the player has ended: {self.messages}"
        return line

    def _read(self, stream):
        for line in stream:
            self.messages.append(line)
            self._lines[stream].put(line)
        self._lines[stream].put("")


@pytest.fixture
def start(tmp_path):
    players = []

    def start(store, script, seconds):
        players.append(Player(store, script, tmp_path, seconds))
        return players[-1]

    yield start
    for player in players:
        player.close()


def activate(store, model):
    run_switchboard("models", "activate", model, "--store", store)


def levels(samples):
    """RMS of every 10 ms, without the first 0.2 s and the fade at the end."""
    n = RATE // 100
    inner = samples[RATE // 5 : -RATE // 10]
    return np.sqrt((inner[: len(inner) // n * n].reshape(-1, n) ** 2).mean(axis=1))


def lowest_partial(samples):
    """Which of `LOWEST_HERTZ` is the loudest."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    hertz = np.fft.rfftfreq(len(samples), 1 / RATE)
    loudness = [spectrum[np.abs(hertz - lowest) < 6].max() for lowest in LOWEST_HERTZ]
    return int(np.argmax(loudness))


@pytest.fixture
def three_models(tmp_path, monkeypatch):
    paths = []
    for lowest, sample_rate in zip(LOWEST_HERTZ, SAMPLE_RATES, strict=True):
        monkeypatch.setattr(tiny, "_LOWEST_HERTZ", lowest)
        path = tmp_path / f"{lowest:.0f}.onnx"
        tempo = {"tempo_bpm": f"{240 / BAR_SECONDS}"}
        paths.append(tiny.build(path, **SIZES, sample_rate=sample_rate, metadata=tempo))
    return paths


def test_with_forty_takeovers_in_forty_bars_the_music_goes_on(start, tmp_path, three_models):
    store = tmp_path / "models"
    for model in reversed(three_models):  # validated once; the first plays at the start
        activate(store, model)
    player = start(store, "0 00000000", N_TAKEOVERS + 1.0)
    for bar in range(N_TAKEOVERS):
        player.record_until((bar + 0.5) * BAR_SECONDS)
        activate(store, three_models[(bar + 1) % 3])
        player.wait_for(READY)
    report, samples = player.finish()
    assert report["seconds"] == N_TAKEOVERS + 1
    assert len(samples) == (N_TAKEOVERS + 1) * RATE
    assert levels(samples).min() > GAP_LEVEL
    bars = samples.reshape(-1, RATE)
    heard = [lowest_partial(bar[RATE // 4 : -RATE // 4]) for bar in bars]
    assert heard == [bar % 3 for bar in range(N_TAKEOVERS + 1)]


def test_a_model_with_nan_in_one_state_is_rolled_back_and_the_music_goes_on(start, tmp_path):
    flipped_at, seconds = 5.0, 8.0
    directory, off = tmp_path / "models", "0" * 8
    activate(directory, tiny.build(tmp_path / "good.onnx", n_switches=8))
    store = ModelStore(directory)
    good = store.active()
    faulty_bits = "".join(str(int(on)) for on in faulty.FAULTY_STATE)
    player = start(directory, f"0 {off}\n{flipped_at} {faulty_bits}", seconds)
    player.record_until(1.0)
    activate(directory, faulty.nan_in_one_state(tmp_path / "faulty.onnx"))
    bad = store.active()
    assert bad != good
    player.wait_for(READY)
    player.record_until(flipped_at + 0.5)
    player.wait_for("not finite")
    report, samples = player.finish()
    assert report["seconds"] == seconds
    assert store.active() == good
    assert f"frames not finite with switches {faulty_bits}" in store.refusal(bad.stem)
    quiet = levels(samples) < GAP_LEVEL
    assert quiet.sum() <= 6  # 60 ms, where the frames were not finite
    assert not quiet[-round(100 * (seconds - flipped_at - 1)) :].any()
