"""Corpora of format 1 are read as they were, and not continued."""

from __future__ import annotations

import pytest

from tests.support.corpus_files import contents, write_format_1
from tests.support.tiny_run import ANALYSIS
from training.corpus.format import CorpusError
from training.corpus.generator.corpus_writer import write_studio_corpus
from training.corpus.reader import Corpus
from training.features.dataset import open_features


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """The same loops in format 2 and in format 1."""
    folder = tmp_path_factory.mktemp("both")
    write_studio_corpus(folder / "2", seed=3, minutes=1.0)
    corpus = Corpus.open(folder / "2")
    return corpus, Corpus.open(write_format_1(folder / "1", corpus))


def test_records_and_audio_are_those_of_format_2(both):
    new, old = both
    assert old.header["format_version"] == 1
    assert list(old.records) == list(new.records)
    assert old.provenance_summary() == new.provenance_summary()
    for split in ("train", "held-out"):
        assert old.indices(split).tolist() == new.indices(split).tolist()
    for number in range(len(new)):
        assert (old.audio(number) == new.audio(number)).all()
        assert (old.frames(number, [0, 8, 16], 512) == new.frames(number, [0, 8, 16], 512)).all()


def test_the_analysis_of_format_1_is_one_file_with_the_name_it_always_had(both):
    new, old = both
    first, second = open_features(old, ANALYSIS), open_features(new, ANALYSIS)
    assert (first.log_bands[:] == second.log_bands[:]).all()
    assert (first.offsets == second.offsets).all()
    (name,) = [path.name for path in old.directory.glob("features-*")]
    assert len(name) == len("features-0123456789ab.npy")


def test_a_corpus_of_format_1_is_not_continued(both):
    _, old = both
    before = contents(old.directory)
    with pytest.raises(CorpusError, match="format 1, which is read but not continued"):
        write_studio_corpus(old.directory, seed=3, minutes=2.0)
    assert contents(old.directory) == before
