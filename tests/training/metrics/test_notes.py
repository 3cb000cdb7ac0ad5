"""Metrics of notes on synthetic tones, and distances between collections of pitches."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.metrics.audio_metrics import GROUPS, METRIC_NAMES, analyse, measure
from training.metrics.pitch_collections import compare_pitches
from training.metrics.pitch_salience import PITCHES
from training.metrics.spectra import SAMPLE_RATE

A_MINOR = (57, 60, 64)
SCALE = (60, 62, 64, 65, 67, 69, 71, 72)


def chord(keys, seconds=4.0, wander_cents=0.0, cents=0.0):
    """Tones of MIDI keys; each partial wanders on its own where asked."""
    rng = np.random.default_rng(1)
    n_samples = round(seconds * SAMPLE_RATE)
    samples, knots = np.zeros(n_samples), np.arange(0, n_samples + 2048, 1024)
    for key in keys:
        for order in range(1, 7):
            steps = np.interp(np.arange(n_samples), knots, rng.standard_normal(len(knots)))
            hertz = order * 440 * 2 ** ((key - 69 + (cents + wander_cents * steps) / 100) / 12)
            samples += 0.6**order * np.sin(2 * np.pi * np.cumsum(hertz) / SAMPLE_RATE)
    return (0.05 * samples).astype(np.float32)


def melody(keys, seconds_each=0.5):
    return np.concatenate([chord([key], seconds_each) for key in keys])


def noise(seconds=4.0, seed=0):
    samples = 0.1 * np.random.default_rng(seed).standard_normal(round(seconds * SAMPLE_RATE))
    return samples.astype(np.float32)


def figures(samples):
    measured = dict(zip(METRIC_NAMES, measure(samples, SAMPLE_RATE), strict=True))
    return {name: measured[name] for name in GROUPS["notes"]}


@pytest.mark.parametrize("keys", [(60,), (57, 64), A_MINOR, (48, 60, 64, 67, 71)])
def test_a_chord_has_as_many_notes_as_were_played(keys):
    assert figures(chord(keys))["polyphony"] == pytest.approx(len(keys), rel=0.25)


@settings(deadline=None, max_examples=12)
@given(key=st.integers(40, 84), cents=st.integers(-20, 20))
def test_a_tone_has_the_pitch_of_its_fundamental(key, cents):
    analysis = analyse(chord([key], 1.5, cents=cents), SAMPLE_RATE)
    assert PITCHES[analysis.pitches.mean(axis=0).argmax()] == key


@pytest.mark.parametrize("keys", [(45,), (60,), (80,), A_MINOR])
def test_the_mean_pitch_is_that_of_the_notes(keys):
    assert figures(chord(keys))["pitch_mean"] == pytest.approx(np.mean(keys), abs=0.5)


def test_a_whole_instrument_may_be_out_of_tune():
    in_tune, flat = figures(chord(A_MINOR)), figures(chord(A_MINOR, cents=-35))
    assert flat["note_certainty"] == pytest.approx(in_tune["note_certainty"], abs=0.05)
    assert flat["polyphony"] == pytest.approx(in_tune["polyphony"], abs=0.3)


@pytest.mark.parametrize("cents", [10, 20, 40])
def test_wandering_partials_are_more_ambiguous_than_steady_ones(cents):
    steady, wandering = figures(chord(A_MINOR)), figures(chord(A_MINOR, wander_cents=cents))
    assert wandering["note_ambiguity"] > steady["note_ambiguity"] + 0.05
    assert wandering["note_instability"] > 3 * steady["note_instability"]
    assert wandering["pitch_wander"] > 3 > 1 > steady["pitch_wander"]
    assert wandering["note_certainty"] < steady["note_certainty"]


def test_transposition_changes_the_pitch_and_nothing_else():
    here, above = figures(melody(SCALE)), figures(melody([key + 3 for key in SCALE]))
    assert above["pitch_mean"] - here["pitch_mean"] == pytest.approx(3, abs=0.3)
    for name, tolerance in {
        "polyphony": 0.2,
        "note_certainty": 0.05,
        "in_scale": 0.05,
        "chord_fit": 0.05,
        "roughness": 0.05,
    }.items():
        assert above[name] == pytest.approx(here[name], abs=tolerance), name


def test_a_scale_lies_in_a_scale_and_a_chromatic_run_does_not():
    assert figures(melody(SCALE))["in_scale"] > 0.95
    assert figures(melody(range(60, 72)))["in_scale"] < 0.75


def test_a_triad_fits_a_chord_and_a_cluster_is_rougher():
    triad, cluster = figures(chord(A_MINOR)), figures(chord((60, 61, 62)))
    assert triad["chord_fit"] > 0.95 > cluster["chord_fit"]
    assert cluster["roughness"] > triad["roughness"] + 0.1


def test_chords_that_change_are_told_from_one_that_stays():
    moving = np.concatenate([chord(keys, 1.0) for keys in (A_MINOR, (53, 57, 60), (55, 59, 62))])
    assert figures(moving)["chord_change"] > figures(chord(A_MINOR, 3.0))["chord_change"] + 0.05


@pytest.mark.parametrize(
    "samples", [np.zeros(9000), np.ones(9000), noise(), noise(0.05), chord([60], 0.01)]
)
def test_silence_noise_and_shreds_have_finite_figures(samples):
    analysis = analyse(samples.astype(np.float32), SAMPLE_RATE)
    assert np.isfinite(analysis.figures).all()
    assert np.isfinite(analysis.pitches).all()
    assert analysis.pitches.shape[0] >= 1


def test_silence_has_no_notes():
    assert figures(np.zeros(SAMPLE_RATE, np.float32))["polyphony"] == 0


@settings(deadline=None, max_examples=6)
@given(gain_db=st.floats(-30, 12))
def test_the_level_does_not_matter(gain_db):
    music = chord(A_MINOR, 2.0) + 0.02 * noise(2.0)
    louder = figures(music * np.float32(10 ** (gain_db / 20)))
    assert louder == pytest.approx(figures(music), rel=0.01, abs=0.01)


# -- collections ---------------------------------------------------------------------------


def pieces(n, seed, spread=1.0):
    """Pieces of eight half seconds around a profile of their own."""
    rng = np.random.default_rng(seed)
    profiles = 0.5 + spread * rng.uniform(-0.5, 0.5, (n, 1, len(PITCHES)))
    return list((profiles + 0.05 * rng.standard_normal((n, 8, len(PITCHES)))).astype(np.float32))


def test_two_parts_of_one_collection_are_alike():
    found = compare_pitches(pieces(60, 0), pieces(60, 1))
    assert found.kernel_distance == pytest.approx(0, abs=5)
    assert found.diversity == pytest.approx(1, abs=0.05)


def test_other_pitches_are_apart_and_repeated_pieces_are_less_diverse():
    elsewhere = compare_pitches(pieces(40, 0), [piece + 1 for piece in pieces(40, 1)])
    assert elsewhere.kernel_distance > 100
    assert elsewhere.diversity == pytest.approx(1, abs=0.05)
    assert compare_pitches(pieces(40, 0), pieces(40, 1, spread=0.3)).diversity < 0.5


def test_collections_of_one_piece_or_of_copies_are_not_compared():
    assert compare_pitches(pieces(1, 0), pieces(5, 1)) is None
    copies = [np.zeros((4, len(PITCHES)), np.float32)] * 3
    assert compare_pitches(copies, pieces(5, 1)) is None
