"""Every stage of the signal path takes 0, 1 and any number of samples, and gives as many.

How a stream is cut into blocks changes no bit of what comes out. Speakers: `test_speakers`.
"""

import math
from copy import deepcopy
from functools import cache
from itertools import count

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from device.audio.loudness import SILENCE_LUFS, integrated_lufs, true_peak_db
from device.audio.measurement import measure
from device.audio.resampler import Resampler
from device.audio.speaker import SilentSpeaker
from device.model.bundled import BUNDLED_MODEL
from device.model.network import Network
from device.playback.instrument import Instrument
from device.playback.statistics import level_db
from device.playback.voice_switcher import VoiceSwitcher
from device.switches.base import FixedSwitches
from device.synthesis.griffin_lim import GriffinLim
from device.synthesis.performance import Performance
from device.synthesis.smoother import FrameSmoother
from device.synthesis.tape import Tape, TapeTransport, limit
from device.synthesis.vocoder import Vocoder
from device.synthesis.voice import Voice
from tests.support import tiny_model as tiny

CARD = tiny.describe(tiny.Sizes())
RATE, N_FFT, HOP, N_BINS = CARD.sample_rate, CARD.n_fft, CARD.hop_length, CARD.n_bins
OFF, ALL = (False,) * 3, (True,) * 3
# Where a switch is flipped, or the score changes.
FLIPPED_AT = 8

numbers_of_samples = st.lists(
    st.sampled_from([0, 0, 1, 1, 2, 3, 7, 8, 9, 64, 320, 1280]), min_size=1, max_size=12
)
numbers_of_frames = st.lists(st.sampled_from([0, 0, 1, 1, 2, 3, 5, 13]), min_size=1, max_size=8)
a_few = settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])


def noise(n, seed=0):
    """Loud enough for the limiter to bend it here and there."""
    return 0.3 * np.random.default_rng(seed).standard_normal(n).astype(np.float32)


def frames(n):
    return np.abs(noise(n * N_BINS)).reshape(n, N_BINS)


def cut(stream, lengths):
    """Copies of consecutive pieces of these lengths: stages work in place."""
    return [piece.copy() for piece in np.split(stream, np.cumsum(lengths)[:-1])]


@cache
def tape(wear):
    """Never played itself: making one costs more than copying it."""
    return Tape(RATE, wear=wear)


class Limiter:
    def process(self, samples):
        limit(samples)
        return samples


class Playing:
    """A `TapeTransport` that counts the samples it has played."""

    def __init__(self, wear):
        self._transport = TapeTransport(RATE, wear, np.random.default_rng(3))
        self._at = 0

    def process(self, samples):
        self._transport.process(samples, self._at)
        self._at += len(samples)
        return samples


class Gliding:
    """A `FrameSmoother` through a first score and a second one."""

    def __init__(self):
        self._smoother = FrameSmoother(N_BINS, n_smoothed=3)
        self._at = 0

    def process(self, magnitude):
        for piece in np.split(magnitude, [min(max(FLIPPED_AT - self._at, 0), len(magnitude))]):
            if self._at in (0, FLIPPED_AT):
                self._smoother.start()
            self._smoother.apply(piece)
            self._at += len(piece)
        return magnitude


def inversion(**options):
    return GriffinLim(n_fft=N_FFT, hop_length=HOP, **options)


# How a stage is made, and how many numbers it gives for each sample or frame.
OF_SAMPLES = {
    "limiter": Limiter,
    "new tape transport": lambda: Playing(0.01),
    "worn tape transport": lambda: Playing(1.0),
    "no tape": lambda: deepcopy(tape(0.0)),
    "tape as it is": lambda: deepcopy(tape(Performance().tape)),
    "worn tape": lambda: deepcopy(tape(1.0)),
    "equal rates": lambda: Resampler(RATE, RATE),
}
OF_FRAMES = {
    "glide": (Gliding, N_BINS),
    "inversion": (lambda: inversion(look_ahead=7), HOP),
    "inversion that looks at nothing to come": (lambda: inversion(look_ahead=0), HOP),
    "inversion without a pass": (lambda: inversion(n_iterations=0), HOP),
    "vocoder": (
        lambda: Vocoder(CARD, deepcopy(tape(Performance().tape)), RATE, glide_frames=1),
        HOP,
    ),
}


@pytest.mark.parametrize("stage", OF_SAMPLES)
@given(lengths=numbers_of_samples)
@example(lengths=[0])
@example(lengths=[1])
@example(lengths=[0, 5, 0, 1, 0, 300])
@settings(max_examples=25)
def test_as_many_samples_come_out_as_go_in_however_blocks_fall(stage, lengths):
    stream, one, other = noise(sum(lengths)), OF_SAMPLES[stage](), OF_SAMPLES[stage]()
    output = [one.process(piece) for piece in cut(stream, lengths)]
    assert [len(piece) for piece in output] == lengths
    assert np.concatenate(output).tobytes() == other.process(stream.copy()).tobytes()


@pytest.mark.parametrize("stage", OF_FRAMES)
@given(lengths=numbers_of_frames)
@example(lengths=[0])
@example(lengths=[1])
@example(lengths=[0, 5, 0, 1, 0, 30])
@a_few
def test_every_frame_gives_its_numbers_however_blocks_fall(stage, lengths):
    make, n_per_frame = OF_FRAMES[stage]
    stream, one, other = frames(sum(lengths)), make(), make()
    output = [one.process(piece) for piece in cut(stream, lengths)]
    assert [piece.size for piece in output] == [n * n_per_frame for n in lengths]
    assert np.concatenate(output).tobytes() == other.process(stream.copy()).tobytes()


