"""The voice: the samples for switch states, and when a flip is heard."""

import math
import threading

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from device.audio.loudness import true_peak_db
from device.model.network import Network
from device.synthesis.performance import Performance
from device.synthesis.smoother import FrameSmoother
from device.synthesis.tape import CEILING
from device.synthesis.transport import Quantize
from device.synthesis.variation import SongForm
from device.synthesis.vocoder import INVERSION_PRESET
from device.synthesis.voice import Voice

OFF, FIRST, ALL = (False,) * 3, (True, False, False), (True,) * 3
HOP = 64
FRAMES_PER_BEAT = 22050 * 60 / 120 / HOP
# At this tempo a pass of the loop is 700 frames, so that passes can be compared frame by frame.
EVEN_TEMPO, FRAMES_PER_LOOP = 60 * 22050 * 4 / (HOP * 700), 700

clean = {"tape": 0.0}


@pytest.fixture
def play(network):
    """Plays switch states that change at some frames, and returns the samples."""
    opened = []

    def play(flips, n_frames, *, ahead=False, **performance):
        # Flips come at multiples of four frames.
        voice = Voice(network, Performance(**{"block_frames": 4, **performance}), ahead=ahead)
        opened.append(voice)
        blocks, bits = [], OFF
        while voice.n_frames < n_frames:
            bits = flips.get(voice.n_frames, bits)
            blocks.append(voice.block(bits))
        return np.concatenate(blocks)[: n_frames * HOP]

    yield play
    for voice in opened:
        voice.close()


LOOK_AHEAD = INVERSION_PRESET.look_ahead


class MagnitudeRecorder:
    """Wraps the vocoder's inversion and keeps the magnitudes, as last revised."""

    def __init__(self, voice):
        self.magnitudes = []
        self._inversion, self._process = voice.vocoder.inversion, voice.vocoder.process
        voice.vocoder.inversion = self
        voice.vocoder.process = self.process

    def __getattr__(self, name):
        return getattr(self._inversion, name)

    def process(self, magnitudes):
        self.magnitudes.extend(magnitudes.copy())
        return self._process(magnitudes)

    def revise(self, magnitudes):
        self.magnitudes[-len(magnitudes) :] = magnitudes.copy()
        self._inversion.revise(magnitudes)


def three_passes(network, **performance):
    """Magnitudes of three passes of the loop, (3, frames, bins)."""
    voice = Voice(network, Performance(tempo_bpm=EVEN_TEMPO, **performance))
    recorder = MagnitudeRecorder(voice)
    while voice.n_frames < 3 * FRAMES_PER_LOOP:
        voice.block(FIRST)
    return np.stack(recorder.magnitudes[: 3 * FRAMES_PER_LOOP]).reshape(3, FRAMES_PER_LOOP, -1)


def departure(one, other):
    """The first frame in which two performances differ, None if they do not."""
    different = np.flatnonzero(one != other)
    return int(different[0]) // HOP if len(different) else None


def test_a_block_has_the_stated_length_and_single_precision(network):
    voice = Voice(network, Performance(block_frames=5))
    block = voice.block(ALL)
    assert (block.shape, block.dtype) == ((voice.block_samples,), np.float32)
    assert voice.block_samples == 5 * HOP


def test_the_same_switches_model_and_seed_are_the_same_samples(play):
    assert np.array_equal(play({0: ALL, 400: FIRST}, 1000), play({0: ALL, 400: FIRST}, 1000))


def test_another_seed_is_other_music_even_on_a_clean_tape(play):
    # The first hops are silent in any music: they belong to frames before the first.
    one, other = play({}, 100, seed=1, **clean), play({}, 100, seed=2, **clean)
    assert 0 < departure(one, other) <= LOOK_AHEAD


@pytest.mark.parametrize("block_frames", [2, 3, 8, 16, 50])
def test_the_block_size_does_not_change_the_music(play, block_frames):
    # Well into the second pass, so that a change of score falls inside a block.
    assert np.array_equal(
        play({0: ALL}, 900, block_frames=1), play({0: ALL}, 900, block_frames=block_frames)
    )


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    flips=st.dictionaries(
        st.integers(0, 18).map(lambda n: 16 * n), st.tuples(*[st.booleans()] * 3), max_size=5
    ),
    block_frames=st.sampled_from([2, 4, 8, 16]),
    quantize=st.sampled_from(Quantize),
)
def test_flips_that_fall_between_blocks_sound_alike_in_all_block_sizes(
    play, flips, block_frames, quantize
):
    one = play(flips, 304, block_frames=1, quantize=quantize)
    assert np.array_equal(one, play(flips, 304, block_frames=block_frames, quantize=quantize))


