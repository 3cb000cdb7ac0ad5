"""The corpus on disk: loops on a beat grid, in shards that are whole or absent.

A corpus is a directory of

``corpus.json``
    ``format_version``, ``source`` ("studio", "folder" or "fma"), ``sample_rate`` [Hz],
    ``beats_per_loop``, ``margin`` [samples], the parameters of the source (seed and minutes, or
    the folder's path) and, once the corpus is complete, ``tempo_bpm``, ``n_shards``, ``n_loops``
    and ``skipped`` (what was left out, each with its reason).
``shard-00000.npy``
    One-dimensional int16 audio, the loops one after another, read through a memory map.
``shard-00000.json``
    A list with one record per loop: ``id``; ``start``, the sample of its beat 0 in the shard;
    ``beats``, the ``beats_per_loop + 1`` positions of its beats in samples from ``start``;
    ``split`` ("train" or "held-out"); ``labels``, what is known about the music;
    ``provenance``, where it comes from and under which licence.
``stems-00000.npy``
    Where ``corpus.json`` names ``stems``: int16 (n_stems, n_samples), what every layer brings,
    sample by sample beside the shard.

The sound itself is kept, not pictures of it: what bands a network sees, linear, mel or warped, of
what frames, is decided when it is trained.

Every loop is stored with ``margin`` samples before its first beat and after its last, so that a
frame centred anywhere in the loop has real sound on both sides.

Each file is written under a temporary name and renamed, a shard's audio before its records: a
shard exists if and only if its records exist, and a killed run goes on where it was.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import as_completed
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, fields
from functools import lru_cache
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import Any, BinaryIO, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from device.errors import SwitchboardError
from device.files import written_whole
from device.system.outputs import regular_target

FORMAT_VERSION = 1
SAMPLE_RATE = 22050
BEATS_PER_LOOP = 16
MARGIN = 4096
"""Samples of context on either side of a loop."""
TRAIN, HELD_OUT = "train", "held-out"

Audio = NDArray[np.float32]

_FULL_SCALE = 32767.0
_PARTIAL = ".partial"
# No number of samples, loops or beats is larger.
_MOST = 2**40
_ANEW = "bring back a copy, or make the corpus again in an empty folder"
_LEAST_MEMORY = 6 * 2**30  # address space of a worker [bytes]; torch alone reserves much of it
_HEADER_KEYS = frozenset(
    {"format_version", "source", "sample_rate", "beats_per_loop", "margin", "tempo_bpm"}
    | {"n_shards", "n_loops"}
)

Job = TypeVar("Job")
Result = TypeVar("Result")


class CorpusError(SwitchboardError, ValueError):
    """A corpus that cannot be read, or music of which none can be made."""

    exit_code = 20


# -- writing --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PreparedLoop:
    """A loop on its way into a shard.

    Attributes
    ----------
    audio
        (MARGIN + length of the loop + MARGIN,), float32 within ±1.
    beats
        (BEATS_PER_LOOP + 1,) sample positions counted from the end of the first margin.
    stems
        What every layer brings, each as long as the audio; None: not kept.
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
    """Start a corpus, or go on with one that was begun with the same parameters.

    Parameters
    ----------
    directory
        Made if absent; must be empty or hold this very corpus.
    source
        "studio", "folder" or "fma".
    parameters
        What decides the contents; stored, and compared when going on.
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
    """Say whether a directory is empty, but for what a killed run left half-written."""
    return directory.is_dir() and all(
        path.name.startswith(".") and path.suffix == _PARTIAL for path in directory.iterdir()
    )


def _check_same(
    directory: Path, before: Mapping[str, Any], now: Mapping[str, Any], may_grow: Sequence[str]
) -> None:
    for key, wanted in now.items():
        found = before.get(key)
        grows = key in may_grow and is_positive(found) and wanted > found
        if found != wanted and not grows:
            raise CorpusError(
                f"{directory} holds a corpus with {key} {found!r}, asked for {wanted!r}: "
                "ask for the same, or choose another --out"
            )


def remove_leftovers(directory: Path) -> None:
    """Remove what a killed run left half-written. Call before any worker writes."""
    for leftover in directory.glob(f".*{_PARTIAL}"):
        leftover.unlink(missing_ok=True)


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
        found = type(records).__name__
        raise CorpusError(
            f"{path}: found {found}, expected a list of loops; {_remake(directory, shard)}"
        )
    for number, record in enumerate(records):
        for name, holds, expected in _expectations(record):
            if not holds:
                raise CorpusError(
                    f"{path} holds a record that is not a loop: number {number}, {name}: expected "
                    f"{expected}; {_remake(directory, shard)}"
                )
    return records


def _expectations(record: Any) -> Iterator[tuple[str, bool, str]]:
    """Say of each part of a stored loop whether it is one, and what would be."""
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


def is_whole(value: Any, least: int) -> bool:
    """Say whether a JSON value is a whole number, and not a smaller or an absurd one."""
    return type(value) is int and least <= value <= _MOST


def is_positive(value: Any) -> bool:
    """Say whether a JSON value is a number above 0, and not an absurd one."""
    return type(value) in (int, float) and 0 < value <= _MOST


def _is_position(value: Any) -> bool:
    return value == 0 or is_positive(value)


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
    path, wanted = _records_path(directory, shard), set(ids)
    records = read_records(directory, shard)
    for record in records:
        record["split"] = HELD_OUT if record["id"] in wanted else TRAIN
    write_json(path, records)


def finish(
    directory: Path,
    n_shards: int,
    *,
    tempo_bpm: float,
    skipped: Sequence[Mapping[str, Any]] = (),
    facts: Mapping[str, Any] | None = None,
) -> None:
    """Declare a corpus complete; from now on `Corpus.open` takes it. `facts` are kept with it."""
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
    write_json(directory / "corpus.json", {**_read_header(directory), **totals, **(facts or {})})


def _audio_path(directory: Path, shard: int) -> Path:
    return directory / f"shard-{shard:05d}.npy"


def _stems_path(directory: Path, shard: int) -> Path:
    return directory / f"stems-{shard:05d}.npy"


def _records_path(directory: Path, shard: int) -> Path:
    return directory / f"shard-{shard:05d}.json"


def write_json(path: Path, content: object) -> None:
    """Write a JSON file whole or not at all."""
    # A name that is not UTF-8 holds lone surrogates: written as \\udcXX, which JSON reads back.
    text = json.dumps(content, ensure_ascii=False, indent=1).encode(errors="backslashreplace")
    with _written_whole(path) as file:
        file.write(text)


def _written_whole(path: Path) -> AbstractContextManager[BinaryIO]:
    target = regular_target(path)
    # Workers, and other commands, may write beside each other.
    return written_whole(target, target.with_name(f".{target.name}.{os.getpid()}{_PARTIAL}"))


# -- reading --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LoopRecord:
    """One loop: where it lies and what is known about it."""

    id: str
    shard: int
    start: int
    beats: tuple[float, ...]
    split: str
    labels: Mapping[str, Any]
    provenance: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Corpus:
    """A complete corpus, open for reading. Cheap to pickle: audio stays in memory maps."""

    directory: Path
    header: Mapping[str, Any]
    records: tuple[LoopRecord, ...]

    @classmethod
    def open(cls, directory: str | Path) -> Corpus:
        """Open a corpus that was written to the end.

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
        records = [
            record for shard in range(header["n_shards"]) for record in _records(directory, shard)
        ]
        for record in records:
            _check_lies_within_margins(directory, record, header)
        if len(records) != header["n_loops"]:
            raise CorpusError(
                f"{directory} holds {len(records)} loops, corpus.json announces "
                f"{header['n_loops']}; {_ANEW}"
            )
        return cls(directory, header, tuple(records))

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
        return np.flatnonzero([record.split == split for record in self.records])

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
        places = np.interp(beats, np.arange(len(record.beats)), record.beats)
        first = np.rint(places).astype(np.int64) + record.start - before
        if not len(first):
            return np.zeros((0, n_fft), dtype=np.float32)
        begin_at, end_at = int(first.min()), int(first.max()) + n_fft
        stretch = _to_float(self._shard(record)[begin_at:end_at])
        windows = np.lib.stride_tricks.sliding_window_view(stretch, n_fft)
        frames: Audio = windows[first - begin_at]
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
        """Open sound that reaches as far as a record says."""
        remedy = _remake(self.directory, record.shard)
        audio = _open_shard(path, remedy)
        n_needed = self._extent(record).stop
        if audio.dtype != np.int16 or audio.shape[:-1] != rows or audio.shape[-1] < n_needed:
            raise CorpusError(
                f"{path}: found {audio.dtype} {audio.shape}, expected int16 and {n_needed} samples "
                f"or more; {remedy}"
            )
        return audio

    def provenance_summary(self) -> dict[str, Any]:
        """Say what a model trained on this corpus was trained on, in JSON values."""
        n_samples = sum(record.beats[-1] for record in self.records)
        licences = {str(record.provenance.get("licence") or "unknown") for record in self.records}
        return {
            "source": self.header["source"],
            "n_loops": len(self.records),
            "hours": round(n_samples / self.sample_rate / 3600.0, 3),
            "licences": sorted(licences),
            "seed": self.header.get("seed"),
        }


