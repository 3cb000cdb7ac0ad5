"""A corpus out of a folder of music: any tempo, any key, no labels needed.

Every file is decoded, its beats are tracked, and every sixteen beats in a row that hold a steady
tempo become a loop. One file makes one shard, so an interrupted run loses one file's work.
"""

from __future__ import annotations

import math
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from training import corpus
from training.corpus import BEATS_PER_LOOP, MARGIN, SAMPLE_RATE, Audio, CorpusError, PreparedLoop

SUFFIXES = frozenset({".mp3", ".ogg", ".oga", ".opus", ".flac", ".wav", ".aif", ".aiff", ".m4a"})
LOUDNESS_RMS = 0.1
PEAK_LIMIT = 0.92

_SILENCE_RMS = 10.0 ** (-50.0 / 20.0)
_UNSTEADY = 0.15  # largest departure of a beat from the median beat of its loop
_CLIPPED_SHARE = 1e-3  # of all samples at full scale, in runs: the master was cut off
_FULL_SCALE = 0.999
_BEAT_HOP = 256  # 12 ms: half of librosa's own step, for steadier loops
_TRACKER_DELAY = 3 * _BEAT_HOP // 2  # how late librosa's beats fall on clicks, measured
_LIKELY_BPM = 90.0  # between an octave too fast and one too slow, prefer what is near
_PIECE_SAMPLES = 600 * SAMPLE_RATE  # beats are tracked ten minutes at a time, to bound memory
_LOOPS_PER_HELD_OUT = 50
_SMALLEST_SPLIT = 20


@dataclass(frozen=True, slots=True)
class Skip:
    """Something that did not become a loop, and why."""

    path: str
    reason: str
    start_seconds: float | None = None


class FileJob(NamedTuple):
    """One file to cut into one shard."""

    directory: Path
    shard: int
    music: Path
    path: Path


# -- the whole folder -----------------------------------------------------------------------


def write_folder_corpus(
    directory: Path,
    music: Path,
    *,
    n_workers: int = 1,
    on_progress: Callable[[int, int], None] = lambda n_done, n_files: None,
) -> None:
    """Make a corpus of all the music under a folder, or what is missing of it.

    Files that cannot be read and stretches that make no loop are skipped, each with its reason
    in ``corpus.json``; nothing of the sort stops the run.

    Parameters
    ----------
    directory
        Where to; a corpus begun there from the same files is continued.
    music
        Folder to search, with all folders below it.
    n_workers
        Number of processes; it does not change a sample.
    on_progress
        Called with the numbers of files done and found, first with what was there before.

    Raises
    ------
    CorpusError
        If there is no audio, no usable loop, or the directory holds something else.
    """
    paths = find_music(music)
    parameters = {"folder": str(music.resolve()), "n_files": len(paths), "listing": _listing(paths)}
    corpus.begin(directory, "folder", parameters)
    corpus.remove_leftovers(directory)
    jobs = [FileJob(directory, shard, music, path) for shard, path in enumerate(paths)]
    missing = [job for job in jobs if corpus.n_loops_written(directory, job.shard) is None]
    n_done = len(jobs) - len(missing)
    on_progress(n_done, len(jobs))
    for _ in corpus.run_in_workers(_cut_file, missing, n_workers):
        n_done += 1
        on_progress(n_done, len(jobs))
    _finish(jobs)


def find_music(music: Path) -> list[Path]:
    """Return all audio files under a folder, in order of their paths."""
    if not music.is_dir():
        raise CorpusError(f"{music} is not a directory: give the folder that holds the music")
    paths = sorted(
        path for path in music.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file()
    )
    if not paths:
        endings = " ".join(sorted(SUFFIXES))
        raise CorpusError(f"{music} holds no audio files, expected some of {endings}")
    return paths


def _listing(paths: Sequence[Path]) -> str:
    """Return a digest that changes when files come, go or are replaced."""
    lines = "".join(f"{path} {path.stat().st_size}\n" for path in paths)
    return sha256(lines.encode(errors="surrogateescape")).hexdigest()[:16]


def _finish(jobs: Sequence[FileJob]) -> None:
    directory = jobs[0].directory
    skipped = [skip for job in jobs for skip in _read_skips(job)]
    with_loops = [job.shard for job in jobs if corpus.n_loops_written(directory, job.shard)]
    if not with_loops:
        _remove_corpus(jobs)
        example = f"; for example {skipped[0]['path']}: {skipped[0]['reason']}" if skipped else ""
        raise CorpusError(
            f"none of the {len(jobs)} files in {jobs[0].music} gave a loop, expected at least one "
            f"with {BEATS_PER_LOOP} steady beats{example}"
        )
    records = [
        (shard, record) for shard in with_loops for record in corpus.read_records(directory, shard)
    ]
    _split(directory, records)
    tempo_bpm = float(np.median([record["labels"]["tempo_bpm"] for _, record in records]))
    corpus.finish(directory, len(jobs), tempo_bpm=tempo_bpm, skipped=skipped)


