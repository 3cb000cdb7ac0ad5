"""Audio files: their sound, their tags, and where they are damaged."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device.files import utf8_name
from training.corpus.format import SAMPLE_RATE, Audio, CorpusError
from training.corpus.recordings.containers import ContainerContents, SplicedFile, survey

SUFFIXES = frozenset({".mp3", ".ogg", ".oga", ".opus", ".flac", ".wav", ".aif", ".aiff", ".m4a"})

_FULL_SCALE = 0.999
_BLOCK_TENTHS = 60  # read six seconds at a time
_USUAL_CHANNELS = 8  # of more, shorter blocks: memory stays bounded
_SAMPLE_RATES = range(1000, 1_000_001)
# Two decoders of the same lossless frames, each with a resampler of its own, differ by less.
_SAME_SAMPLE = 0.01
_LEAST_CONTINUED = SAMPLE_RATE // 4  # decoders differ by less in what they give of one file
_NO_SEEK = 39  # libsndfile's SFE_BAD_SEEK: the end of a stream of unknown length

LONGEST_HOURS = 12
"""Longest recording that is decoded."""
LARGEST_SAMPLE = 1e5
"""Of files in floating point; some have the scale of 16-bit integers."""


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
        Where the first damage is, if there is any.
    continues
        Whether the audio goes on with what follows the damage; else it ends there.
    """

    audio: Audio
    clipped: NDArray[np.float32]
    broken_after_seconds: float | None = None
    continues: bool = False


@dataclass(frozen=True, slots=True)
class Tags:
    """Artist, title and licence of a piece, where known."""

    artist: str | None = None
    title: str | None = None
    licence: str | None = None


def decode(path: Path) -> Recording:
    """Decode a file to mono at `SAMPLE_RATE`, to the end of its contents whatever its header says.

    Raises
    ------
    CorpusError
        If no decoder reads it, or it is no recording: samples that are not numbers or are far
        beyond full scale, an implausible sample rate, more hours or bytes than fit.
    """
    try:
        return _decode(path)
    except CorpusError:
        raise
    except MemoryError as error:
        raise CorpusError("needs more memory to decode than there is") from error
    except Exception as error:
        # A file may hold anything, and decoders fail in many ways.
        raise CorpusError(f"unreadable ({type(error).__name__}: {error})") from error


def _decode(path: Path) -> Recording:
    import soundfile

    try:
        with _quiet_decoders(), _opened(path) as (file, measurement):
            recording, continues = _read(file, measurement)
            is_lossless = file.format == "FLAC"
    except (soundfile.LibsndfileError, OSError) as error:
        cause = getattr(error, "error_string", str(error)).rstrip(".")
        return _decode_with_ffmpeg(path, cause)
    return _continued(path, recording, is_lossless) if continues else recording


def _continued(path: Path, recording: Recording, is_lossless: bool) -> Recording:
    """Decode a damaged file with ffmpeg, which resumes after the damage, if that gives more.

    libsndfile ends at the damage, or (Vorbis) gives some of the sound that follows it twice.
    """
    try:
        whole = _decode_with_ffmpeg(path, "damaged")
    except CorpusError:
        return recording
    if len(whole.audio) <= len(recording.audio) + _LEAST_CONTINUED:
        return recording
    broken_after_seconds = recording.broken_after_seconds or 0.0
    if is_lossless:
        # libsndfile reports the damage late. Before it, the two decoders agree to the bit, except
        # for what the resampler's look-ahead changes.
        n = min(len(whole.audio), len(recording.audio))
        differs = np.abs(whole.audio[:n] - recording.audio[:n]) > _SAME_SAMPLE
        n_same = int(np.argmax(differs)) if differs.any() else n
        broken_after_seconds = min(broken_after_seconds, round(n_same / SAMPLE_RATE, 1))
    return Recording(whole.audio, whole.clipped, broken_after_seconds, continues=True)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, ContainerContents]]:
    """Open a file for decoding, with a corrected header where its own would end it too early."""
    import soundfile

    with ExitStack() as stack:
        name = stack.enter_context(utf8_name(path))
        try:
            file = stack.enter_context(soundfile.SoundFile(name))
            measurement = survey(path, file.format, file.samplerate, file.frames)
        except soundfile.LibsndfileError:
            # An MP3 whose header claims a single frame is refused before it could be counted.
            measurement = survey(path, "MP3", 0, 0)
            if measurement.splice is None:
                raise
        if measurement.splice is not None:
            raw = stack.enter_context(path.open("rb"))
            file = stack.enter_context(soundfile.SoundFile(SplicedFile(raw, measurement.splice)))
        yield file, measurement


