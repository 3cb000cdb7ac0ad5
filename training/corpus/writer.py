"""Writes a corpus shard by shard, so that it can be interrupted and resumed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.corpus.format import (
    _FULL_SCALE,
    _PARTIAL,
    BEATS_PER_LOOP,
    FORMAT_VERSION,
    HELD_OUT,
    MARGIN,
    SAMPLE_RATE,
    TRAIN,
    Audio,
    CorpusError,
    _audio_path,
    _read_header,
    _records_path,
    _stems_path,
    _written_whole,
    is_positive,
    write_json,
)
from training.corpus.records import n_loops_written, read_records


@dataclass(frozen=True, slots=True)
class PreparedLoop:
    """A loop to be written into a shard.

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


def begin(
    directory: Path, source: str, parameters: Mapping[str, Any], *, may_grow: Sequence[str] = ()
) -> None:
    """Start a corpus, or continue one that was started with the same parameters.

    Parameters
    ----------
    directory
        Made if absent; must be empty or hold this corpus.
    source
        "studio", "folder" or "fma".
    parameters
        What decides the contents; stored, and compared when a run continues.
    may_grow
        Parameters that may be larger than before.

    Raises
    ------
    CorpusError
        If the directory holds something else.
    """
    header = {
        "format_version": FORMAT_VERSION,
        "source": source,
        "sample_rate": SAMPLE_RATE,
        "beats_per_loop": BEATS_PER_LOOP,
        "margin": MARGIN,
        **parameters,
    }
    if directory.exists() and not _is_vacant(directory):
        before = _read_header(directory)
        _check_same(directory, before, header, may_grow)
        if all(before.get(key) == value for key, value in header.items()):
            return
    directory.mkdir(parents=True, exist_ok=True)
    write_json(directory / "corpus.json", header)


def _is_vacant(directory: Path) -> bool:
    """Return whether a directory is empty, apart from partial files of a killed run."""
    return directory.is_dir() and all(
        path.name.startswith(".") and path.suffix == _PARTIAL for path in directory.iterdir()
    )


def _check_same(
    directory: Path, before: Mapping[str, Any], now: Mapping[str, Any], may_grow: Sequence[str]
) -> None:
    for key, requested in now.items():
        stored = before.get(key)
        grows = key in may_grow and is_positive(stored) and requested > stored
        if stored != requested and not grows:
            raise CorpusError(
                f"{directory} holds a corpus with {key} {stored!r}, requested {requested!r}: "
                "request the same, or choose another --out"
            )


def remove_leftovers(directory: Path) -> None:
    """Remove partial files of a killed run. Call before any worker writes."""
    for leftover in directory.glob(f".*{_PARTIAL}"):
        leftover.unlink(missing_ok=True)


def write_shard(directory: Path, shard: int, loops: Iterable[PreparedLoop]) -> int:
    """Write one shard whole and return its number of loops.

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
            stems.append(np.stack([_to_int16(stem) for stem in loop.stems.values()]))
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
    if stems:
        with _written_whole(_stems_path(directory, shard)) as file:
            np.save(file, np.concatenate(stems, axis=1))
    with _written_whole(_audio_path(directory, shard)) as file:
        np.save(file, audio)
    write_json(_records_path(directory, shard), records)
    return len(records)


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


def hold_out(directory: Path, shard: int, ids: Iterable[str]) -> None:
    """Move loops of a written shard to the held-out split, all others to training."""
    path, held_out = _records_path(directory, shard), set(ids)
    records = read_records(directory, shard)
    for record in records:
        record["split"] = HELD_OUT if record["id"] in held_out else TRAIN
    write_json(path, records)


def finish(
    directory: Path,
    n_shards: int,
    *,
    tempo_bpm: float,
    skipped: Sequence[Mapping[str, Any]] = (),
    more: Mapping[str, Any] | None = None,
) -> None:
    """Mark a corpus as complete, so that `Corpus.open` opens it; `more` is added to its header."""
    counts = [n_loops_written(directory, shard) for shard in range(n_shards)]
    if None in counts:
        raise CorpusError(
            f"{directory} lacks shard {counts.index(None)} of {n_shards}: run the command again"
        )
    totals = {
        "tempo_bpm": tempo_bpm,
        "n_shards": n_shards,
        "n_loops": sum(count or 0 for count in counts),
        "skipped": list(skipped),
    }
    write_json(directory / "corpus.json", {**_read_header(directory), **totals, **(more or {})})
