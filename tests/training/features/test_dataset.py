"""A corpus is analysed once, whole or not at all."""

from dataclasses import replace

import numpy as np
import pytest

from tests.support.corpus_files import write_corpus
from tests.support.tiny_run import ANALYSIS
from training.corpus.format import BEATS_PER_LOOP, MARGIN, CorpusError
from training.corpus.parts import PreparedLoop
from training.corpus.reader import Corpus
from training.features.analysis import Analysis
from training.features.dataset import open_features

BEATS = (np.arange(BEATS_PER_LOOP + 1) * 400.0).tolist()
N_FRAMES = 4 * BEATS_PER_LOOP * ANALYSIS.frames_per_slot


def noise_loop(number, held_out):
    rng = np.random.default_rng(number)
    audio = rng.uniform(-0.5, 0.5, 2 * MARGIN + int(BEATS[-1])).astype(np.float32)
    return PreparedLoop(f"noise-{number}", audio, BEATS, held_out, {}, {})


def noise_corpus(directory, held_out):
    loops = [noise_loop(number, held) for number, held in enumerate(held_out)]
    return write_corpus(directory, loops[:3], loops[3:])


@pytest.fixture
def corpus(tmp_path):
    return noise_corpus(tmp_path / "corpus", [False, True, False, False, True])


def analysed(corpus):
    return sorted(path.name for path in corpus.directory.glob("*features*"))


def test_every_loop_has_its_frames(corpus):
    features = open_features(corpus, ANALYSIS)
    assert features.log_bands.shape == (5, N_FRAMES, ANALYSIS.n_bands)
    assert features.log_bands.dtype == np.float16
    assert features.n_slots == 4 * BEATS_PER_LOOP
    positions = ANALYSIS.grid(features.n_slots, float(features.offsets[3]))
    expected = ANALYSIS.log_bands(corpus.frames(3, positions, ANALYSIS.n_fft))
    np.testing.assert_allclose(features.log_bands[3], expected, rtol=1e-3, atol=1e-3)


def test_training_and_held_out_loops_share_none_and_leave_none_out(corpus):
    features = open_features(corpus, ANALYSIS)
    assert features.train.tolist() == [0, 2, 3]
    assert features.held_out.tolist() == [1, 4]


def test_shifts_of_the_grid_are_parts_of_a_frame_that_differ(corpus):
    offsets = open_features(corpus, ANALYSIS).offsets
    assert offsets.dtype == np.float32
    assert ((offsets >= 0) & (offsets < 1)).all()
    assert len(np.unique(offsets)) == len(offsets)


def test_a_corpus_is_analysed_once(corpus, monkeypatch):
    first = open_features(corpus, ANALYSIS)
    (name,) = analysed(corpus)
    written = (corpus.directory / name).stat().st_mtime_ns
    monkeypatch.setattr(Corpus, "frames", None)
    again = open_features(corpus, ANALYSIS)
    assert (corpus.directory / name).stat().st_mtime_ns == written
    np.testing.assert_array_equal(again.log_bands, first.log_bands)


def test_another_analysis_is_another_file(corpus):
    open_features(corpus, ANALYSIS)
    other = Analysis(n_fft=256, hop_length=64, n_bands=40, n_linear=24, frames_per_slot=4)
    assert open_features(corpus, other).log_bands.shape[-1] == 40
    assert len(analysed(corpus)) == 2


def test_the_number_of_workers_changes_nothing(corpus, tmp_path):
    twin = noise_corpus(tmp_path / "twin", [False, True, False, False, True])
    one, three = open_features(corpus, ANALYSIS), open_features(twin, ANALYSIS, n_workers=3)
    np.testing.assert_array_equal(one.log_bands, three.log_bands)


def test_another_window_is_another_file_with_frames_at_their_peak(corpus):
    hann, asymmetric = ANALYSIS, replace(ANALYSIS, window="asymmetric")
    assert (hann.peak, asymmetric.peak) == (128, 85)
    features = open_features(corpus, asymmetric)
    open_features(corpus, hann)
    assert len(analysed(corpus)) == 2
    positions = asymmetric.grid(features.n_slots, float(features.offsets[0]))
    expected = asymmetric.log_bands(corpus.frames(0, positions, 256, 85))
    np.testing.assert_allclose(features.log_bands[0], expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_analysis_leaves_nothing_half_written(corpus, monkeypatch, stop):
    cut = Corpus.frames

    def fail_late(self, index, *where):
        if index == 3:
            raise stop
        return cut(self, index, *where)

    with monkeypatch.context() as patch:
        patch.setattr(Corpus, "frames", fail_late)
        with pytest.raises(stop):
            open_features(corpus, ANALYSIS)
    assert analysed(corpus) == []
    assert len(open_features(corpus, ANALYSIS).log_bands) == 5


def test_the_partial_file_of_a_killed_analysis_is_removed_unused(corpus):
    open_features(corpus, ANALYSIS)
    (name,) = analysed(corpus)
    whole = corpus.directory / name
    leftover = whole.with_name(f".{name}.123.partial")
    leftover.write_bytes(whole.read_bytes()[:1000])
    whole.unlink()
    assert open_features(corpus, ANALYSIS).log_bands.shape[0] == 5
    assert analysed(corpus) == [name]


def test_a_corpus_of_another_sample_rate_is_rejected(corpus):
    with pytest.raises(CorpusError, match=r"22050 Hz, the analysis expects 44100"):
        open_features(corpus, Analysis(sample_rate=44_100))


def test_a_corpus_with_nothing_to_train_on_is_rejected(tmp_path):
    with pytest.raises(CorpusError, match=r"no loop to train on among its 1"):
        open_features(noise_corpus(tmp_path, [True]), ANALYSIS)
    assert list(tmp_path.glob("*features*")) == []
