"""Parts of a corpus: what one job gives, a file each until a shard is made of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.corpus.format import (
    _FULL_SCALE,
    BEATS_PER_LOOP,
    HELD_OUT,
    MARGIN,
    TRAIN,
    Audio,
    CorpusError,
    _is_list_of,
    is_whole,
    written_whole,
)
from training.corpus.record_files import read_arrays, read_records, write_records
from training.corpus.records import Columns, columns_of, remade


@dataclass(frozen=True, slots=True)
class PreparedLoop:
    """A loop to be written into a corpus.

    Attributes
    ----------
    audio
        (MARGIN + length of the loop + MARGIN,), float32 within ±1.
    beats
        (BEATS_PER_LOOP + 1,) sample positions counted from the end of the first margin.
    stems
        The share of every layer, each as long as the audio; None: not kept.
    """

    id: str
    audio: Audio
    beats: Sequence[float]
    held_out: bool
    labels: Mapping[str, Any]
    provenance: Mapping[str, Any]
    stems: Mapping[str, Audio] | None = None


class Part(NamedTuple):
    """The loops of one job, as they are stored.

    Attributes
    ----------
    number
        Of the job, which decides the place in the corpus.
    audio : (n_samples,), int16
    stems : (n_samples, n_stems), int16, or None
    records
        JSON objects, their ``start`` counted from the start of this audio.
    skipped
        What was left out, each with path and reason.
    """

    number: int
    audio: NDArray[np.int16]
    stems: NDArray[np.int16] | None
    records: Sequence[Mapping[str, Any]]
    skipped: Sequence[Mapping[str, Any]] = ()


def make_part(
    number: int, loops: Iterable[PreparedLoop], skipped: Sequence[Mapping[str, Any]] = ()
) -> Part:
    """Put the loops of one job together.

    Raises
    ------
    CorpusError
        If a loop's audio does not span its beats and two margins.
    """
    parts: list[NDArray[np.int16]] = []
    stems: list[NDArray[np.int16]] = []
    records: list[dict[str, Any]] = []
    n_before = 0
    for loop in loops:
        _check_span(loop)
        parts.append(_to_int16(loop.audio))
        if loop.stems is not None:
            stems.append(np.stack([_to_int16(stem) for stem in loop.stems.values()], axis=1))
        records.append(
            {
                "id": loop.id,
                "start": n_before + MARGIN,
                "beats": [float(beat) for beat in loop.beats],
                "split": HELD_OUT if loop.held_out else TRAIN,
                "labels": dict(loop.labels),
                "provenance": dict(loop.provenance),
            }
        )
        n_before += len(parts[-1])
    audio = np.concatenate(parts) if parts else np.zeros(0, dtype=np.int16)
    return Part(number, audio, np.concatenate(stems) if stems else None, records, skipped)


def _to_int16(audio: Audio) -> NDArray[np.int16]:
    scaled: NDArray[np.int16] = np.round(np.clip(audio, -1.0, 1.0) * _FULL_SCALE).astype(np.int16)
    return scaled


def _check_span(loop: PreparedLoop) -> None:
    n_expected = MARGIN + math.ceil(loop.beats[-1]) + MARGIN
    if len(loop.beats) != BEATS_PER_LOOP + 1 or len(loop.audio) < n_expected:
        raise CorpusError(
            f"loop {loop.id} has {len(loop.beats)} beats and {len(loop.audio)} samples, "
            f"expected {BEATS_PER_LOOP + 1} and at least {n_expected}"
        )


def stored_records(columns: Columns) -> list[dict[str, Any]]:
    """Return records as JSON objects, as parts hold them."""
    return [
        {
            "id": record.id,
            "start": record.start,
            "beats": list(record.beats),
            "split": record.split,
            "labels": dict(record.labels),
            "provenance": dict(record.provenance),
        }
        for record in map(columns.record, range(len(columns)))
    ]


# -- files ----------------------------------------------------------------------------------


class Size(NamedTuple):
    """How much a part holds."""

    n_loops: int
    n_samples: int


class Contents(NamedTuple):
    """Which parts a file holds, in JSON beside the records.

    Attributes
    ----------
    first
        Number of the first part.
    sizes
        Of all parts, one after another.
    skipped
        What was left out of each.
    is_full
        Whether the next part had no room: a shard that is not full is the last one.
    """

    first: int
    sizes: Sequence[Size]
    skipped: Sequence[Sequence[Mapping[str, Any]]]
    is_full: bool

    @property
    def end(self) -> int:
        """Number of the part after the last."""
        return self.first + len(self.sizes)


def part_path(directory: Path, number: int) -> Path:
    """Return the file of a part."""
    return directory / f"part-{number:06d}.npz"


def write_part(directory: Path, part: Part) -> Size:
    """Write a part whole or not at all."""
    path = part_path(directory, part.number)
    size = Size(len(part.records), len(part.audio))
    contents = Contents(part.number, [size], [list(part.skipped)], False)
    with written_whole(path) as file:
        write_records(
            file,
            columns_of(part.records, [0] * size.n_loops, path),
            contents._asdict(),
            audio=part.audio,
            stems=np.zeros((size.n_samples, 0), np.int16) if part.stems is None else part.stems,
        )
    return size


def read_size(directory: Path, number: int) -> Size:
    """Return how much a written part holds.

    Raises
    ------
    CorpusError
        If its file is damaged.
    """
    return read_contents(part_path(directory, number), 0)[1].sizes[0]


def read_part(directory: Path, number: int) -> Part:
    """Read a part back.

    Raises
    ------
    CorpusError
        If its file is damaged.
    """
    path = part_path(directory, number)
    columns, contents = read_contents(path, 0)
    arrays = read_arrays(path, ["audio", "stems"])
    audio, stems = arrays["audio"], arrays["stems"]
    shapes = (audio.shape, stems.shape[:1])
    if {audio.dtype, stems.dtype} != {np.dtype(np.int16)} or set(shapes) != {
        (contents.sizes[0].n_samples,)
    }:
        raise CorpusError(f"{path}: found damaged audio, expected int16; {remade(path)}")
    has_stems = stems.shape[1] > 0
    return Part(
        number, audio, stems if has_stems else None, stored_records(columns), contents.skipped[0]
    )


def read_contents(path: Path, shard: int) -> tuple[Columns, Contents]:
    """Read the records of a shard or a part, and which parts it holds.

    Raises
    ------
    CorpusError
        If the file is damaged.
    """
    stored = read_records(path, shard, n_beats=BEATS_PER_LOOP + 1, margin=MARGIN)
    more = stored.more
    is_valid = more.keys() == set(Contents._fields) and is_whole(more["first"], 0)
    is_valid = is_valid and _is_list_of(more["sizes"], list) and len(more["sizes"]) > 0
    is_valid = is_valid and all(
        len(size) == 2 and all(is_whole(n, 0) for n in size) for size in more["sizes"]
    )
    is_valid = is_valid and _is_list_of(more["skipped"], list)
    if not is_valid or len(more["skipped"]) != len(more["sizes"]):
        raise CorpusError(f"{path} holds a damaged list of parts; {remade(path)}")
    contents = Contents(
        more["first"], [Size(*size) for size in more["sizes"]], more["skipped"], more["is_full"]
    )
    if sum(size.n_loops for size in contents.sizes) != len(stored.columns):
        raise CorpusError(f"{path} holds a damaged list of parts; {remade(path)}")
    return stored.columns, contents
