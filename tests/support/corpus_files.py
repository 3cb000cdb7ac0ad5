"""What a corpus on disk holds."""

from __future__ import annotations

from training.corpus.reader import Corpus


def contents(directory):
    """Bytes of every file, by name."""
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir())}


def records_by_path(directory):
    """Records of the loops of every recording, by its path."""
    records = {}
    for record in Corpus.open(directory).records:
        records.setdefault(record.provenance["path"], []).append(record)
    return records
