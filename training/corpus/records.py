"""The records of a shard: read, checked, counted and removed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from training.corpus.format import (
    HELD_OUT,
    TRAIN,
    CorpusError,
    _audio_path,
    _is_position,
    _records_path,
    _stems_path,
    is_whole,
    read_json,
)


def n_loops_written(directory: Path, shard: int) -> int | None:
    """Return how many loops a shard holds, None if it is not written yet."""
    is_there = _records_path(directory, shard).is_file()
    return len(read_records(directory, shard)) if is_there else None


def read_records(directory: Path, shard: int) -> list[dict[str, Any]]:
    """Return the records of a written shard as they are stored.

    Raises
    ------
    CorpusError
        If the file is damaged.
    """
    path = _records_path(directory, shard)
    records = read_json(path, remedy=_remake(directory, shard))
    if not isinstance(records, list):
        kind = type(records).__name__
        raise CorpusError(
            f"{path}: found {kind}, expected a list of loops; {_remake(directory, shard)}"
        )
    for number, record in enumerate(records):
        for name, is_valid, expected in _expectations(record):
            if not is_valid:
                raise CorpusError(
                    f"{path} holds a record that is not a loop: number {number}, {name}: expected "
                    f"{expected}; {_remake(directory, shard)}"
                )
    return records


def _expectations(record: Any) -> Iterator[tuple[str, bool, str]]:
    """For each part of a stored loop: its name, whether it is valid, and what is expected."""
    yield "all of it", isinstance(record, dict), "an object"
    names = {each.name for each in fields(LoopRecord)} - {"shard"}
    yield "keys", record.keys() == names, ", ".join(sorted(names))
    yield "id", isinstance(record["id"], str), "a text"
    start, beats = record["start"], record["beats"]
    yield "start", is_whole(start, 0), "a sample, 0 or more"
    is_row = isinstance(beats, list) and len(beats) > 1 and all(map(_is_position, beats))
    yield "beats", is_row and beats == sorted(beats), "ascending positions"
    yield "split", record["split"] in (TRAIN, HELD_OUT), f"{TRAIN} or {HELD_OUT}"
    for name in ("labels", "provenance"):
        yield name, isinstance(record[name], dict), "an object"


def _remake(directory: Path, shard: int) -> str:
    """What to do about a damaged shard: without its records it is made again."""
    return (
        f"remove {_records_path(directory, shard).name} there and run the command that made the "
        "corpus again, it makes what is missing"
    )


def remove_shard(directory: Path, shard: int) -> None:
    """Remove a shard, its records first: audio without records is no shard."""
    _records_path(directory, shard).unlink(missing_ok=True)
    _audio_path(directory, shard).unlink(missing_ok=True)
    _stems_path(directory, shard).unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class LoopRecord:
    """One loop: its place in the corpus and what is known about it."""

    id: str
    shard: int
    start: int
    beats: tuple[float, ...]
    split: str
    labels: Mapping[str, Any]
    provenance: Mapping[str, Any]


def _records(directory: Path, shard: int) -> Iterator[LoopRecord]:
    for stored in read_records(directory, shard):
        yield LoopRecord(shard=shard, beats=tuple(stored.pop("beats")), **stored)


def _check_lies_within_margins(
    directory: Path, record: LoopRecord, header: Mapping[str, Any]
) -> None:
    n_beats = header["beats_per_loop"] + 1
    if len(record.beats) != n_beats or record.start < header["margin"]:
        raise CorpusError(
            f"{_records_path(directory, record.shard)} holds a record that is not a loop: found "
            f"{len(record.beats)} beats from sample {record.start} on, expected {n_beats} and "
            f"{header['margin']} samples before them; {_remake(directory, record.shard)}"
        )
