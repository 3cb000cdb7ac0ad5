"""Blocks made ahead, between two, are those that would have been made without it."""

import numpy as np
import pytest

from device.model.network import Network
from device.playback.voice_switcher import VoiceSwitcher
from device.synthesis.kernel.library import load_kernel
from device.synthesis.performance import Performance
from device.synthesis.transport import Quantize
from device.synthesis.voice import Voice
from tests.support import tiny_model as tiny
from tests.support.kernel import compiled_or_skip

# The bundled model's window and hop, and bars of 1.5 s.
SHAPE = {"n_fft": 1024, "hop_length": 256, "metadata": {"tempo_bpm": "160.0"}}
OTHERS = {
    "same shape": {**SHAPE, "beats_per_loop": 8},
    "other shape": {"n_fft": 512, "hop_length": 128, "metadata": {"tempo_bpm": "160.0"}},
    "other rate": {"sample_rate": 16000, "metadata": {"tempo_bpm": "160.0"}},
}
N_BLOCKS = 2000


class Log:
    """An observer that notes what it is told, and after how many blocks and samples."""

    def __init__(self):
        self.told, self.n_blocks, self.n_samples = [], 0, 0

    def follow(self, voice):
        voice.on_change = lambda frame, bits: self._note("flip", frame, bits)
        return 0

    def count_block(self, n_samples):
        self.n_blocks += 1
        self.n_samples += n_samples

    def note_takeover(self, voice, *, at_once):
        self._note("take-over", at_once)

    def note_quality(self, n_iterations, held_frames):
        self._note("quality", n_iterations, held_frames)

    def note_setting(self, name, value):
        self._note("setting", name, value)

    def note_fade(self, level, n_samples):
        self._note("fade", level, n_samples)

    def note_failure(self, voice):
        self._note("failure")

    def _note(self, *what):
        self.told.append((self.n_blocks, self.n_samples, *what))


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {
        name: Network.open(tiny.build(folder / f"{number}.onnx", **shape))
        for number, (name, shape) in enumerate({"one": SHAPE, **OTHERS}.items())
    }


@pytest.fixture
def play(networks):
    """Plays with flips and changes at random moments; with or without work between blocks."""

    def play(works_ahead, successor, seed=0, **performance):
        performance = Performance(seed=seed, **performance)
        log = Log()
        with VoiceSwitcher(Voice(networks["one"], performance), log) as switcher:
            rng = np.random.default_rng(seed)
            states = (True, False, True)
            blocks, positions, n_ready = [], [], 0
            for number in range(N_BLOCKS):
                if rng.random() < 0.02:
                    i = int(rng.integers(3))
                    states = tuple(on != (i == k) for k, on in enumerate(states))
                _change(switcher, rng, networks, successor, performance)
                n_ready += switcher.n_ready > 0
                blocks.append(switcher.block(states))
                if works_ahead:
                    switcher.work_ahead()
                if number % 5 == 0:
                    switcher.account()
                    positions.append((switcher.beat, log.n_samples))
                if number % 35 == 0:
                    voice = switcher.voice
                    positions.append((voice.beat, voice.heard_beat, voice.sounding))
        return np.concatenate(blocks), log, positions, n_ready

    return play


def _change(switcher, rng, networks, successor, performance):
    what = rng.random()
    if what < 0.005:
        switcher.adjust("gain", float(rng.uniform(-6, 3)))
    elif what < 0.008 and not performance.journey:
        switcher.adjust("tempo", float(rng.uniform(120, 200)))
    elif what < 0.012:
        switcher.set_quality(int(rng.integers(2)), int(rng.integers(1, 3)))
    elif what < 0.016:
        switcher.fade(float(rng.choice([0.5, 1.0])), 3000)
    elif what < 0.020 and switcher.is_free:
        old = switcher.voice
        name = successor if old.card is networks["one"].card else "one"
        new = Voice(networks[name], performance, sample_rate=22050, after=old)
        switcher.schedule(new, at_once=bool(rng.integers(2)))


@pytest.mark.parametrize(
    ("successor", "performance"),
    [
        ("same shape", {}),
        ("other shape", {}),
        ("other rate", {}),
        ("same shape", {"quantize": Quantize.BEAT}),
        ("same shape", {"glide_frames": 3, "tape": 0.0}),
        ("same shape", {"still": True}),
        ("same shape", {"journey": True}),
    ],
    ids=str,
)
def test_it_changes_no_sample_and_nothing_that_is_told(play, successor, performance):
    samples, log, positions, n_ready = play(True, successor, **performance)
    plain, plain_log, plain_positions, _ = play(False, successor, **performance)
    assert np.array_equal(samples, plain)
    assert log.told == plain_log.told
    assert positions == plain_positions
    # In a journey samples are transposed after that, block by block; numpy makes none ahead.
    has_blocks_ahead = "journey" not in performance and load_kernel().library is not None
    assert (n_ready > 100) == has_blocks_ahead


def test_a_voice_alone_plays_nearly_all_blocks_that_are_ready(networks):
    compiled_or_skip()
    states, n_ready = (True, False, True), 0
    with VoiceSwitcher(Voice(networks["one"], Performance())) as switcher:
        for _ in range(500):
            n_ready += switcher.n_ready > 0
            switcher.block(states)
            switcher.work_ahead()
    assert n_ready > 0.9 * 500


def test_other_threads_may_read_the_voice(networks):
    compiled_or_skip()
    states = (True, False, True)
    with VoiceSwitcher(Voice(networks["one"], Performance())) as switcher:
        while not switcher.n_ready:
            switcher.block(states)
            switcher.work_ahead()
        n_ready, beat = switcher.n_ready, switcher.beat
        switcher.block(states)
        assert switcher.voice.beat == beat < switcher.beat
        assert switcher.n_ready == n_ready - 1
        switcher.account()
        assert switcher.voice.beat == switcher.beat