def _split(directory: Path, records: Sequence[tuple[int, dict[str, Any]]]) -> None:
    """Hold out about one loop in fifty, by whole files where the files are small enough."""
    by_file: dict[str, list[tuple[int, str]]] = {}
    for shard, record in records:
        by_file.setdefault(record["provenance"]["sha256"], []).append((shard, record["id"]))
    held_out = _choose_held_out(by_file, len(records))
    for shard in sorted({shard for shard, _ in records}):
        corpus.hold_out(directory, shard, {name for place, name in held_out if place == shard})


def _choose_held_out(
    by_file: dict[str, list[tuple[int, str]]], n_loops: int
) -> list[tuple[int, str]]:
    if n_loops < _SMALLEST_SPLIT:
        return []
    n_wanted = max(1, round(n_loops / _LOOPS_PER_HELD_OUT))
    chosen: list[tuple[int, str]] = []
    for digest in sorted(by_file):  # hashes: an order that has nothing to do with the music
        if len(chosen) < n_wanted and len(chosen) + len(by_file[digest]) <= 2 * n_wanted:
            chosen += by_file[digest]
    # A few long recordings: the end of the longest is the best that can be had.
    return chosen or max(by_file.values(), key=len)[-n_wanted:]


def _remove_corpus(jobs: Sequence[FileJob]) -> None:
    directory = jobs[0].directory
    for job in jobs:
        _skips_path(job).unlink(missing_ok=True)
        corpus.remove_shard(directory, job.shard)
    (directory / "corpus.json").unlink()
    if not any(directory.iterdir()):
        directory.rmdir()


# -- one file -------------------------------------------------------------------------------


def _cut_file(job: FileJob) -> None:
    """Write the shard of one file; whatever is wrong with it is noted, not raised."""
    name = str(job.path.relative_to(job.music))
    skips: list[Skip] = []
    loops: list[PreparedLoop] = []
    try:
        audio, tags = decode(job.path)
    except CorpusError as error:
        skips.append(Skip(name, str(error)))
    else:
        loops = list(_loops(job, name, audio, tags, skips))
    # Before the shard: it exists if and only if its records do, and then its skips must too.
    corpus.write_json(_skips_path(job), [asdict(skip) for skip in skips])
    corpus.write_shard(job.directory, job.shard, loops)


def _skips_path(job: FileJob) -> Path:
    return job.directory / f"skipped-{job.shard:05d}.json"


def _read_skips(job: FileJob) -> list[dict[str, Any]]:
    skips: list[dict[str, Any]] = corpus.read_json(_skips_path(job))
    return skips


def _loops(
    job: FileJob, name: str, audio: Audio, tags: dict[str, str], skips: list[Skip]
) -> Iterator[PreparedLoop]:
    digest = sha256(job.path.read_bytes()).hexdigest()
    n_segments = 0
    for number, beats in enumerate(find_segments(audio)):
        n_segments += 1
        start_seconds = round(float(beats[0]) / SAMPLE_RATE, 3)
        fault = find_fault(audio, beats)
        if fault:
            skips.append(Skip(name, fault, start_seconds))
            continue
        grid = smooth_beats(beats)
        first, last = round(float(grid[0])), math.ceil(grid[-1])
        yield PreparedLoop(
            id=f"folder-{job.shard:05d}-{digest[:12]}-{number:04d}",
            audio=_levelled(_with_margins(audio, first, last + 1)),
            beats=(grid - grid[0]).tolist(),
            held_out=False,
            labels={"tempo_bpm": round(_tempo_bpm(grid), 2)},
            provenance={
                "path": name,
                "sha256": digest,
                "artist": tags.get("artist"),
                "title": tags.get("title"),
                "licence": tags.get("license"),
                "start_seconds": start_seconds,
            },
        )
    if n_segments == 0:
        seconds = len(audio) / SAMPLE_RATE
        fewer = f"fewer than {BEATS_PER_LOOP} beats in {seconds:.1f} s"
        skips.append(Skip(name, f"shorter than one loop: {fewer}" if audio.any() else "silent"))