@lru_cache(maxsize=128)  # every open map holds a file descriptor
def _map_shard(path: Path, _modified_ns: int) -> NDArray[np.int16]:
    audio: NDArray[np.int16] = np.load(path, mmap_mode="r", allow_pickle=False)
    return audio


def _open_shard(path: Path, remedy: str) -> NDArray[np.int16]:
    try:
        return _map_shard(path, path.stat().st_mtime_ns)
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        # What numpy makes of a damaged header may have several lines.
        reason = " ".join(str(error).split())
        raise CorpusError(f"{path} cannot be read ({reason}); {remedy}") from error


def _to_float(audio: NDArray[np.int16]) -> Audio:
    scaled: Audio = audio * np.float32(1.0 / _FULL_SCALE)
    return scaled


def _records(directory: Path, shard: int) -> Iterator[LoopRecord]:
    for stored in read_records(directory, shard):
        yield LoopRecord(shard=shard, beats=tuple(stored.pop("beats")), **stored)


def _check_header(directory: Path, header: Mapping[str, Any]) -> None:
    stems, skipped = header.get("stems"), header.get("skipped", [])
    expected = {
        "source": (isinstance(header["source"], str), "a text"),
        "sample_rate": (is_whole(header["sample_rate"], 1), "a whole number of Hz"),
        "beats_per_loop": (is_whole(header["beats_per_loop"], 1), "a whole number, 1 or more"),
        "margin": (is_whole(header["margin"], 0), "a whole number of samples"),
        "tempo_bpm": (is_positive(header["tempo_bpm"]), "a positive number"),
        "n_shards": (is_whole(header["n_shards"], 0), "a whole number"),
        "n_loops": (is_whole(header["n_loops"], 0), "a whole number"),
        "stems": (not stems or _is_list_of(stems, str), "names of layers, or none"),
        "skipped": (
            _is_list_of(skipped, dict)
            and all({"path", "reason"} <= skip.keys() for skip in skipped),
            "what was left out, each with path and reason",
        ),
    }
    for name, (holds, what) in expected.items():
        if not holds:
            raise CorpusError(
                f"{directory / 'corpus.json'}: found {name} {_shown(header[name])}, expected "
                f"{what}; {_ANEW}"
            )


