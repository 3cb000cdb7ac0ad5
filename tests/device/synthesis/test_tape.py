"""Tape and limiter."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from device.audio.loudness import true_peak_db
from device.synthesis.kernel.tape import CompiledTape
from device.synthesis.tape import (
    CEILING,
    KNEE,
    MUSIC_CEILING,
    MUSIC_KNEE,
    Tape,
    TapeTransport,
    limit,
)
from tests.support.kernel import compiled_or_skip

RATE = 22050

any_samples = hnp.arrays(
    np.float32, st.integers(0, 300), elements=st.floats(-(2.0**100), 2.0**100, width=32)
)
soft_samples = hnp.arrays(
    np.float32, st.integers(0, 300), elements=st.floats(-KNEE, KNEE, width=32)
)


@pytest.fixture(scope="module", autouse=True, params=["numpy", "compiled"])
def _implementation(request):
    """Both implementations stand every test of the one."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "compiled":
            compiled_or_skip()
            patch.setitem(globals(), "Tape", CompiledTape)
        yield


def silence(seconds=1.0):
    return np.zeros(round(seconds * RATE), np.float32)


def level_db(samples):
    return 20 * np.log10(np.std(samples))


@given(any_samples)
def test_nothing_ever_exceeds_the_ceiling(samples):
    limit(samples)
    assert np.abs(samples).max(initial=0) <= np.float32(CEILING)


@given(soft_samples)
def test_what_is_below_the_knee_passes_untouched(samples):
    samples *= np.float32(MUSIC_KNEE / KNEE)
    before = samples.copy()
    assert np.array_equal(Tape(RATE, wear=0).process(samples), before)


@given(any_samples)
def test_the_limiter_keeps_signs_and_order(samples):
    samples.sort()
    signs = np.sign(samples)
    limit(samples)
    assert np.array_equal(np.sign(samples), signs)
    # Its curve is computed in single precision: equal up to a rounding of the last bit.
    assert (np.diff(samples) >= -1e-6).all()


def test_the_limiter_has_no_corner():
    samples = np.linspace(0, 2, 20001, dtype=np.float32)
    limit(samples)
    slope = np.diff(samples.astype(np.float64)) / 1e-4
    assert np.abs(np.diff(slope)).max() < 0.01
    assert slope[0] == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("gain_db", [0, 20, 60, 120])
@pytest.mark.parametrize("wear", [0.0, 1.0])
def test_at_any_gain_the_output_stays_below_the_ceiling(gain_db, wear):
    noise = 0.2 * np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    output = Tape(RATE, wear=wear, gain=10 ** (gain_db / 20)).process(noise)
    assert np.abs(output).max() <= np.float32(CEILING)


@pytest.mark.parametrize("hertz", [50, 440, 1000, 2000, 3000])
def test_a_full_scale_sine_keeps_its_true_peak_well_below_one_decibel(hertz):
    # Higher or louder ones do not (4 kHz: -0.5 dBTP); lo-fi music has nothing like them.
    time = np.arange(RATE) / RATE
    samples = np.sin(2 * np.pi * hertz * time + 0.1).astype(np.float32)
    assert true_peak_db(Tape(RATE, wear=0).process(samples)) < -1.5


def test_the_gain_is_applied_before_the_limiter():
    output = Tape(RATE, wear=0, gain=0.5).process(np.full(10, 0.24, np.float32))
    assert output == pytest.approx(0.12)


@pytest.mark.parametrize("gain", [0.1, 1.0])
def test_peaks_of_the_music_are_limited_at_any_gain(gain):
    peaks = np.linspace(-3, 3, 4001, dtype=np.float32)
    output = Tape(RATE, wear=0, gain=gain).process(peaks)
    assert 0.95 * MUSIC_CEILING * gain < np.abs(output).max() <= MUSIC_CEILING * gain


def test_the_samples_are_changed_in_place():
    samples = silence()
    assert Tape(RATE, wear=1.0).process(samples) is samples


def test_a_clean_tape_is_silent():
    assert not Tape(RATE, wear=0, seed=4).process(silence()).any()


def test_a_worn_tape_is_heard_and_stays_under_the_music():
    output = Tape(RATE, wear=1.0).process(silence(12.0))
    assert -60 < level_db(output) < -40
    assert np.abs(output).max() < 0.1


def test_half_the_wear_is_half_as_loud():
    whole, half = (Tape(RATE, wear=p, seed=1).process(silence()) for p in (1.0, 0.5))
    assert half == pytest.approx(0.5 * whole, abs=1e-7)


def test_the_same_seed_is_the_same_tape_and_another_is_another():
    one, same, other = (Tape(RATE, wear=1.0, seed=s).process(silence()) for s in (5, 5, 6))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


@given(st.lists(st.integers(1, 3 * RATE), min_size=1, max_size=8))
def test_the_block_size_does_not_change_hiss_and_crackle(sizes):
    in_pieces = np.concatenate([TAPES[0].process(np.zeros(n, np.float32)) for n in sizes])
    at_once = TAPES[1].process(np.zeros(sum(sizes), np.float32))
    assert np.array_equal(in_pieces, at_once)


# Two reels of the same tape that run side by side; making one costs more than playing it.
TAPES = [Tape(RATE, wear=1.0, seed=9) for _ in range(2)]