@contextmanager
def _quiet_decoders() -> Iterator[None]:
    """Suppress the messages of mpg123, which prints one for every broken frame."""
    stderr = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as null:
            os.dup2(null.fileno(), 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


def _read(file: Any, measurement: ContainerContents) -> tuple[Recording, bool]:
    """Decode up to the first damage; return also whether there may be sound after it.

    Mixes down and resamples block by block, so that memory never holds an hour in stereo.
    """
    import soxr

    if file.samplerate not in _SAMPLE_RATES:
        raise CorpusError(
            f"unreadable (sample rate {file.samplerate:,} Hz, expected {_SAMPLE_RATES.start:,} to "
            f"{_SAMPLE_RATES.stop - 1:,} Hz)"
        )
    resampler = soxr.ResampleStream(file.samplerate, SAMPLE_RATE, 1, dtype="float32")
    parts: list[Audio] = []
    clipped: list[NDArray[np.float32]] = []
    blocks = _Blocks(file, measurement.n_sound)
    for block in blocks:
        _check_samples(block)
        parts.append(resampler.resample_chunk(block.mean(axis=1)))
        clipped.append(_clipped_shares(block, file.samplerate))
        if blocks.n_decoded > LONGEST_HOURS * 3600 * file.samplerate:
            raise CorpusError(f"longer than {LONGEST_HOURS} hours: cut it into several files")
    parts.append(resampler.resample_chunk(np.zeros(0, dtype=np.float32), last=True))
    shares = np.concatenate([*clipped, np.zeros(0, dtype=np.float32)])
    is_broken = (
        blocks.failed or measurement.is_cut_off or (measurement.n_claimed or 0) > blocks.n_decoded
    )
    seconds = round(blocks.n_decoded / file.samplerate, 1) if is_broken else None
    may_continue = is_broken and measurement.continues
    return Recording(np.concatenate(parts), shares, seconds), may_continue


class _Blocks:
    """The sound of an open file in blocks, (n, n_channels), as far as it can be decoded.

    Attributes
    ----------
    n_decoded
        Sample frames decoded so far.
    failed
        Whether the decoder met what it could not read.
    """

    def __init__(self, file: Any, n_most: int | None) -> None:
        self._file, self._n_most = file, n_most
        self.n_decoded, self.failed = 0, False

    def __iter__(self) -> Iterator[Audio]:
        # Not soundfile's own blocks: they repeat the last block at the end of a file that is
        # shorter than its header says.
        channels = self._file.channels
        n_tenths = _BLOCK_TENTHS * _USUAL_CHANNELS // max(channels, _USUAL_CHANNELS)
        n_block = max(n_tenths, 1) * (self._file.samplerate // 10)
        is_over = False
        while not is_over:
            n_wanted = n_block if self._n_most is None else min(n_block, self._left)
            block, is_over = self._next(np.full((n_wanted, channels), np.nan, dtype=np.float32))
            self.n_decoded += len(block)
            if len(block):
                yield block
            is_over = is_over or len(block) < n_block

    @property
    def _left(self) -> int:
        return max((self._n_most or 0) - self.n_decoded, 0)

    def _next(self, block: Audio) -> tuple[Audio, bool]:
        """Fill a block of NaN; return what was decoded, and whether the decoder has ended."""
        import soundfile

        try:
            return self._file.read(len(block), out=block), False
        except soundfile.LibsndfileError as error:
            # The samples decoded before the error are in the block; how many is not reported.
            n_decoded = len(block) - int(np.argmax(~np.isnan(block[::-1, 0])))
            decoded = block[: n_decoded if not np.isnan(block[:, 0]).all() else 0]
            if not (self.n_decoded or len(decoded)):
                raise
            self.failed = self.failed or error.code != _NO_SEEK
            return decoded, True


def _check_samples(block: Audio) -> None:
    largest = float(np.abs(block).max())
    if not np.isfinite(largest):
        raise CorpusError("unreadable (holds samples that are not finite numbers)")
    if largest > LARGEST_SAMPLE:
        raise CorpusError(
            f"unreadable (holds a sample of {largest:.3g}, expected -1 to 1, at most "
            f"±{LARGEST_SAMPLE:,.0f})"
        )


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


def _decode_with_ffmpeg(path: Path, cause: str) -> Recording:
    """Decode with ffmpeg, which reads more kinds of files (m4a) but may not be installed."""
    if shutil.which("ffmpeg") is None:
        raise CorpusError(f"unreadable ({cause}; ffmpeg, which might, is not installed)")
    # From files only: a file may be a playlist that names other sources.
    command = ["ffmpeg", "-v", "error", "-nostdin", "-protocol_whitelist", "file,pipe"]
    command += ["-i", f"file:{path}", "-vn", "-t", str(LONGEST_HOURS * 3600)]
    command += ["-f", "f32le", "-ac", "1", "-ar", str(SAMPLE_RATE), "-"]
    decoded = subprocess.run(command, capture_output=True, check=False)
    audio = np.frombuffer(decoded.stdout[: len(decoded.stdout) // 4 * 4], dtype="<f4")
    if not len(audio):
        raise CorpusError(f"unreadable ({cause}; ffmpeg cannot read it either)")
    _check_samples(audio)
    shares = _clipped_shares(audio[:, None], SAMPLE_RATE)
    is_broken = decoded.returncode != 0 or bool(decoded.stderr)
    seconds = round(len(audio) / SAMPLE_RATE, 1) if is_broken else None
    return Recording(audio.astype(np.float32), shares, seconds)


def read_tags(path: Path) -> Tags:
    """Read artist, title and licence, where the file states them in a form that can be read."""
    from tinytag import TinyTag

    try:
        tag = TinyTag.get(path)
    except Exception:  # noqa: BLE001 (damaged tags fail in many ways, and count as none)
        return Tags()
    licences = tag.other.get("license") or tag.other.get("copyright") or [""]
    return Tags(_text(tag.artist), _text(tag.title), _text(licences[0]))


def _text(value: str | None) -> str | None:
    return readable((value or "").strip()) or None


def readable(text: str) -> str:
    r"""Return text that can be encoded: what is not UTF-8 in a name or tag becomes ``\xNN``."""
    try:
        raw = text.encode(errors="surrogateescape")
    except UnicodeEncodeError:  # surrogates that represent no byte
        raw = text.encode(errors="backslashreplace")
    return raw.decode(errors="backslashreplace")
