"""The analysed corpus, computed once and memory-mapped: what the trainer reads.

Beside the shards of a corpus lies ``features-KEY.npy``, float16 (n_loops, n_frames, n_bands), the
log bands of every loop, where KEY names the analysis. Each loop's grid is shifted by a random part
of its own step, so that over a corpus every phase of a slot is seen.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from device.contract import SLOTS_PER_BEAT
from training.analysis import Analysis
from training.corpus import TRAIN, Corpus, CorpusError


@dataclass(frozen=True)
class Features:
    """Frames of all loops, split into what is trained on and what is held out.

    Attributes
    ----------
    log_bands : (n_loops, n_frames, n_bands), float16, memory-mapped
    offsets : (n_loops,), float32
        Shift of each loop's grid in parts of a frame.
    train, held_out : (n,), int64
        Numbers of loops.
    n_slots : int
    labels : (n_loops, n_labels), float32
        What the owner says of the loops; no columns unless switches are made of it.
    """

    log_bands: NDArray[np.float16]
    offsets: NDArray[np.float32]
    train: NDArray[np.int64]
    held_out: NDArray[np.int64]
    n_slots: int
    labels: NDArray[np.float32]


def open_features(
    corpus: Corpus,
    analysis: Analysis,
    *,
    labels: NDArray[np.float32] | None = None,
    n_workers: int = 1,
) -> Features:
    """Analyse a corpus, or reopen what was analysed before.

    Parameters
    ----------
    labels : (n_loops, n_labels)
        Of `training.labels`; none of them if left out.
    n_workers : int
        Threads; the work is in the Fourier transform, which lets go of the interpreter lock.

    Raises
    ------
    CorpusError
        If its sample rate is not the analysis', or none of its loops is for training.
    """
    is_train = np.array([record.split == TRAIN for record in corpus.records], dtype=np.bool_)
    _check(corpus, analysis, is_train)
    path = corpus.directory / f"features-{_key(corpus, analysis)}.npy"
    with _alone(corpus.directory):
        if not path.exists():
            _analyse(corpus, analysis, path, n_workers=n_workers)
    return Features(
        log_bands=np.load(path, mmap_mode="r"),
        offsets=_offsets(len(corpus)),
        train=np.flatnonzero(is_train),
        held_out=np.flatnonzero(~is_train),
        n_slots=SLOTS_PER_BEAT * corpus.beats_per_loop,
        labels=np.zeros((len(corpus), 0), np.float32) if labels is None else labels,
    )


def _check(corpus: Corpus, analysis: Analysis, is_train: NDArray[np.bool_]) -> None:
    if corpus.sample_rate != analysis.sample_rate:
        raise CorpusError(
            f"{corpus.directory}: found a sample rate of {corpus.sample_rate} Hz, the analysis "
            f"expects {analysis.sample_rate}; set analysis.sample_rate={corpus.sample_rate}"
        )
    if not is_train.any():
        raise CorpusError(
            f"{corpus.directory}: found no loop to train on among its {len(corpus)}; "
            "make a longer corpus"
        )


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Let one process analyse at a time; who comes second waits, and finds the work done.

    The lock is the kernel's, so a killed process leaves none behind.
    """
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _offsets(n_loops: int) -> NDArray[np.float32]:
    # The sequence is additive (golden ratio): even coverage whatever the number of loops.
    return ((np.arange(n_loops) * 0.618033988749895) % 1.0).astype(np.float32)


def _key(corpus: Corpus, analysis: Analysis) -> str:
    # What decides the frames and nothing else: another hop finds the work done.
    decisive: list[float | str] = [
        analysis.sample_rate,
        analysis.n_fft,
        analysis.floor,
        analysis.frames_per_slot,
    ]
    if analysis.window != "hann":  # the only one there was: what was made then keeps its name
        decisive.append(analysis.window)
    centres = analysis.band_centres.round(6).tolist()
    identity = json.dumps([decisive, centres, [record.id for record in corpus.records]])
    return hashlib.sha256(identity.encode()).hexdigest()[:12]


def _analyse(corpus: Corpus, analysis: Analysis, path: Path, *, n_workers: int) -> None:
    offsets, n_slots = _offsets(len(corpus)), SLOTS_PER_BEAT * corpus.beats_per_loop
    shape = (len(corpus), n_slots * analysis.frames_per_slot, analysis.n_bands)
    # A name without the process: what a killed analysis left is written over by the next.
    partial = path.with_suffix(".part.npy")
    store = np.lib.format.open_memmap(partial, mode="w+", dtype=np.float16, shape=shape)

    def analyse_loop(i: int) -> None:
        positions = analysis.grid(n_slots, float(offsets[i]))
        frames = corpus.frames(i, positions, analysis.n_fft, analysis.peak)
        store[i] = analysis.log_bands(frames)

    try:
        with ThreadPoolExecutor(n_workers) as pool:
            for _ in _with_progress(pool.map(analyse_loop, range(len(store))), len(store)):
                pass
        store.flush()
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _with_progress(done: Iterator[None], total: int) -> Iterator[None]:
    from rich.progress import track

    yield from track(done, description="analysing", total=total)