def decode(path: Path) -> tuple[Audio, dict[str, str]]:
    """Decode a file to mono at `SAMPLE_RATE`.

    Returns
    -------
    audio
        (n_samples,), float32.
    tags
        Its artist, title and license, where it states them.

    Raises
    ------
    CorpusError
        If no decoder takes it.
    """
    import soundfile

    try:
        with soundfile.SoundFile(path) as file:
            return _resampled(file), file.copy_metadata()
    except (soundfile.LibsndfileError, OSError) as error:
        return _decode_with_ffmpeg(path, getattr(error, "error_string", str(error)).rstrip(".")), {}


def _resampled(file: Any) -> Audio:
    """Mix down and resample block by block: an hour in stereo never lies in memory whole."""
    import soxr

    resampler = soxr.ResampleStream(file.samplerate, SAMPLE_RATE, 1, dtype="float32")
    parts = [
        resampler.resample_chunk(block.mean(axis=1))
        for block in file.blocks(2**18, dtype="float32", always_2d=True)
    ]
    parts.append(resampler.resample_chunk(np.zeros(0, dtype=np.float32), last=True))
    return np.concatenate(parts)


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


def find_segments(audio: Audio) -> Iterator[NDArray[np.int64]]:
    """Yield the beats of every sixteen in a row, (BEATS_PER_LOOP + 1,) samples, no overlap."""
    for first in range(0, len(audio), _PIECE_SAMPLES):
        beats = first + track_beats(audio[first : first + _PIECE_SAMPLES])
        for number in range(0, len(beats) - BEATS_PER_LOOP, BEATS_PER_LOOP):
            yield beats[number : number + BEATS_PER_LOOP + 1]


def track_beats(audio: Audio) -> NDArray[np.int64]:
    """Return the samples on which the beats fall."""
    import librosa

    if len(audio) < SAMPLE_RATE or not audio.any():
        return np.zeros(0, dtype=np.int64)
    # The mean over the bands, not librosa's median: with few instruments playing, most bands
    # are empty, and their median hears nothing.
    onsets = librosa.onset.onset_strength(
        y=audio, sr=SAMPLE_RATE, hop_length=_BEAT_HOP, aggregate=np.mean
    )
    beats = librosa.beat.beat_track(
        onset_envelope=onsets,
        sr=SAMPLE_RATE,
        hop_length=_BEAT_HOP,
        start_bpm=_LIKELY_BPM,
        trim=False,
        units="samples",
    )[1]
    return np.maximum(np.asarray(beats, dtype=np.int64) - _TRACKER_DELAY, 0)


def smooth_beats(beats: NDArray[np.int64]) -> NDArray[np.float64]:
    """Let the tempo drift but not jitter.

    A tracker is off by a hop or two from beat to beat; music speeds up and slows down smoothly,
    which over sixteen beats is a parabola.
    """
    numbers = np.arange(len(beats))
    fitted: NDArray[np.float64] = np.polynomial.Polynomial.fit(numbers, beats, deg=2)(numbers)
    return fitted


def _tempo_bpm(beats: NDArray[np.float64]) -> float:
    return 60.0 * SAMPLE_RATE * BEATS_PER_LOOP / float(beats[-1] - beats[0])


def find_fault(audio: Audio, beats: NDArray[np.int64]) -> str | None:
    """Say why sixteen beats of a recording make no loop; None if they do."""
    intervals = np.diff(beats)
    median = float(np.median(intervals))
    departure = float(np.abs(intervals / median - 1.0).max())
    if departure > _UNSTEADY:
        return f"beats vary by {departure:.0%} of their median, at most {_UNSTEADY:.0%} allowed"
    loop = audio[beats[0] : beats[-1]]
    rms = float(np.sqrt(np.mean(loop**2)))
    if rms < _SILENCE_RMS:
        return "silent (RMS below -50 dBFS)"
    clipped_share = float(np.mean(np.abs(loop) >= _FULL_SCALE))
    if clipped_share > _CLIPPED_SHARE:
        return f"clipped ({clipped_share:.1%} of its samples at full scale)"
    return None


def _with_margins(audio: Audio, first: int, last: int) -> Audio:
    """Cut a stretch with its real surroundings; beyond the ends of the file there is silence."""
    before, after = first - MARGIN, last + MARGIN
    inside = audio[max(before, 0) : after]
    return np.pad(inside, (max(-before, 0), max(after - len(audio), 0)))


def _levelled(audio: Audio) -> Audio:
    loudness = float(np.sqrt(np.mean(audio[MARGIN:-MARGIN] ** 2)))
    gain = min(LOUDNESS_RMS / loudness, PEAK_LIMIT / float(np.abs(audio).max()))
    return audio * np.float32(gain)