def _is_list_of(value: Any, kind: type) -> bool:
    return isinstance(value, list) and all(isinstance(each, kind) for each in value)


def _shown(value: Any) -> str:
    text = ascii(value)
    return text if len(text) <= 40 else f"{text[:40]}…"


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


def _read_header(directory: Path) -> dict[str, Any]:
    if not directory.is_dir():
        raise CorpusError(
            f"{directory} is not a directory: make a corpus with `switchboard corpus studio --out "
            f"{directory}`"
        )
    path = directory / "corpus.json"
    if not path.is_file():
        raise CorpusError(
            f"{directory} holds no corpus (corpus.json is missing): give a corpus directory, or an "
            "empty one to make a corpus in"
        )
    header = read_json(path)
    version = header.get("format_version") if isinstance(header, dict) else None
    if not isinstance(header, dict) or version != FORMAT_VERSION:
        raise CorpusError(
            f"{path} has format version {_shown(version)}, expected {FORMAT_VERSION}; {_ANEW}"
        )
    return header


def read_json(path: Path, *, remedy: str = _ANEW) -> Any:
    """Read a JSON file of a corpus.

    Parameters
    ----------
    remedy : str
        What to do if it is damaged.

    Raises
    ------
    CorpusError
        If it is.
    """
    if path.exists() and not path.is_file():
        raise CorpusError(f"{path} cannot be read (it is no regular file); {remedy}")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CorpusError(f"{path} cannot be read ({error}); {remedy}") from error


