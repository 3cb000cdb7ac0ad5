"""Corpora of format 1, read: a list of JSON objects for each shard.

``shard-00000.json`` holds one object for each loop of ``shard-00000.npy``: ``id``; ``start``, the
sample of its beat 0 in the shard; ``beats``; ``split`` ("train" or "held-out"); ``labels``;
``provenance``. The audio is that of format 2.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from training.corpus.format import (
    HELD_OUT,
    TRAIN,
    CorpusError,
    _is_position,
    is_whole,
    read_json,
)
from training.corpus.records import Columns, columns_of

_AT_ONCE = 4096  # loops: objects need some 2 KB each until they are columns
_KEYS = {"id", "start", "beats", "split", "labels", "provenance"}


def read_columns(directory: Path, header: Mapping[str, Any]) -> Iterator[Columns]:
    """Read the records of all shards.

    Raises
    ------
    CorpusError
        If a file is missing or damaged.
    """
    records: list[dict[str, Any]] = []
    shards: list[int] = []
    for shard in range(header["n_shards"]):
        path = records_path(directory, shard)
        new = _read(path, header)
        records += new
        shards += [shard] * len(new)
        if len(records) >= _AT_ONCE:
            yield columns_of(records, shards, path)
            records, shards = [], []
    if records:
        yield columns_of(records, shards, directory / "corpus.json")


def records_path(directory: Path, shard: int) -> Path:
    """Return the file of a shard's records."""
    return directory / f"shard-{shard:05d}.json"


def _read(path: Path, header: Mapping[str, Any]) -> list[dict[str, Any]]:
    remedy = f"restore a copy of {path.name}, or make the corpus again in an empty folder"
    records = read_json(path, remedy=remedy)
    if not isinstance(records, list):
        kind = type(records).__name__
        raise CorpusError(f"{path}: found {kind}, expected a list of loops; {remedy}")
    for number, record in enumerate(records):
        for name, is_valid, expected in _expectations(record, header):
            if not is_valid:
                raise CorpusError(
                    f"{path} holds a record that is not a loop: number {number}, {name}: expected "
                    f"{expected}; {remedy}"
                )
    return records


def _expectations(record: Any, header: Mapping[str, Any]) -> Iterator[tuple[str, bool, str]]:
    """For each part of a stored loop: its name, whether it is valid, and what is expected."""
    yield "all of it", isinstance(record, dict), "an object"
    yield "keys", record.keys() == _KEYS, ", ".join(sorted(_KEYS))
    yield "id", isinstance(record["id"], str), "a text"
    start, beats, n_beats = record["start"], record["beats"], header["beats_per_loop"] + 1
    yield "start", is_whole(start, header["margin"]), f"a sample, {header['margin']} or later"
    is_row = isinstance(beats, list) and len(beats) == n_beats and all(map(_is_position, beats))
    yield "beats", is_row and beats == sorted(beats), f"{n_beats} ascending positions"
    yield "split", record["split"] in (TRAIN, HELD_OUT), f"{TRAIN} or {HELD_OUT}"
    for name in ("labels", "provenance"):
        yield name, isinstance(record[name], dict), "an object"
