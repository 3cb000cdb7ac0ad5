"""Agreement before and after a flip is 1 where nothing changes, and falls with what does."""

import numpy as np
import pytest

from device.switches.state_sampling import all_states
from training.evaluation.flip_agreement import (
    agreement_of_distant_states,
    agreement_of_flips,
    chroma,
)
from training.evaluation.renders import Render
from training.metrics.pitch_salience import PITCHES
from training.metrics.rhythm import onset_pattern
from training.metrics.spectra import SAMPLE_RATE

N_HALF_SECONDS, N_STEPS = 8, 80


def render(bits):
    """Switch 1 moves all pitches by a semitone, switch 2 the onsets, switch 3 nothing."""
    pitches = np.zeros((N_HALF_SECONDS, len(PITCHES)), np.float32)
    pitches[:, [20 + bits[0], 24 + bits[0], 27 + bits[0]]] = 1
    onsets = np.zeros(N_STEPS, np.float32)
    onsets[2 * bits[1] :: 8] = 1
    figures = np.zeros(0)
    return Render(bits, 1, figures, pitches, onsets, is_finite=True, clip=None)


@pytest.fixture(scope="module")
def renders():
    return [render(bits) for bits in all_states(3)]


def test_a_switch_that_moves_pitches_changes_harmony_alone(renders):
    harmony, rhythm, nothing = agreement_of_flips(renders, 3)
    assert (harmony.harmony, harmony.rhythm) == (pytest.approx(0, abs=1e-6), pytest.approx(1))
    assert rhythm.harmony == pytest.approx(1)
    assert rhythm.rhythm < 0
    assert (nothing.harmony, nothing.rhythm) == (pytest.approx(1), pytest.approx(1))


def test_distant_states_agree_less(renders):
    flips = agreement_of_flips(renders, 3)
    distant = agreement_of_distant_states(renders)
    assert distant.harmony < np.mean([each.harmony for each in flips])
    assert distant.rhythm < np.mean([each.rhythm for each in flips])


def test_a_switch_of_which_no_pair_was_rendered_has_no_agreement(renders):
    some = [each for each in renders if each.bits in {(False,) * 3, (True, False, False)}]
    moved, unknown, _ = agreement_of_flips(some, 3)
    assert moved.harmony == pytest.approx(0, abs=1e-6)
    assert np.isnan(unknown.harmony)


def test_pairs_are_those_in_which_other_switches_are_on(renders):
    some = [each for each in renders if sum(each.bits) >= 2]
    everywhere = agreement_of_flips(some, 3)
    with_others = agreement_of_flips(renders, 3, on=(0, 1, 2))
    assert with_others == everywhere


def test_octaves_are_one_pitch_class():
    pitches = np.zeros((1, len(PITCHES)), np.float32)
    pitches[0, [3, 15, 27]] = 1
    classes = chroma(pitches)
    assert classes.shape == (1, 12)
    assert classes[0, PITCHES[3] % 12] == 3


def test_the_pattern_of_a_click_track_is_its_clicks():
    samples = np.zeros(4 * SAMPLE_RATE, np.float32)
    noise = np.random.default_rng(0).standard_normal(200).astype(np.float32)
    for click in range(8):
        start = int((0.25 + 0.5 * click) * SAMPLE_RATE)
        samples[start : start + 200] = 0.5 * noise
    pattern = onset_pattern(samples)
    assert len(pattern) == pytest.approx(76, abs=1)
    strongest = np.sort(np.argsort(pattern)[-8:])
    assert np.diff(strongest) == pytest.approx(10, abs=1)
