"""The analysed corpus, computed once and memory-mapped, for the trainer.

Beside each shard of a corpus lies ``features-00000-KEY.npy``, (n_loops, n_frames) records of two
fields: ``log_bands``, float16 (n_bands,), and ``advance``, int8 (n_guided,), the phase advance of
the lowest bins in 1/256 of a turn. KEY names the analysis and the loops. Beside a corpus of format
1 lies one such file for all loops, ``features-KEY.npy``. Each loop's grid is shifted by a random
part of its own step, so that over a corpus every position in a slot is seen.
"""

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from device.errors import OutputError, SwitchboardError
from device.files import create_locked
from device.model.contract import SLOTS_PER_BEAT
from training.corpus.format import (
    HELD_OUT,
    TRAIN,
    CorpusError,
    is_whole,
    locked,
    partial_of,
    remove_leftovers,
)
from training.corpus.reader import Corpus
from training.features.analysis import Analysis
from training.features.frames import Frames
from training.helper_threads import helper_threads

_CHECKED_AT_ONCE = 64  # loops
_ROUNDING = 0.05  # nepers, more than half precision rounds by


@dataclass(frozen=True)
class Features:
    """Frames of all loops, split into what is trained on and what is held out.

    Attributes
    ----------
    log_bands : (n_loops, n_frames, n_bands), float16, memory-mapped
        Of several files, read by loop: a number, numbers or a slice; so is `advance`.
    advance : (n_loops, n_frames, n_guided), int8, memory-mapped
        Phase advance, of `Analysis.log_bands_and_advance`.
    offsets : (n_loops,), float32
        Shift of each loop's grid in parts of a frame.
    train, held_out : (n,), int64
        Numbers of loops.
    n_slots : int
    labels : (n_loops, n_labels), float32
        Labels of the loops; no columns unless the switches come from labels.
    references : (n_loops,), int64
        The number of the loop that each is a version of: the first of the same composition. A loop
        without versions is its own.
    """

    log_bands: NDArray[np.float16] | Frames
    advance: NDArray[np.int8] | Frames
    offsets: NDArray[np.float32]
    train: NDArray[np.int64]
    held_out: NDArray[np.int64]
    n_slots: int
    labels: NDArray[np.float32]
    references: NDArray[np.int64]


def open_features(
    corpus: Corpus,
    analysis: Analysis,
    *,
    labels: NDArray[np.float32] | None = None,
    n_workers: int = 1,
    on_progress: Callable[[int, int], None] = lambda n_done, n_loops: None,
) -> Features:
    """Analyse a corpus, or reopen an earlier analysis; a damaged one is computed again.

    Parameters
    ----------
    labels : (n_loops, n_labels)
        Of `training.switch_axes.labels`; none of them if left out.
    n_workers : int
        Threads; the work is in the Fourier transform, which releases the interpreter lock.
    on_progress : callable
        Called with the numbers of loops analysed and of all; not at all if there is nothing to do.

    Raises
    ------
    CorpusError
        If its sample rate is not the analysis', none of its loops is for training, or its sound is
        damaged.
    OutputError
        If there is no space beside it for the analysis.
    """
    train = corpus.indices(TRAIN)
    _check(corpus, analysis, len(train))
    stretches = _stretches(corpus, analysis)
    with locked(corpus.directory, wait=True):
        frames = [_analysed(stretch, corpus, analysis) for stretch in stretches]
        missing = [s for s, found in zip(stretches, frames, strict=True) if found is None]
        if missing:
            remove_leftovers(corpus.directory)
            _analyse(corpus, analysis, missing, n_workers=n_workers, on_progress=on_progress)
    mapped = [
        np.load(stretch.path, mmap_mode="r") if found is None else found
        for stretch, found in zip(stretches, frames, strict=True)
    ]
    return Features(
        log_bands=Frames([each["log_bands"] for each in mapped]),
        advance=Frames([each["advance"] for each in mapped]),
        offsets=_offsets(len(corpus)),
        train=train,
        held_out=corpus.indices(HELD_OUT),
        n_slots=SLOTS_PER_BEAT * corpus.beats_per_loop,
        labels=np.zeros((len(corpus), 0), np.float32) if labels is None else labels,
        references=references_of(corpus),
    )


