"""The analyses of several shards are read as one array, and only new shards are analysed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.corpus_files import write_corpus
from tests.support.tiny_run import ANALYSIS
from training.corpus import writer as writing
from training.corpus.format import BEATS_PER_LOOP, MARGIN
from training.corpus.parts import PreparedLoop
from training.features.dataset import open_features
from training.features.frames import Frames

BEATS = (np.arange(BEATS_PER_LOOP + 1) * 400.0).tolist()
N_SAMPLES = 2 * MARGIN + int(BEATS[-1])


def arrays_of(lengths):
    whole = np.arange(sum(lengths) * 6, dtype=np.int16).reshape(-1, 2, 3)
    return whole, Frames(np.split(whole, np.cumsum(lengths)[:-1]))


@given(data=st.data(), lengths=st.lists(st.integers(1, 4), min_size=1, max_size=4))
def test_any_choice_of_loops_is_that_of_one_array(data, lengths):
    whole, frames = arrays_of(lengths)
    numbers = st.integers(-len(whole), len(whole) - 1)
    number, several = data.draw(numbers), data.draw(st.lists(numbers, max_size=6))
    part = data.draw(st.slices(len(whole)))
    assert (len(frames), frames.shape, frames.dtype) == (len(whole), whole.shape, whole.dtype)
    np.testing.assert_array_equal(frames[number], whole[number])
    np.testing.assert_array_equal(frames[part], whole[part])
    expected = whole[np.array(several, dtype=np.int64)]
    np.testing.assert_array_equal(frames[np.array(several, dtype=np.int64)], expected)
    np.testing.assert_array_equal(np.asarray(frames), whole)


@pytest.mark.parametrize("loops", [5, -6, [0, 5]])
def test_loops_that_are_not_there_are_an_error(loops):
    with pytest.raises(IndexError, match="expected some of 5"):
        arrays_of([2, 3])[1][loops]


def noise_loops(n_loops):
    rng = np.random.default_rng(0)
    audio = rng.uniform(-0.5, 0.5, (n_loops, N_SAMPLES)).astype(np.float32)
    return [
        PreparedLoop(f"noise-{number}", loop, BEATS, False, {}, {})
        for number, loop in enumerate(audio)
    ]


def test_several_shards_have_the_frames_of_one(tmp_path, monkeypatch):
    loops = noise_loops(5)
    one = open_features(write_corpus(tmp_path / "one", loops), ANALYSIS)
    monkeypatch.setattr(writing, "SHARD_BYTES", 2 * 2 * N_SAMPLES)
    corpus = write_corpus(tmp_path / "three", *([loop] for loop in loops))
    assert corpus.header["n_shards"] == 3
    three = open_features(corpus, ANALYSIS, n_workers=2)
    assert len(list(corpus.directory.glob("features-*.npy"))) == 3
    np.testing.assert_array_equal(three.log_bands, one.log_bands)
    np.testing.assert_array_equal(three.advance, one.advance)


def test_a_missing_analysis_of_a_shard_is_computed_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "SHARD_BYTES", 2 * 2 * N_SAMPLES)
    corpus = write_corpus(tmp_path, *([loop] for loop in noise_loops(5)))
    before = np.asarray(open_features(corpus, ANALYSIS).log_bands)
    first, second, _ = sorted(corpus.directory.glob("features-*.npy"))
    written = first.stat().st_mtime_ns
    second.unlink()
    progress = []
    again = open_features(corpus, ANALYSIS, on_progress=lambda *done: progress.append(done))
    assert progress == [(0, 2), (1, 2), (2, 2)]
    assert first.stat().st_mtime_ns == written
    np.testing.assert_array_equal(again.log_bands, before)
