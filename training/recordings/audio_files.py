"""Audio files: what they hold, what they say about themselves, and where they are broken."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.corpus import SAMPLE_RATE, Audio, CorpusError

SUFFIXES = frozenset({".mp3", ".ogg", ".oga", ".opus", ".flac", ".wav", ".aif", ".aiff", ".m4a"})

_FULL_SCALE = 0.999
_BLOCK_TENTHS = 60  # read six seconds at a time


@dataclass(frozen=True, slots=True)
class Recording:
    """A decoded file.

    Attributes
    ----------
    audio
        (n_samples,), float32, mono at `SAMPLE_RATE`.
    clipped
        (n_tenths,), float32: share of every tenth of a second that was cut off at full scale, in
        any channel, before mixing down hid it.
    broken_after_seconds
        Where the decoder gave up, if it did; the audio is what came before.
    """

    audio: Audio
    clipped: NDArray[np.float32]
    broken_after_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Tags:
    """What is known about who made a piece, and what may be done with it."""

    artist: str | None = None
    title: str | None = None
    licence: str | None = None


def decode(path: Path) -> Recording:
    """Decode a file to mono at `SAMPLE_RATE`.

    Raises
    ------
    CorpusError
        If no decoder takes it, or it holds something that is not a number.
    """
    import soundfile

    try:
        with _hushed_decoders(), soundfile.SoundFile(path) as file:
            recording = _read(file)
    except (soundfile.LibsndfileError, OSError) as error:
        cause = getattr(error, "error_string", str(error)).rstrip(".")
        audio = _decode_with_ffmpeg(path, cause)
        recording = Recording(audio, _clipped_shares(audio[:, None], SAMPLE_RATE))
    if not np.isfinite(recording.audio).all():
        raise CorpusError("unreadable (holds samples that are not finite numbers)")
    return recording


@contextmanager
def _hushed_decoders() -> Iterator[None]:
    """Keep mpg123, which comments on every broken frame, away from the terminal."""
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _read(file: Any) -> Recording:
    """Mix down and resample block by block: an hour in stereo never lies in memory whole."""
    import soundfile
    import soxr

    resampler = soxr.ResampleStream(file.samplerate, SAMPLE_RATE, 1, dtype="float32")
    parts: list[Audio] = []
    clipped: list[NDArray[np.float32]] = []
    broken_after_seconds = None
    try:
        n_block = _BLOCK_TENTHS * (file.samplerate // 10)
        for block in file.blocks(n_block, dtype="float32", always_2d=True):
            parts.append(resampler.resample_chunk(block.mean(axis=1)))
            clipped.append(_clipped_shares(block, file.samplerate))
    except soundfile.LibsndfileError:
        if not parts:
            raise
        broken_after_seconds = round(sum(map(len, clipped)) / 10.0, 1)
    parts.append(resampler.resample_chunk(np.zeros(0, dtype=np.float32), last=True))
    shares = np.concatenate([*clipped, np.zeros(0, dtype=np.float32)])
    return Recording(np.concatenate(parts), shares, broken_after_seconds)


def _clipped_shares(block: Audio, sample_rate: int) -> NDArray[np.float32]:
    """Share of samples at full scale, three in a row at least, (n_tenths,) of (n, n_channels)."""
    full = np.abs(block) >= _FULL_SCALE
    runs = full[:-2] & full[1:-1] & full[2:]
    n_tenth = sample_rate // 10
    n_tenths = -(-len(block) // n_tenth)
    padded = np.zeros(n_tenths * n_tenth, dtype=np.float32)
    padded[: len(runs)] = runs.any(axis=1)
    shares: NDArray[np.float32] = padded.reshape(n_tenths, n_tenth).mean(axis=1)
    return shares


def _decode_with_ffmpeg(path: Path, cause: str) -> Audio:
    """Try ffmpeg, which knows more kinds of files (m4a) but may not be installed."""
    if shutil.which("ffmpeg") is None:
        raise CorpusError(f"unreadable ({cause}; ffmpeg, which might, is not installed)")
    command = ["ffmpeg", "-v", "error", "-nostdin", "-i", f"file:{path}", "-vn"]
    command += ["-f", "f32le", "-ac", "1", "-ar", str(SAMPLE_RATE), "-"]
    decoded = subprocess.run(command, capture_output=True, check=False)
    if decoded.returncode != 0 or not decoded.stdout:
        raise CorpusError(f"unreadable ({cause}; ffmpeg cannot read it either)")
    return np.frombuffer(decoded.stdout, dtype="<f4").astype(np.float32)


def read_tags(path: Path) -> Tags:
    """Read artist, title and licence, where the file states them."""
    from tinytag import TinyTag, TinyTagException

    try:
        tag = TinyTag.get(path)
    except (TinyTagException, OSError):
        return Tags()
    licences = tag.other.get("license") or tag.other.get("copyright") or [""]
    return Tags(_text(tag.artist), _text(tag.title), _text(licences[0]))


def _text(value: str | None) -> str | None:
    return (value or "").strip() or None
