"""Takeovers while the music goes on, by the command line alone and at its defaults.

`switchboard play --store` plays in a process of its own, and `switchboard models activate` changes
the model. The player is held in the middle of a bar until the next model is ready, so that the
result does not depend on the speed of this machine.
"""

import numpy as np
import pytest

from device.store.store import ModelStore
from tests.support import faulty_models as faulty
from tests.support import tiny_model as tiny
from tests.support.held_player import READY, Player, activate
from tests.support.stepped_player import RATE

N_TAKEOVERS = 40
BAR_SECONDS = 1.0
SIZES = {"n_fft": 1024, "hop_length": 256, "n_switches": 8}
# Their lowest partials, in Hz, lie between the others', and a third is of another shape.
LOWEST_HERTZ = (220.0, 245.0, 275.0)
SAMPLE_RATES = (RATE, RATE, 16000)
# 10 ms of these models are never below -38 dB; the hiss of the tape has -60 dB.
GAP_LEVEL = 10 ** (-46 / 20)


@pytest.fixture
def start(tmp_path):
    players = []

    def start(store, script, seconds):
        players.append(Player(store, script, tmp_path, seconds))
        return players[-1]

    yield start
    for player in players:
        player.close()


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
