"""The corpus on disk: loops on a beat grid, in shards that are whole or absent.

A corpus is a directory of

``corpus.json``
    ``format_version``, ``source`` ("studio", "folder" or "fma"), ``sample_rate`` [Hz],
    ``beats_per_loop``, ``margin`` [samples], the parameters of the source (seed and minutes, or
    the folder's path) and, once the corpus is complete, ``tempo_bpm``, ``n_shards``, ``n_loops``,
    ``shards`` (the index: ``n_loops`` and ``n_samples`` of each) and ``skipped`` (what was left
    out, each with its reason).
``shard-00000.npy``
    One-dimensional int16 audio, the loops one after another, up to 1 GB of them, read through a
    memory map.
``records-00000.npz``
    Uncompressed arrays, a row for each loop: ``start``, int64, the sample of its beat 0 in the
    shard; ``beats``, float64 (n_loops, beats_per_loop + 1), the positions of its beats in samples
    from ``start``; ``held_out``, bool; ``ids``, its name. ``labels`` (properties of the music) and
    ``provenance`` (where it comes from and under which licence) are columns: those that are a
    fractional number for every loop in ``floats``, float64; the others in ``codes``, int32, numbers
    of JSON texts in ``values``, or -1 for a loop without the property. ``columns``, JSON, says
    which is which. Texts lie one after another in UTF-8, ``id_ends`` and ``value_ends`` say where
    each ends. ``more``, JSON, says which parts the shard holds (`training.corpus.parts.Contents`).
``stems-00000.npy``
    Where ``corpus.json`` names ``stems``: int16 (n_stems, n_samples), the share of every layer,
    with the same samples as the shard.
``part-000000.npz``
    While the corpus is made: what one job gave, audio and records, until a shard is made of it.
``features-00000-KEY.npy``
    The analysis of a shard, see `training.features.dataset`.

The sound itself is kept, not spectrograms: bands (linear, mel or warped) and frames are chosen
when a network is trained.

Every loop is stored with ``margin`` samples before its first beat and after its last, so that a
frame centred anywhere in the loop has real sound on both sides.

Each file is written under a temporary name and renamed, a shard's audio before its records: a
shard exists if and only if its records exist, and a killed run continues where it was.

Format 1, with JSON records and a shard for each job, is read too: `training.corpus.format_1`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from training.corpus import format_1
from training.corpus.credits import credits_of, needs_credit
from training.corpus.format import (
    _ANEW,
    _FULL_SCALE,
    _HEADER_KEYS,
    HELD_OUT,
    Audio,
    CorpusError,
    _audio_path,
    _check_header,
    _read_header,
    _records_path,
    _stems_path,
)
from training.corpus.record_files import read_records
from training.corpus.records import Columns, LoopRecord, Records, remade


@dataclass(frozen=True, slots=True)
class Corpus:
    """A complete corpus, open for reading. Pickles are small: audio stays in memory maps."""

    directory: Path
    header: Mapping[str, Any]
    records: Records

    @classmethod
    def open(cls, directory: str | Path) -> Corpus:
        """Open a complete corpus.

        Raises
        ------
        CorpusError
            If the directory is absent, holds no corpus, an unfinished one, or another version.
        """
        directory = Path(directory)
        header = _read_header(directory)
        missing = sorted(_HEADER_KEYS - header.keys())
        if missing:
            raise CorpusError(
                f"{directory} is an unfinished corpus ({missing[0]} is missing): run the command "
                "that makes it again, it goes on where it was"
            )
        _check_header(directory, header)
        is_first = header["format_version"] == 1
        blocks = (
            format_1.read_columns(directory, header) if is_first else _blocks(directory, header)
        )
        records = Records(list(blocks))
        if len(records) != header["n_loops"]:
            raise CorpusError(
                f"{directory} holds {len(records)} loops, corpus.json announces "
                f"{header['n_loops']}; {_ANEW}"
            )
        return cls(directory, header, records)

    def __len__(self) -> int:
        return len(self.records)

    @property
    def sample_rate(self) -> int:
        """Sample rate of the audio [Hz]."""
        return int(self.header["sample_rate"])

    @property
    def beats_per_loop(self) -> int:
        """Length of every loop [beats]."""
        return int(self.header["beats_per_loop"])

    @property
    def tempo_bpm(self) -> float:
        """Tempo of the corpus: exact for the studio, the median loop's for recordings."""
        return float(self.header["tempo_bpm"])

    @property
    def margin(self) -> int:
        """Samples of context stored on either side of a loop."""
        return int(self.header["margin"])

    def indices(self, split: str) -> NDArray[np.int64]:
        """Return the numbers of the loops in a split, "train" or "held-out"."""
        return np.flatnonzero(self.records.held_out() == (split == HELD_OUT))

    def audio(self, index: int) -> Audio:
        """Return a loop with its margins, (margin + loop + margin,), within ±1."""
        record = self.records[index]
        return _to_float(self._shard(record)[self._extent(record)])

    def stems(self, index: int) -> dict[str, Audio]:
        """Return what every layer of a loop brings, each as long as its audio.

        Raises
        ------
        CorpusError
            If the corpus was made without stems.
        """
        names, record = self.header.get("stems"), self.records[index]
        if not names:
            raise CorpusError(
                f"{self.directory} holds no stems: make a corpus with `switchboard corpus studio "
                "--stems`"
            )
        extent = self._extent(record)
        path = _stems_path(self.directory, record.shard)
        stems = self._open(path, record, (len(names),))[:, extent]
        return dict(zip(names, _to_float(stems), strict=True))

    def _extent(self, record: LoopRecord) -> slice:
        last = record.start + math.ceil(record.beats[-1]) + self.margin
        return slice(record.start - self.margin, last)

    def frames(
        self, index: int, positions: ArrayLike, n_fft: int, peak: int | None = None
    ) -> Audio:
        """Cut frames out of a loop, to be windowed and transformed by the caller.

        Parameters
        ----------
        index
            Number of the loop.
        positions
            Of the frames in beats from the start of the loop, (n_frames,), any order, 0 to
            `beats_per_loop`; between beats the tempo is taken as constant.
        n_fft
            Length of a frame [samples].
        peak
            The sample of a frame that lies at its position; its centre if left out.

        Returns
        -------
        numpy.ndarray
            (n_frames, n_fft), float32 within ±1.

        Raises
        ------
        CorpusError
            If a frame would reach beyond the margin.
        """
        record = self.records[index]
        beats = np.asarray(positions, dtype=np.float64)
        before = n_fft // 2 if peak is None else peak
        self._check_reach(beats, max(before, n_fft - before))
        samples = np.interp(beats, np.arange(len(record.beats)), record.beats)
        first = np.rint(samples).astype(np.int64) + record.start - before
        if not len(first):
            return np.zeros((0, n_fft), dtype=np.float32)
        start, stop = int(first.min()), int(first.max()) + n_fft
        audio = _to_float(self._shard(record)[start:stop])
        windows = np.lib.stride_tricks.sliding_window_view(audio, n_fft)
        frames: Audio = windows[first - start]
        return frames

    def _check_reach(self, beats: NDArray[np.float64], reach: int) -> None:
        if reach > self.margin:
            raise CorpusError(
                f"frames reach {reach} samples from their position, expected at most "
                f"{self.margin}: choose a smaller n_fft"
            )
        if len(beats) and not (beats.min() >= 0.0 and beats.max() <= self.beats_per_loop):
            raise CorpusError(
                f"frames at {beats.min():g} to {beats.max():g} beats, "
                f"expected 0 to {self.beats_per_loop}"
            )

    def _shard(self, record: LoopRecord) -> NDArray[np.int16]:
        return self._open(_audio_path(self.directory, record.shard), record, ())

    def _open(self, path: Path, record: LoopRecord, rows: tuple[int, ...]) -> NDArray[np.int16]:
        """Open audio and check that it covers the loop of a record."""
        is_first = self.header["format_version"] == 1
        remedy = _ANEW if is_first else remade(_records_path(self.directory, record.shard))
        audio = _open_shard(path, remedy)
        n_needed = self._extent(record).stop
        if audio.dtype != np.int16 or audio.shape[:-1] != rows or audio.shape[-1] < n_needed:
            raise CorpusError(
                f"{path}: found {audio.dtype} {audio.shape}, expected int16 and {n_needed} samples "
                f"or more; {remedy}"
            )
        return audio

    def provenance_summary(self) -> dict[str, Any]:
        """Return the provenance of a model trained on this corpus, in JSON values."""
        n_samples = sum(float(block.beats[:, -1:].sum()) for block in self.records.blocks)
        licences = {
            str(licence or "unknown") for licence in self.records.distinct("provenance", "licence")
        }
        # One record after another takes long, and most licences require no name.
        names_required = any(needs_credit(licence) for licence in licences)
        credits = credits_of(each.provenance for each in self.records) if names_required else []
        return {
            "source": self.header["source"],
            "n_loops": len(self.records),
            "hours": round(n_samples / self.sample_rate / 3600.0, 3),
            "licences": sorted(licences),
            **({"credits": credits} if credits else {}),
            "seed": self.header.get("seed"),
        }


