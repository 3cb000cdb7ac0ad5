"""What a corpus on disk holds, and small corpora."""

from __future__ import annotations

import json

import numpy as np

from training.corpus.parts import make_part
from training.corpus.reader import Corpus
from training.corpus.writer import corpus_writer


def contents(directory):
    """Bytes of every file, by name."""
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir())}


def records_by_path(directory):
    """Records of the loops of every recording, by its path."""
    records = {}
    for record in Corpus.open(directory).records:
        records.setdefault(record.provenance["path"], []).append(record)
    return records


def write_corpus(directory, *parts):
    """Make a corpus of loops, given part by part."""
    with corpus_writer(directory, "studio", {"seed": 1}, [None] * len(parts)) as writer:
        for number, loops in enumerate(parts):
            writer.add(make_part(number, loops))
        writer.finish(tempo_bpm=80.0)
    return Corpus.open(directory)


def write_format_1(directory, corpus):
    """Write the loops of a corpus as format 1 has them; the bytes are those of its last version."""
    directory.mkdir()
    for shard in range(corpus.header["n_shards"]):
        records = [
            {
                "id": record.id,
                "start": record.start,
                "beats": list(record.beats),
                "split": record.split,
                "labels": record.labels,
                "provenance": record.provenance,
            }
            for record in corpus.records
            if record.shard == shard
        ]
        text = json.dumps(records, ensure_ascii=False, indent=1)
        (directory / f"shard-{shard:05d}.json").write_text(text)
        audio = (corpus.directory / f"shard-{shard:05d}.npy").read_bytes()
        (directory / f"shard-{shard:05d}.npy").write_bytes(audio)
    header = {**corpus.header, "format_version": 1}
    del header["shards"]
    (directory / "corpus.json").write_text(json.dumps(header, indent=1))
    return directory


def changed_arrays(path, **arrays):
    """Write a file of arrays again with others in their place; without one for `...`."""
    with np.load(path) as stored:
        content = {**stored, **arrays}
    with path.open("wb") as file:
        np.savez(file, **{name: array for name, array in content.items() if array is not ...})
