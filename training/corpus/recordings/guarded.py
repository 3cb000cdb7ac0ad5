"""Decoding in a process of its own, with limits of memory and time: a file may do anything."""

from __future__ import annotations

from pathlib import Path

from training.corpus.format import CorpusError
from training.corpus.parallel import run_guarded
from training.corpus.recordings.audio_files import Recording, decode

# Ten times what an hour of music takes, at 32 kbit/s, and time for a slow machine to start.
_LEAST_SECONDS, _SECONDS_PER_MB = 900.0, 60.0


def longest_seconds(path: Path) -> float:
    """Return how long a file may take to decode and cut, a worker's start included [s]."""
    try:
        n_bytes = path.stat().st_size
    except OSError:  # removed since it was listed
        n_bytes = 0
    return _LEAST_SECONDS + _SECONDS_PER_MB * n_bytes / 1e6


def decode_guarded(path: Path) -> Recording:
    """Decode a file as `decode` does, in a worker process.

    Raises
    ------
    CorpusError
        As `decode`, and if the worker died or took too long.
    """

    def lost(_path: Path, worker_end: str) -> Recording:
        raise CorpusError(f"unreadable (its worker {worker_end})")

    (recording,) = run_guarded(decode, [path], 1, lost=lost, seconds=longest_seconds)
    return recording
