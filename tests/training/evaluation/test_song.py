"""The measured song: similarity of its passes, where it changes, bars that come again."""

import numpy as np
import pytest

from device.model.network import Network
from device.synthesis.variation import SongForm
from training.evaluation.charts import draw
from training.evaluation.song import Song, repeated_bars
from training.features.song_slots import played_slots

N_BARS = 4
# A A B A, B B C B, C C D C: two passes in each section.
THEME = np.repeat([0, 0, 1, 0, 1, 1, 2, 1, 2, 2, 3, 2], 2)
CHANGES = {4, 6, 8, 12, 14, 16, 20, 22}


def song(*, spread, figures=None, themes=10.0):
    """A song whose passes scatter around the harmony of their theme."""
    rng = np.random.default_rng(1)
    of_themes = themes * rng.random((THEME.max() + 1, N_BARS, 12))
    scatter = spread * rng.standard_normal((len(THEME), N_BARS, 12))
    if figures is None:
        figures = rng.standard_normal((len(THEME), 3))
    section = np.arange(len(THEME)) // 2
    return Song((True,), 1, of_themes[THEME] + scatter, figures, THEME, section, 0)


def test_themes_that_return_are_found_where_they_change():
    measured = song(spread=1.0)
    assert measured.changes_planned == measured.changes_found == CHANGES
    assert measured.within_sections > 0.8 and measured.between_returns > 0.8
    assert measured.between_themes < 0


def test_passes_without_a_theme_have_no_form():
    measured = song(spread=1.0, themes=0.0)
    assert abs(measured.within_sections) < 0.2
    assert len(measured.changes_found & CHANGES) < len(CHANGES) / 2


def test_a_silent_song_is_measured():
    measured = song(spread=0.0, themes=0.0)
    assert measured.within_sections == measured.between_themes == 0
    assert measured.changes_found == set()


def test_bars_have_a_similarity_of_one_with_themselves():
    similarity = song(spread=1.0).bar_similarity
    assert similarity.shape == (len(THEME) * N_BARS,) * 2
    assert np.diag(similarity) == pytest.approx(1)


def test_figures_that_move_are_a_drift():
    steady = np.tile([[0.0, 1.0], [1.0, 0.0]], (len(THEME) // 2, 1))
    moving = steady + np.linspace(0, 5, len(THEME))[:, None]
    assert song(spread=1.0, figures=steady).drift == 0
    assert song(spread=1.0, figures=moving).drift > 1.5


def test_a_fill_is_played_from_its_own_passage():
    passages, slots = played_slots(SongForm(2, seed=1), 3, 8)
    assert passages.tolist() == [0] * 8 + [1] * 6 + [2] * 2 + [3] * 8
    assert slots.tolist() == [*range(8)] * 3


def test_a_model_is_left_alone_and_drawn(evaluation):
    measured = evaluation.song
    n_passes = len(measured.theme)
    assert measured.bits in evaluation.sweep.states
    assert measured.harmony.shape == (n_passes, 1, 12)
    assert measured.repeated_bars == 0
    # Another pass is another sound.
    assert len(np.unique(measured.figures, axis=0)) == n_passes == 8
    assert "<svg" in draw(evaluation)["song"]


@pytest.mark.parametrize(("seed", "n_repeated"), [(1, 0), (None, 11)])
def test_bars_that_are_composed_again_are_counted(small_model, seed, n_repeated):
    # Without a seed the variation is frozen: of 12 bars, 11 are the first one again.
    form = SongForm(2, seed=seed or 1, frozen=seed is None)
    found = repeated_bars(Network.open(small_model), (True, False), form, 12)
    assert found == n_repeated