def test_hiss_and_crackle_run_on_without_a_seam_or_a_pause():
    output = Tape(RATE, wear=1.0).process(silence(30.0))
    seconds = output.reshape(30, RATE)
    assert (seconds.std(axis=1) > 0.5 * np.median(seconds.std(axis=1))).all()
    # A seam would be a step: no step is larger than those inside the first six seconds.
    steps = np.abs(np.diff(output))
    assert steps[6 * RATE :].max() <= 1.5 * steps[: 11 * RATE].max()


def test_hiss_and_crackle_do_not_repeat_after_either_of_their_loops():
    output = Tape(RATE, wear=1.0).process(silence(40.0))
    for seconds in (7, 11):
        assert not np.array_equal(output[: 5 * RATE], output[seconds * RATE : (seconds + 5) * RATE])


@pytest.mark.parametrize("limit_db", [0.0, -6.0, -20.0])
def test_nothing_is_louder_than_the_volume_limit_whatever_the_gain(limit_db):
    ceiling = 10 ** (limit_db / 20)
    tape = Tape(RATE, wear=1.0, gain=4.0, volume_limit=ceiling)
    loud = np.sin(np.arange(RATE, dtype=np.float32))
    peak = np.abs(tape.process(loud)).max()
    assert 0.7 * ceiling < peak <= 0.8 * ceiling


# -- the transport ---------------------------------------------------------------------------


def sine(hertz, seconds=4.0, level=0.3):
    return (level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)).astype(
        np.float32
    )


def played(samples, wear=1.0, seed=0, block=1280):
    """Samples played by a tape transport, without hiss and crackle."""
    transport, output = TapeTransport(RATE, wear, np.random.default_rng(seed)), samples.copy()
    for start in range(0, len(output), block):
        transport.process(output[start : start + block], start)
    return output


def level_at(samples, hertz):
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    # Wow and flutter spread a tone a little.
    low, high = (
        round(0.99 * hertz * len(samples) / RATE),
        round(1.01 * hertz * len(samples) / RATE),
    )
    return 10 * np.log10((spectrum[low : high + 1] ** 2).sum())


def test_the_pitch_varies_by_less_than_half_a_percent():
    tone = played(sine(1000.0, level=0.01))
    rising = np.flatnonzero((tone[:-1] < 0) & (tone[1:] >= 0))
    crossings = rising + tone[rising] / (tone[rising] - tone[rising + 1])
    pitch = 10 * RATE / (crossings[10:] - crossings[:-10])
    assert 0.002 < np.abs(pitch / 1000.0 - 1).max() < 0.005
    assert np.median(pitch) == pytest.approx(1000.0, rel=0.003)


def test_the_output_does_not_depend_on_the_block_size():
    music = played(sine(440.0, seconds=0.5), block=2048)
    for block in (1, 17, 256, 1280):
        some = played(sine(440.0, seconds=0.3), block=block)
        assert np.array_equal(some, music[: len(some)])


def test_loud_sound_is_compressed_and_soft_sound_is_not():
    third = {
        level: level_at(played(sine(440.0, level=level)), 1320)
        - level_at(sine(440.0, level=level), 440)
        for level in (0.5, 0.01)
    }
    assert -45 < third[0.5] < -25
    assert third[0.01] < -60


def test_the_head_attenuates_high_notes_and_passes_low_ones():
    loss = {
        hertz: level_at(played(sine(hertz, level=0.01)), hertz)
        - level_at(sine(hertz, level=0.01), hertz)
        for hertz in (100, 8000)
    }
    assert abs(loss[100]) < 0.5
    assert -9 < loss[8000] < -3


def test_less_wear_does_less():
    music = sine(440.0)
    little, much = (np.abs(played(music, wear) - music).mean() for wear in (0.1, 1.0))
    assert little < 0.5 * much


def test_the_seed_sets_the_phase_of_wow_and_flutter():
    assert np.array_equal(played(sine(440.0), seed=1), played(sine(440.0), seed=1))
    assert not np.array_equal(played(sine(440.0), seed=1), played(sine(440.0), seed=2))


@given(st.lists(st.tuples(st.integers(0, 600), st.floats(0.001, 4)), max_size=5))
def test_a_gain_that_changes_follows_straight_lines_however_the_stream_is_cut(changes):
    tape, whole = Tape(RATE, wear=0, gain=0.01), np.float32(0.01)
    gains = []
    for n, gain in changes:
        gains.append(tape.process(np.full(n, whole)) / whole)
        tape.set_gain(gain)
    gains.append(tape.process(np.full(1000, whole)) / whole)
    most_step = 4 / round(0.02 * RATE)
    assert np.abs(np.diff(np.concatenate(gains))).max() <= most_step + 1e-4
    assert gains[-1][-1] == pytest.approx(changes[-1][1] if changes else 0.01, rel=1e-4)


def test_both_implementations_have_the_same_gain_sample_by_sample():
    compiled_or_skip()
    sounds = []
    for implementation in (Tape, CompiledTape):
        tape, parts = implementation(RATE, wear=0), []
        for gain, n in ((0.3, 100), (0.9, 700), (0.1, 13), (0.4, 2000)):
            tape.set_gain(gain)
            parts.append(tape.process(np.linspace(-0.2, 0.2, n, dtype=np.float32)))
        sounds.append(np.concatenate(parts))
    assert np.array_equal(*sounds)