# -- workers --------------------------------------------------------------------------------


def run_in_workers(
    function: Callable[[Job], Result], jobs: Sequence[Job], n_workers: int
) -> Iterator[Result]:
    """Yield the results of all jobs as they come; with one worker, in this very process.

    Raises
    ------
    CorpusError
        If a worker died.
    """
    if n_workers <= 1 or len(jobs) <= 1:
        yield from map(function, jobs)
        return

    def lost(_job: Job, reason: str) -> Result:
        raise CorpusError(
            f"a worker was lost (it {reason}), expected a result: run the command again, with "
            "fewer --workers if memory is short"
        )

    yield from run_guarded(function, jobs, n_workers, lost=lost)


def run_guarded(
    function: Callable[[Job], Result],
    jobs: Sequence[Job],
    n_workers: int,
    *,
    lost: Callable[[Job, str], Result],
    seconds: Callable[[Job], float | None] = lambda _job: None,
) -> Iterator[Result]:
    """Yield the results of all jobs as they come, worked out in other processes.

    A worker that dies or takes too long takes its own job with it and no other.

    Parameters
    ----------
    n_workers
        Processes beside this one, 1 at least. Each may use its share of the machine's memory.
    lost
        Called with a job that got no result and what its worker did, such as "was killed by
        signal 11"; returns what stands for the result.
    seconds
        Longest time for a job, its worker's start included; None: any.
    """
    if not jobs:
        return
    n_workers = min(n_workers, len(jobs))
    with _single_threaded_children(), _pool(n_workers) as pool:
        futures = {pool.schedule(function, args=(job,), timeout=seconds(job)): job for job in jobs}
        for future in as_completed(futures):
            yield _result(future, futures[future], lost)


def _result(future: Any, job: Job, lost: Callable[[Job, str], Result]) -> Result:
    from pebble import ProcessExpired

    try:
        result: Result = future.result()
    except ProcessExpired as error:
        code = error.exitcode or 0
        return lost(job, f"was killed by signal {-code}" if code < 0 else f"ended with {code}")
    except TimeoutError as error:
        if not _is_own_limit(error):
            raise
        return lost(job, f"took longer than {error.args[1]:.0f} s")
    return result


def _is_own_limit(error: TimeoutError) -> bool:
    """Tell pebble's time limit, (message, seconds), from a function's own TimeoutError."""
    return len(error.args) == 2 and isinstance(error.args[1], (int, float))


@contextmanager
def _pool(n_workers: int) -> Iterator[Any]:
    from pebble import ProcessPool

    pool: Any = ProcessPool(
        n_workers,
        context=get_context("spawn"),
        initializer=_settle_in,
        initargs=(_memory_share(n_workers),),
    )
    try:
        yield pool
    finally:
        pool.stop()
        pool.join()


def _memory_share(n_workers: int) -> int:
    """Return how much memory a worker may address [bytes]."""
    n_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(n_bytes // n_workers, _LEAST_MEMORY)


def _settle_in(n_bytes: int) -> None:
    """Prepare a worker: what asks for too much memory gets an error, not all of the machine."""
    import resource

    _end_with_parent()
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = n_bytes if hard == resource.RLIM_INFINITY else min(n_bytes, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


def _end_with_parent() -> None:
    """Let a worker end when its parent is killed: the pool's workers would wait for ever."""

    def watch() -> None:
        parent = parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    Thread(target=watch, daemon=True).start()


@contextmanager
def _single_threaded_children() -> Iterator[None]:
    """Let the children's numeric libraries use one thread each: the workers are the threads."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