def references_of(corpus: Corpus) -> NDArray[np.int64]:
    """The first loop of the composition that each is a version of, see `Features`."""
    references: NDArray[np.int64] = np.arange(len(corpus), dtype=np.int64)
    firsts: dict[int, int] = {}
    # One record after another takes long, and most corpora have no versions.
    if any(each is not None for each in corpus.records.distinct("provenance", "composition")):
        for number, record in enumerate(corpus.records):
            composition: Any = record.provenance.get("composition")
            if is_whole(composition, 0):
                references[number] = firsts.setdefault(composition, number)
    return references


def references_among(loops: NDArray[np.int64], references: NDArray[np.int64]) -> NDArray[np.int64]:
    """Those of some loops that are their own reference, see `Features`."""
    own: NDArray[np.int64] = loops[references[loops] == loops]
    return own


def analysis_files(corpus: Corpus, analysis: Analysis) -> list[tuple[Path, int]]:
    """Where the analysis of a corpus lies, or will lie, and how many bytes each file has."""
    n_bytes = _frame_type(analysis).itemsize
    return [
        (stretch.path, math.prod(_shape(corpus, analysis, stretch.loops)) * n_bytes)
        for stretch in _stretches(corpus, analysis)
    ]


def analyse_loop(
    corpus: Corpus, analysis: Analysis, number: int, offset: float
) -> tuple[NDArray[np.float16], NDArray[np.int8]]:
    """Log bands and phase advance of a loop whose grid is shifted by a part of its step.

    Returns
    -------
    (n_frames, n_bands), (n_frames, n_guided)
    """
    positions = analysis.grid(SLOTS_PER_BEAT * corpus.beats_per_loop, offset)
    hop_length = analysis.hop_length if analysis.n_guided else 0
    n_samples, peak = hop_length + analysis.n_fft, hop_length + analysis.peak
    frames = corpus.frames(number, positions, n_samples, peak)
    if analysis.n_guided:
        log_bands, advance = analysis.log_bands_and_advance(frames)
    else:
        log_bands = analysis.log_bands(frames)
        advance = np.zeros((len(log_bands), 0), np.int8)
    return log_bands.astype(np.float16), advance


def _check(corpus: Corpus, analysis: Analysis, n_train: int) -> None:
    if corpus.sample_rate != analysis.sample_rate:
        raise CorpusError(
            f"{corpus.directory}: found a sample rate of {corpus.sample_rate} Hz, the analysis "
            f"expects {analysis.sample_rate}; set analysis.sample_rate={corpus.sample_rate}"
        )
    if n_train == 0:
        raise CorpusError(
            f"{corpus.directory}: found no loop to train on among its {len(corpus)}; "
            "make a longer corpus"
        )


@dataclass(frozen=True)
class _Stretch:
    """Loops whose analysis is one file: those of a shard, or all of a corpus of format 1."""

    path: Path
    loops: range


def _stretches(corpus: Corpus, analysis: Analysis) -> list[_Stretch]:
    if corpus.header["format_version"] == 1:
        key = _key(analysis, list(corpus.records.ids()), 0)
        return [_Stretch(corpus.directory / f"features-{key}.npy", range(len(corpus)))]
    stretches, first = [], 0
    for shard, block in enumerate(corpus.records.blocks):
        loops = range(first, first + len(block))
        key = _key(analysis, [block.id(number) for number in range(len(block))], first)
        path = corpus.directory / f"features-{shard:05d}-{key}.npy"
        stretches += [_Stretch(path, loops)] if loops else []
        first = loops.stop
    return stretches


def _offsets(n_loops: int) -> NDArray[np.float32]:
    # The sequence is additive (golden ratio): even coverage whatever the number of loops.
    return ((np.arange(n_loops) * 0.618033988749895) % 1.0).astype(np.float32)


def _key(analysis: Analysis, ids: list[str], first: int) -> str:
    # What decides the frames and nothing else: another hop has the same analysis.
    decisive: list[float | str] = [
        analysis.sample_rate,
        analysis.n_fft,
        analysis.floor,
        analysis.frames_per_slot,
    ]
    if analysis.window != "hann":  # the only one of earlier versions, whose files keep their names
        decisive.append(analysis.window)
    if analysis.scale != "clipped":
        decisive.append(analysis.scale)
    if analysis.n_guided:
        decisive += [analysis.n_guided, analysis.hop_length]
    centres = analysis.band_centres.round(6).tolist()
    # The number of the first loop decides the shifts of all their grids.
    identity = json.dumps([decisive, centres, ids, *([first] if first else [])])
    return hashlib.sha256(identity.encode()).hexdigest()[:12]


