"""The analysed corpus, computed once and memory-mapped: what the trainer reads.

Beside the shards of a corpus lies ``features-KEY.npy``, float16 (n_loops, n_frames, n_bands), the
log bands of every loop, where KEY names the analysis. Each loop's grid is shifted by a random part
of its own step, so that over a corpus every phase of a slot is seen.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.analysis import SLOTS_PER_BEAT, Analysis
from training.corpus import Corpus


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
    """

    log_bands: NDArray[np.float16]
    offsets: NDArray[np.float32]
    train: NDArray[np.int64]
    held_out: NDArray[np.int64]
    n_slots: int


def open_features(corpus: Corpus, analysis: Analysis, *, n_workers: int = 1) -> Features:
    """Analyse a corpus, or reopen what was analysed before.

    Parameters
    ----------
    n_workers : int
        Threads; the work is in the Fourier transform, which lets go of the interpreter lock.
    """
    n_slots = SLOTS_PER_BEAT * corpus.beats_per_loop
    offsets = _offsets(len(corpus.records))
    path = corpus.directory / f"features-{_key(corpus, analysis)}.npy"
    if not path.exists():
        _analyse(corpus, analysis, path, offsets, n_slots, n_workers)
    splits = np.array([record.split for record in corpus.records])
    return Features(
        log_bands=np.load(path, mmap_mode="r"),
        offsets=offsets,
        train=np.flatnonzero(splits == "train"),
        held_out=np.flatnonzero(splits != "train"),
        n_slots=n_slots,
    )


def _offsets(n_loops: int) -> NDArray[np.float32]:
    # The sequence is additive (golden ratio): even coverage whatever the number of loops.
    return ((np.arange(n_loops) * 0.618033988749895) % 1.0).astype(np.float32)


def _key(corpus: Corpus, analysis: Analysis) -> str:
    identity = json.dumps([analysis.to_dict(), [record.id for record in corpus.records]])
    return hashlib.sha256(identity.encode()).hexdigest()[:12]


def _analyse(
    corpus: Corpus,
    analysis: Analysis,
    path: Path,
    offsets: NDArray[np.float32],
    n_slots: int,
    n_workers: int,
) -> None:
    n_frames = n_slots * analysis.frames_per_slot
    shape = (len(corpus.records), n_frames, analysis.n_bands)
    partial = path.with_suffix(f".{os.getpid()}.part.npy")
    store = np.lib.format.open_memmap(partial, mode="w+", dtype=np.float16, shape=shape)

    def analyse_loop(i: int) -> None:
        positions = analysis.grid(n_slots, float(offsets[i]))
        store[i] = analysis.log_bands(corpus.frames(i, positions, analysis.n_fft))

    try:
        with ThreadPoolExecutor(n_workers) as pool:
            for _ in _with_progress(pool.map(analyse_loop, range(len(store))), len(store)):
                pass
        store.flush()
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _with_progress(done: Iterator[None], total: int) -> Iterator[None]:
    from rich.progress import track

    yield from track(done, description="analysing", total=total)
