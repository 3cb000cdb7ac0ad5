"""The form of the songs: themes that return, no passage twice, repeatable and without state."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.synthesis.variation import SongForm, n_theme

N_MANY = 4000
# A song has four sections of two passes of the loop: A A' B A.
PASSES_PER_SONG = 8

passages = st.integers(0, 10**7)


def cosine(one, other):
    return one @ other / np.linalg.norm(one) / np.linalg.norm(other)


def at(form, passes):
    return form.at(form.passage_at(passes))


def theme(vector):
    return vector[: n_theme(len(vector))]


@given(seed=st.integers(0, 2**32), passage=passages)
def test_a_passage_of_a_seed_is_always_the_same_in_any_order(seed, passage):
    form = SongForm(8, seed=seed)
    vector = form.at(passage)
    form.at(passage + 3)
    assert np.array_equal(form.at(passage), vector)
    assert np.array_equal(SongForm(8, seed=seed).at(passage), vector)


@given(passages)
def test_another_seed_is_another_song(passage):
    vector = SongForm(8, seed=1).at(passage)
    assert not np.array_equal(theme(vector), theme(SongForm(8, seed=2).at(passage)))


@pytest.mark.parametrize("n_variation", [1, 2, 16])
def test_no_passage_is_played_twice(n_variation):
    form = SongForm(n_variation, seed=3)
    n_passages = form.passage_at(100 * PASSES_PER_SONG)
    assert len({form.at(passage).tobytes() for passage in range(n_passages)}) == n_passages


@pytest.mark.parametrize("passage", range(12))
def test_the_variance_is_one_in_every_passage_of_a_song(passage):
    # 4000 normal numbers: their variance scatters by sqrt(2 / 4000), 0.022; five times that.
    vector = SongForm(N_MANY, seed=4).at(passage)
    assert vector.var() == pytest.approx(1, abs=0.11)
    assert vector.mean() == pytest.approx(0, abs=0.08)


@given(song=st.integers(0, 10**5), seed=st.integers(0, 100))
def test_the_theme_of_a_song_returns_after_another_which_begins_the_next_song(song, seed):
    form = SongForm(16, seed=seed)
    first = song * PASSES_PER_SONG
    themes = [theme(at(form, first + n)).tobytes() for n in range(PASSES_PER_SONG + 1)]
    a, b = themes[0], themes[4]
    assert a != b
    assert themes == [a, a, a, a, b, b, a, a, b]


def test_details_differ_more_between_sections_than_within_one():
    form = SongForm(N_MANY, seed=5)
    details = [at(form, n)[n_theme(N_MANY) :] for n in range(PASSES_PER_SONG)]
    within = [cosine(details[n], details[n + 1]) for n in range(0, PASSES_PER_SONG, 2)]
    assert min(within) > 0.85
    varied, back = cosine(details[0], details[2]), cosine(details[0], details[6])
    assert 0.6 < varied < 0.8 < back < min(within) + 0.05
    assert abs(cosine(details[0], details[4])) < 0.1


def test_the_last_quarter_of_a_section_is_a_fill_on_its_theme():
    form = SongForm(N_MANY, seed=6)
    before, fill = at(form, 1.749), at(form, 1.75)
    assert np.array_equal(theme(before), theme(fill))
    first = n_theme(N_MANY)
    assert 0.4 < cosine(before[first:], fill[first:]) < 0.6


@given(st.floats(0, 1e6))
def test_passages_follow_each_other_without_gaps(passes):
    form = SongForm(8, seed=7)
    passage = form.passage_at(passes)
    assert passes < form.end(passage)
    assert form.passage_at(form.end(passage)) == passage + 1
    assert passage == 0 or form.end(passage - 1) <= passes


def test_sections_and_passes_of_the_loop_begin_passages():
    form = SongForm(8, seed=7)
    ends = {form.end(passage) for passage in range(form.passage_at(PASSES_PER_SONG))}
    assert set(range(1, PASSES_PER_SONG + 1)) < ends


@pytest.mark.parametrize("seed", [1, 7])
def test_a_seed_begins_as_in_version_0_1(seed):
    expected = np.random.default_rng([seed, 0]).standard_normal(16).astype(np.float32)
    assert np.array_equal(SongForm(16, seed=seed).at(0), expected)


@given(passages)
def test_frozen_it_stays_at_the_first_passage(passage):
    frozen = SongForm(8, seed=7, frozen=True)
    assert np.array_equal(frozen.at(passage), SongForm(8, seed=7).at(0))
    assert frozen.passage_at(float(passage)) == 0


@pytest.mark.parametrize("n_variation", [0, 1, 256])
def test_it_has_the_shape_and_precision_of_the_networks_input(n_variation):
    vector = SongForm(n_variation, seed=8).at(11)
    assert (vector.shape, vector.dtype) == ((n_variation,), np.float32)
