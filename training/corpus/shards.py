"""Shards: the parts of up to 1 GB of audio, in one file of samples and one of records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from training.corpus.format import _audio_path, _records_path, _stems_path, written_whole
from training.corpus.parts import Contents, Part, Size, read_contents, stored_records
from training.corpus.record_files import write_records
from training.corpus.records import Columns, columns_of


def write_shard(
    directory: Path, shard: int, parts: Iterable[Part], sizes: Sequence[Size], is_full: bool
) -> Contents:
    """Write one shard, its records last: it exists if and only if they do.

    Parameters
    ----------
    parts
        Ascending; one after another is in memory.
    sizes
        Of the parts.
    is_full
        Whether more parts follow, for which it has no room.
    """
    n_samples = sum(size.n_samples for size in sizes)
    records: list[Mapping[str, Any]] = []
    skipped: list[Sequence[Mapping[str, Any]]] = []
    numbers: list[int] = []
    n_samples, start = sum(size.n_samples for size in sizes), 0
    with ExitStack() as files:
        audio = files.enter_context(written_whole(_audio_path(directory, shard)))
        _write_npy_header(audio, (n_samples,))
        stems: BinaryIO | None = None
        for part in parts:
            audio.write(part.audio.tobytes())
            if part.stems is not None:
                if stems is None:
                    stems = files.enter_context(written_whole(_stems_path(directory, shard)))
                    _write_npy_header(stems, (part.stems.shape[1], n_samples))
                stems.write(part.stems.tobytes())
            records += [{**record, "start": record["start"] + start} for record in part.records]
            skipped.append(part.skipped)
            numbers.append(part.number)
            start += len(part.audio)
    contents = Contents(numbers[0], sizes, skipped, is_full)
    path = _records_path(directory, shard)
    _write_records(path, columns_of(records, [shard] * len(records), path), contents)
    return contents


def _write_npy_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    # In Fortran's order, so that all stems of a sample, and so of a part, are together.
    described = {"descr": "<i2", "fortran_order": len(shape) > 1, "shape": shape}
    np.lib.format.write_array_header_1_0(file, described)


def _write_records(path: Path, columns: Columns, contents: Contents) -> None:
    with written_whole(path) as file:
        write_records(file, columns, contents._asdict())


def read_parts(directory: Path, shard: int) -> Iterator[Part]:
    """Yield the parts of which a shard was made."""
    columns, contents = read_contents(_records_path(directory, shard), shard)
    records = stored_records(columns)
    audio = np.load(_audio_path(directory, shard), mmap_mode="r")
    stems = None
    if _stems_path(directory, shard).exists():
        stems = np.load(_stems_path(directory, shard), mmap_mode="r").T
    start = n_before = 0
    for place, size in enumerate(contents.sizes):
        extent = slice(start, start + size.n_samples)
        yield Part(
            contents.first + place,
            np.array(audio[extent]),
            None if stems is None else np.array(stems[extent]),
            [
                {**record, "start": record["start"] - start}
                for record in records[n_before : n_before + size.n_loops]
            ],
            contents.skipped[place],
        )
        start, n_before = start + size.n_samples, n_before + size.n_loops


def remove_shard(directory: Path, shard: int) -> None:
    """Remove a shard, its records first: audio without records is no shard."""
    for path in (_records_path, _audio_path, _stems_path):
        path(directory, shard).unlink(missing_ok=True)


def hold_out(directory: Path, shard: int, ids: Iterable[str]) -> None:
    """Move loops of a written shard to the held-out split, all others to training."""
    path, chosen = _records_path(directory, shard), set(ids)
    columns, contents = read_contents(path, shard)
    held_out = np.array([columns.id(n) in chosen for n in range(len(columns))], dtype=np.bool_)
    if not np.array_equal(held_out, columns.held_out):
        _write_records(path, replace(columns, held_out=held_out), contents)