def _blocks(directory: Path, header: Mapping[str, Any]) -> Iterator[Columns]:
    n_beats, margin = header["beats_per_loop"] + 1, header["margin"]
    for shard, announced in enumerate(header["shards"]):
        path = _records_path(directory, shard)
        columns = read_records(path, shard, n_beats=n_beats, margin=margin).columns
        if len(columns) != announced["n_loops"]:
            raise CorpusError(
                f"{path} holds {len(columns)} loops, corpus.json announces "
                f"{announced['n_loops']}; {remade(path)}"
            )
        yield columns


@lru_cache(maxsize=256)  # every open map holds a file descriptor
def _map_shard(path: Path, _modified_ns: int) -> NDArray[np.int16]:
    audio: NDArray[np.int16] = np.load(path, mmap_mode="r", allow_pickle=False)
    return audio


def _open_shard(path: Path, remedy: str) -> NDArray[np.int16]:
    try:
        return _map_shard(path, path.stat().st_mtime_ns)
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        # numpy's message about a damaged header may have several lines.
        reason = " ".join(str(error).split())
        raise CorpusError(f"{path} cannot be read ({reason}); {remedy}") from error


def _to_float(audio: NDArray[np.int16]) -> Audio:
    scaled: Audio = audio * np.float32(1.0 / _FULL_SCALE)
    return scaled