def test_composing_ahead_does_not_change_the_music(play):
    flips = {0: ALL, 80: FIRST, 160: OFF, 480: (False, True, True), 800: ALL}
    assert np.array_equal(play(flips, 1000, ahead=True), play(flips, 1000, ahead=False))


@pytest.mark.parametrize("switch", range(3))
def test_every_switch_is_heard_in_the_block_that_reads_it(play, switch):
    flipped = tuple(i == switch for i in range(3))
    one, other = play({}, 400, **clean), play({200: flipped}, 400, **clean)
    assert departure(one, other) == 200
    assert np.std(other[300 * HOP :] - one[300 * HOP :]) > 0.1 * np.std(one)


def test_a_switch_turned_off_again_leaves_no_trace_in_the_frames(network):
    voice, plain = (Voice(network, Performance(block_frames=8, **clean)) for _ in range(2))
    recorded, expected = MagnitudeRecorder(voice), MagnitudeRecorder(plain)
    for number in range(40):
        voice.block(ALL if 10 <= number < 20 else OFF)
        plain.block(OFF)
    assert len(recorded.magnitudes) == len(expected.magnitudes) == 320
    assert not np.array_equal(recorded.magnitudes[80:160], expected.magnitudes[80:160])
    assert np.array_equal(recorded.magnitudes[200:], expected.magnitudes[200:])


@pytest.mark.parametrize(
    ("quantize", "grid"),
    [(Quantize.SIXTEENTH, 0.25), (Quantize.BEAT, 1.0), (Quantize.BAR, 4.0)],
)
@pytest.mark.parametrize("flipped_at", [8, 200, 600])
def test_a_quantised_flip_sounds_in_the_first_frame_on_the_next_line(
    play, quantize, grid, flipped_at
):
    # The next line is that of what is still to be heard, not of what is drawn ahead.
    first_open = flipped_at - LOOK_AHEAD
    line = math.ceil(first_open / FRAMES_PER_BEAT / grid) * grid
    expected = math.ceil(line * FRAMES_PER_BEAT - 1e-6)
    n_frames = expected + 50
    one = play({}, n_frames, quantize=quantize)
    changed_at = departure(one, play({flipped_at: ALL}, n_frames, quantize=quantize))
    assert expected <= changed_at <= expected + LOOK_AHEAD


def test_switches_set_before_the_start_do_not_wait_for_the_bar(play):
    assert np.array_equal(play({0: ALL}, 50, quantize=Quantize.BAR), play({0: ALL}, 50))


def test_a_flip_taken_back_before_its_bar_is_never_heard(play):
    there_and_back = play({80: ALL, 160: OFF}, 800, quantize=Quantize.BAR)
    assert departure(there_and_back, play({}, 800, quantize=Quantize.BAR)) is None


def test_of_several_flips_before_the_bar_the_last_state_sounds(play):
    in_steps = play({80: FIRST, 160: (True, True, False), 240: ALL}, 800, quantize=Quantize.BAR)
    assert np.array_equal(in_steps, play({80: ALL}, 800, quantize=Quantize.BAR))


def test_the_sounding_bits_change_only_at_the_beat_of_the_flip(network):
    voice = Voice(network, Performance(quantize=Quantize.BAR, block_frames=4))
    while voice.beat < 1.0:
        voice.block(OFF)
    voice.block(ALL)
    assert voice.sounding == OFF
    while voice.beat < 4.0:
        voice.block(ALL)
    assert voice.sounding == ALL


def test_frozen_every_pass_has_the_same_magnitudes(network):
    first, second, third = three_passes(network, still=True)
    assert np.array_equal(first, second)
    assert np.array_equal(second, third)


def test_without_freezing_no_two_passes_are_equal(network):
    first, second, third = three_passes(network)
    assert np.abs(first - second).max() > 0.01 * first.max()
    assert np.abs(second - third).max() > 0.01 * first.max()


def test_the_last_quarter_of_a_section_is_drawn_from_a_score_of_its_own(network):
    # The first section is two passes of the loop; its third passage is the fill.
    _, played, _ = three_passes(network, glide_frames=0)
    scores = [network.compose(np.array(FIRST, "f4"), SongForm(2, seed=1).at(n)) for n in (1, 2)]
    beats = np.linspace(0, network.card.beats_per_loop, FRAMES_PER_LOOP, False, dtype="f4")
    before, fill = (network.frames(score, beats) for score in scores)
    first = FRAMES_PER_LOOP * 3 // 4
    assert np.abs(before[first:] - fill[first:]).max() > 0.1
    assert played[:first] == pytest.approx(before[:first], abs=1e-3)
    assert played[first:] == pytest.approx(fill[first:], abs=1e-3)


