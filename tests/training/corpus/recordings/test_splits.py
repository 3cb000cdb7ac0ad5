"""Whole artists or whole pieces are held out."""

from __future__ import annotations

import pytest

from tests.support.synthetic_music import song, tagged
from training.corpus.format import SAMPLE_RATE
from training.corpus.reader import Corpus
from training.corpus.recordings.folder import write_folder_corpus
from training.corpus.recordings.splits import LoopOrigin, choose_held_out


def origins(sizes, artists=None):
    """Loops of pieces; `sizes` is the number of loops of each."""
    return [
        LoopOrigin(shard, f"{piece}{n}", {"sha256": piece, "artist": (artists or {}).get(piece)})
        for shard, (piece, size) in enumerate(sizes.items())
        for n in range(size)
    ]


@pytest.mark.parametrize(
    ("sizes", "artists", "by", "n_held_out"),
    [
        ({"a": 10}, None, None, 0),  # too few loops for a split
        ({"a": 300}, None, None, 0),  # one piece cannot be both trained on and held out
        ({"a": 30, "b": 30}, None, None, 0),  # half the loops are too many to hold out
        (dict.fromkeys("abcdef", 20), None, "piece", 20),
        (dict.fromkeys("abcdef", 20), dict.fromkeys("abcdef", "X"), "piece", 20),
        (dict.fromkeys("abcdefghijklmnopqrstuvwxyz", 2), None, "artist", 2),
        (dict.fromkeys("abcdefghijklmnopqrst", 4), {p: p in "ab" for p in "abc"}, "artist", 4),
    ],
)
def test_whole_artists_are_held_out_or_whole_pieces(sizes, artists, by, n_held_out):
    split = choose_held_out(origins(sizes, artists))
    assert split.by == by
    assert len(split.held_out) == n_held_out


def test_nothing_that_is_held_out_is_also_trained_on(tmp_path):
    (tmp_path / "music").mkdir()
    for number in range(8):
        audio = song(14, 80.0 + number, semitones=number, seed=number)
        path = tmp_path / "music" / f"{number}.flac"
        tagged(path, audio, SAMPLE_RATE, artist=f"Artist {number // 2}")
    write_folder_corpus(tmp_path / "corpus", tmp_path / "music")
    corpus = Corpus.open(tmp_path / "corpus")
    # Four artists with a quarter of the loops each: too many to hold out, so a piece is.
    assert corpus.header["split_by"] == "piece"
    sides = {
        split: {corpus.records[i].provenance["sha256"] for i in corpus.indices(split)}
        for split in ("train", "held-out")
    }
    assert len(sides["held-out"]) == 1
    assert len(sides["train"]) == 7
    assert not sides["train"] & sides["held-out"]
