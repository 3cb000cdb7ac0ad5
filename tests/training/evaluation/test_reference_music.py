"""Held-out music is found again and measured before and after the inversion."""

import dataclasses
import itertools

import numpy as np
import pytest

from tests.support import tiny_model as tiny
from training.corpus import reader as corpus
from training.corpus.format import HELD_OUT
from training.corpus.generator.corpus_writer import (
    is_held_out,
    render_with_margins,
    write_studio_corpus,
)
from training.evaluation.reference_music import (
    Loop,
    LoopJob,
    TooLittleMusic,
    find_music,
    measure_loop,
    round_trip,
)
from training.metrics.audio_metrics import METRIC_NAMES
from training.metrics.spectra import SAMPLE_RATE


def card_of(**provenance):
    return dataclasses.replace(tiny.describe(tiny.Sizes()), provenance=provenance)


STUDIO = {"source": "studio", "seed": 7, "licences": ["CC0-1.0"], "n_loops": 6000}


def test_held_out_music_of_a_studio_model_is_rendered_again(tmp_path):
    seed = next(seed for seed in itertools.count() if is_held_out(seed, 0))
    write_studio_corpus(tmp_path / "c", seed=seed, minutes=0.2)
    written = corpus.Corpus.open(tmp_path / "c")
    music = find_music(card_of(corpus=STUDIO | {"seed": seed}), None, 3)
    assert all(is_held_out(seed, loop.index) for loop in music.loops)
    assert music.loops[0].index == written.indices(HELD_OUT)[0] == 0
    np.testing.assert_allclose(render_with_margins(seed, 0), written.audio(0), atol=1e-4)


@pytest.mark.parametrize(
    "corpus_record",
    [
        None,
        "studio",
        {"source": "folder"},
        STUDIO | {"licences": ["unknown"]},
        {"source": "studio"},
    ],
)
def test_music_that_cannot_be_rendered_again_is_not_replaced(corpus_record):
    assert find_music(card_of(corpus=corpus_record), None, 3) is None


def test_a_corpus_that_has_too_few_loops_is_rejected(tmp_path):
    write_studio_corpus(tmp_path / "c", seed=1, minutes=0.2)
    with pytest.raises(TooLittleMusic, match="found 1 loops to compare with, expected 8"):
        find_music(card_of(), tmp_path / "c", 64)


def test_a_corpus_that_holds_out_too_few_is_compared_with_as_a_whole(tmp_path, monkeypatch):
    monkeypatch.setattr("training.evaluation.reference_music.FEWEST_LOOPS", 2)
    write_studio_corpus(tmp_path / "c", seed=1, minutes=0.6)
    music = find_music(card_of(), tmp_path / "c", 64)
    assert [loop.index for loop in music.loops] == [0, 1, 2]
    assert music.source == "3 of 3 loops, trained on but for 0, of c"


def test_versions_are_compared_with_versions_and_not_with_references(tmp_path, monkeypatch):
    monkeypatch.setattr("training.evaluation.reference_music.FEWEST_LOOPS", 1)
    seed = next(seed for seed in itertools.count() if is_held_out(seed, 0))
    write_studio_corpus(tmp_path / "c", seed=seed, minutes=0.6, n_versions=3)
    training = {"switches": "versions", "labels": "drums,bass,high"}
    card = card_of(corpus=STUDIO | {"seed": seed}, training=training)
    music = find_music(card, tmp_path / "c", 64)
    written = corpus.Corpus.open(tmp_path / "c").records
    others = [
        i
        for i, record in enumerate(written)
        if not all(record.labels[name] for name in ("drums", "bass", "high"))
    ]
    assert [loop.index for loop in music.loops] == others
    assert 0 not in others and others
    # Loops that are no versions are no music to compare them with.
    assert find_music(card, None, 3) is None
    assert len(find_music(card_of(), tmp_path / "c", 64).loops) == 3


def test_a_round_trip_is_aligned_and_keeps_the_level():
    half = SAMPLE_RATE // 2
    music = 0.1 * np.sin(0.05 * np.arange(2 * half), dtype=np.float32)
    music[:half] = 0
    for sample_rate in (SAMPLE_RATE, 16_000):
        job = LoopJob(Loop(None, 1, 0), 1024, 256, sample_rate, is_shown=False)
        rebuilt = round_trip(music, job)
        assert rebuilt.shape == music.shape
        assert np.abs(rebuilt[: half - 1024]).max() < 1e-3
        assert rebuilt[half + 1024 : -1024].std() == pytest.approx(0.1 / np.sqrt(2), rel=0.05)


def test_a_loop_and_its_round_trip_are_both_measured():
    measured = measure_loop(LoopJob(Loop(None, 7, 3), 1024, 256, SAMPLE_RATE, is_shown=True))
    original, rebuilt = measured.sounds
    assert len(original) == len(rebuilt) == 12 * SAMPLE_RATE
    figures, rebuilt_figures = measured.original.figures, measured.rebuilt.figures
    assert not np.array_equal(figures, rebuilt_figures)
    apart = np.abs(figures - rebuilt_figures)[METRIC_NAMES.index("lufs")]
    assert apart < 0.3