def test_a_change_of_score_is_smoothed_from_the_last_frame():
    glide = FrameSmoother(2, n_smoothed=3)
    glide.apply(np.zeros((1, 2), np.float32))
    glide.start()
    frames = np.ones((5, 2), np.float32)
    glide.apply(frames[:2])
    glide.apply(frames[2:])
    assert frames[:, 0].tolist() == [0.25, 0.5, 0.75, 1.0, 1.0]


def test_a_flip_during_smoothing_starts_from_the_smoothed_frame():
    glide = FrameSmoother(1, n_smoothed=3)
    glide.apply(np.zeros((1, 1), np.float32))
    glide.start()
    first = np.ones((2, 1), np.float32)
    glide.apply(first)
    glide.start()
    second = np.zeros((4, 1), np.float32)
    glide.apply(second)
    assert second[:, 0].tolist() == [0.375, 0.25, 0.125, 0.0]


def test_a_flip_does_not_click(play):
    samples = play({200: ALL}, 600, **clean)
    curvature = np.abs(np.diff(samples, 2))
    around = slice(199 * HOP, 206 * HOP)
    assert curvature[around].max() <= curvature[300 * HOP :].max()


@pytest.mark.parametrize("gain_db", [0.0, 20.0, 60.0])
def test_no_gain_exceeds_the_ceiling(play, gain_db):
    assert np.abs(play({0: ALL}, 400, gain_db=gain_db)).max() <= np.float32(CEILING)


@pytest.mark.parametrize("bits", [OFF, FIRST, ALL])
@pytest.mark.parametrize("gain_db", [0.0, 6.0, 14.0])
def test_music_that_is_turned_up_keeps_its_true_peak_below_one_decibel(play, bits, gain_db):
    assert true_peak_db(play({0: bits}, 1000, gain_db=gain_db)) < -1.0


def test_music_at_the_highest_volume_keeps_its_true_peak_below_one_decibel(play):
    assert true_peak_db(play({0: ALL}, 1000, gain_db=12.0)) < -1.0


def test_the_gain_is_in_decibels(play):
    loud, soft = play({}, 100, **clean), play({}, 100, gain_db=-20.0, **clean)
    assert soft == pytest.approx(0.1 * loud, abs=1e-7)


def test_another_tempo_plays_the_same_loop_faster(network):
    voice = Voice(network, Performance(tempo_bpm=240.0))
    while voice.n_frames < 1000:
        voice.block(OFF)
    assert voice.beat == pytest.approx(2 * 1000 / FRAMES_PER_BEAT)


def test_beats_count_from_the_start_and_do_not_wrap(network):
    voice = Voice(network, Performance(block_frames=50))
    for _ in range(20):
        voice.block(OFF)
    assert voice.beat == pytest.approx(1000 / FRAMES_PER_BEAT)
    assert voice.beat > voice.card.beats_per_loop


def test_a_model_with_an_asymmetric_window_plays_and_answers_a_flip_sooner(network, build_model):
    other = Network.open(build_model(metadata={"window": "asymmetric"}))
    hann, asymmetric = (Voice(model, Performance(**clean)) for model in (network, other))
    levels = [np.std([voice.block(FIRST) for _ in range(60)]) for voice in (hann, asymmetric)]
    assert levels[1] == pytest.approx(levels[0], rel=0.2)
    assert asymmetric.vocoder.halfway_seconds < hann.vocoder.halfway_seconds
    # The window's peak is a third, and not half, of the frame after its first sample.
    sooner = hann.vocoder.delay_seconds - asymmetric.vocoder.delay_seconds
    assert sooner == pytest.approx((256 // 2 - 256 // 3) / 22050)
    assert asymmetric.heard_beat > hann.heard_beat


def test_scores_that_were_not_ready_are_counted(network):
    voice = Voice(network, Performance())
    for bits in (OFF, ALL, OFF, FIRST):
        voice.block(bits)
    assert voice.n_misses == 3


def test_closing_ends_the_helper_and_may_be_repeated(network):
    voice = Voice(network, Performance(), ahead=True)
    voice.block(ALL)
    voice.close()
    voice.close()
    assert not {"scores", "frames"} & {thread.name for thread in threading.enumerate()}