def _shape(corpus: Corpus, analysis: Analysis, loops: range) -> tuple[int, int]:
    return len(loops), SLOTS_PER_BEAT * corpus.beats_per_loop * analysis.frames_per_slot


def _frame_type(analysis: Analysis) -> np.dtype[np.void]:
    return np.dtype(
        [("log_bands", np.float16, (analysis.n_bands,)), ("advance", np.int8, (analysis.n_guided,))]
    )


def _analysed(stretch: _Stretch, corpus: Corpus, analysis: Analysis) -> NDArray[np.void] | None:
    """The earlier analysis; None if there is none, or it is damaged."""
    shape = _shape(corpus, analysis, stretch.loops)
    try:
        frames: NDArray[np.void] = np.load(stretch.path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError):
        return None
    if frames.dtype != _frame_type(analysis) or frames.shape != shape:
        return None
    log_bands = frames["log_bands"]
    # Of random bytes, half the numbers are not finite or out of range.
    loudest = analysis.n_fft * max(1.0, float(analysis.reduction.sum(axis=1).max()))
    lowest = analysis.log_floor - _ROUNDING
    highest = max(analysis.log_floor, math.log(loudest)) + _ROUNDING
    for start in range(0, len(log_bands), _CHECKED_AT_ONCE):
        part = torch.from_numpy(np.array(log_bands[start : start + _CHECKED_AT_ONCE]))
        least, most = torch.aminmax(part)
        # Written so that what is not a number fails.
        if not (least >= lowest and most <= highest):
            return None
    return frames


def _analyse(
    corpus: Corpus,
    analysis: Analysis,
    stretches: list[_Stretch],
    *,
    n_workers: int,
    on_progress: Callable[[int, int], None],
) -> None:
    offsets = _offsets(len(corpus))
    n_loops, n_before = sum(len(stretch.loops) for stretch in stretches), 0

    def analyse(loop: int) -> None:
        store["log_bands"][loop - first], store["advance"][loop - first] = analyse_loop(
            corpus, analysis, loop, float(offsets[loop])
        )

    on_progress(0, n_loops)
    for stretch in stretches:
        first, shape = stretch.loops.start, _shape(corpus, analysis, stretch.loops)
        with (
            _written(stretch.path, shape, _frame_type(analysis)) as store,
            _threads(n_workers) as pool,
        ):
            for n_done, _ in enumerate(pool.map(analyse, stretch.loops), n_before + 1):
                on_progress(n_done, n_loops)
        n_before += len(stretch.loops)


@contextmanager
def _written(
    path: Path, shape: tuple[int, int], frame_type: np.dtype[np.void]
) -> Iterator[np.memmap[Any, np.dtype[np.void]]]:
    """Open the file of an analysis, which takes its name when it is complete."""
    partial = partial_of(path)
    try:
        # Locked, so that nobody removes it.
        with create_locked(partial):
            store = _reserved(partial, shape, frame_type)
            yield store
            store.flush()
            partial.replace(path)
    except OSError as error:
        if isinstance(error, SwitchboardError):
            raise
        n_bytes = math.prod(shape) * frame_type.itemsize
        raise OutputError(
            f"{path}: cannot be written ({error.strerror or error}); the analysis of a corpus lies "
            f"beside it: make room for {n_bytes / 2**20:,.0f} MiB there, or copy the corpus"
        ) from error
    finally:
        with suppress(OSError):
            partial.unlink()


def _reserved(
    path: Path, shape: tuple[int, int], frame_type: np.dtype[np.void]
) -> np.memmap[Any, np.dtype[np.void]]:
    """Make an array on the disk whose space is allocated already.

    On a full disk, writing to a memory map would end the process without an exception.
    """
    store: np.memmap[Any, np.dtype[np.void]] = np.lib.format.open_memmap(
        path, mode="w+", dtype=frame_type, shape=shape
    )
    with path.open("r+b") as file:
        os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return store


@contextmanager
def _threads(n: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that, when interrupted, end after their current item."""
    pool = helper_threads("analysis", n)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