@pytest.mark.parametrize(
    "rates", [(32000, 22050), (22050, 48000), (44100, 22050), (96000, 8000), (8000, 96000)]
)
@given(lengths=numbers_of_samples)
@example(lengths=[0])
@example(lengths=[1])
@example(lengths=[0, 5, 0, 1, 0, 300])
@a_few
def test_a_resampler_gives_as_many_seconds_however_blocks_fall(rates, lengths):
    stream, one, other = noise(sum(lengths)), Resampler(*rates), Resampler(*rates)
    output = np.concatenate([one.process(piece) for piece in cut(stream, lengths)])
    assert output.dtype == np.float32
    assert len(output) == pytest.approx(
        len(stream) * rates[1] / rates[0], abs=2 + rates[1] / rates[0]
    )
    assert output.tobytes() == other.process(stream.copy()).tobytes()


@pytest.mark.parametrize("path", ["tiny", BUNDLED_MODEL], ids=["tiny", "bundled"])
@pytest.mark.parametrize("n_frames", [0, 1, 7])
def test_a_network_draws_the_requested_number_of_frames(tiny_model, path, n_frames):
    network = Network.open(tiny_model if path == "tiny" else path)
    score = network.compose(
        np.zeros(network.card.n_switches, np.float32),
        np.zeros(network.card.n_variation, np.float32),
    )
    drawn = network.frames(score, np.zeros(n_frames, np.float32))
    assert drawn.shape == (n_frames, network.card.frame_size)
    assert network.n_not_finite == 0


def flipped(voice, lengths):
    """Blocks of these numbers of frames; at one of them a switch is flipped."""
    for n in lengths:
        if voice.n_frames < FLIPPED_AT < voice.n_frames + n:
            n_before = FLIPPED_AT - voice.n_frames
            yield from flipped(voice, [n_before, n - n_before])
        else:
            yield voice.block(OFF if voice.n_frames < FLIPPED_AT else ALL, n)


@given(lengths=numbers_of_frames)
@example(lengths=[0])
@example(lengths=[0, 8, 0, 0, 100])
@a_few
def test_a_voice_draws_the_requested_frames_however_blocks_fall(network, lengths):
    one, other = (Voice(network, Performance()) for _ in range(2))
    output = np.concatenate([np.zeros(0, np.float32), *flipped(one, lengths)])
    assert len(output) == HOP * sum(lengths)
    assert output.tobytes() == np.concatenate(list(flipped(other, [sum(lengths)]))).tobytes()


@pytest.mark.parametrize("sample_rate", [RATE, 48000])
@given(lengths=numbers_of_samples)
@example(lengths=[0])
@a_few
def test_a_voice_gives_as_many_samples_as_are_taken_however_often(network, sample_rate, lengths):
    one, other = (Voice(network, Performance(), sample_rate=sample_rate) for _ in range(2))
    output = [one.take(ALL, n) for n in lengths]
    assert [len(piece) for piece in output] == lengths
    rest = one.rest()
    assert not len(one.rest())
    whole = other.take(ALL, sum(lengths) + len(rest))
    assert np.concatenate([*output, rest]).tobytes() == whole.tobytes()


@pytest.fixture(scope="module")
def next_networks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("next_networks")
    return {
        "same shape": Network.open(tiny.build(folder / "same.onnx", beats_per_loop=8)),
        "other shape": Network.open(tiny.build(folder / "other.onnx", n_fft=512)),
        "other rate": Network.open(tiny.build(folder / "rate.onnx", sample_rate=32000)),
    }


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize("name", ["same shape", "other shape", "other rate"])
def test_a_takeover_sounds_alike_however_blocks_fall(network, next_networks, name, at_once):
    n_samples = RATE * 3 // 2  # a bar has 0.6 s

    def taken_over(block_frames):
        performance = Performance(block_frames=block_frames, tempo_bpm=400.0)
        old = Voice(network, performance)
        new = Voice(next_networks[name], performance, sample_rate=RATE, after=old)
        switcher, blocks = VoiceSwitcher(old), []
        while old.n_frames < 120 * 2:
            blocks.append(switcher.block(ALL))
        switcher.schedule(new, at_once=at_once)
        while sum(map(len, blocks)) < n_samples:
            blocks.append(switcher.block(ALL))
        assert switcher.voice is new
        return np.concatenate(blocks)[:n_samples]

    expected = taken_over(1)
    assert np.isfinite(expected).all()
    for block_frames in (3, 5, 16):
        assert taken_over(block_frames).tobytes() == expected.tobytes()


@pytest.mark.parametrize("n_samples", [0, 1, 2, 300])
def test_every_measurement_is_finite_for_any_number_of_samples(n_samples):
    samples = np.full(n_samples, 0.5, np.float32)
    assert level_db(samples) == pytest.approx(-6.02 if n_samples else -math.inf, abs=0.01)
    assert math.isfinite(true_peak_db(samples))
    assert integrated_lufs(samples, RATE) >= SILENCE_LUFS
    measured = measure(samples, RATE)
    assert math.isfinite(measured.lufs) and np.isfinite(measured.band_levels).all()


def test_the_loop_goes_on_after_an_empty_block(network, monkeypatch):
    with SilentSpeaker(RATE, clock=lambda: 0.0, sleep=lambda _: None) as speaker:
        instrument = Instrument(
            network, FixedSwitches(ALL), speaker, Performance(), ahead=False, governed=True
        )
        with instrument:
            make_block, snapshots, calls = instrument.voice_switcher.block, [], count()

            def block(switch_states):
                return make_block(switch_states) if next(calls) % 2 else np.zeros(0, np.float32)

            monkeypatch.setattr(instrument.voice_switcher, "block", block)
            instrument.listeners.append(snapshots.append)
            report = instrument.play(0.5)
    assert report.seconds == 0.5
    assert -math.inf in {state.level_db for state in snapshots}
