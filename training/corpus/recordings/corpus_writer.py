"""Recordings become parts: decode, find beats, bars and key, cut into loops, list the rest.

One piece makes one part, so an interrupted run loses only the pieces in progress.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from device.audio.loudness import integrated_lufs
from training.corpus.format import (
    BEATS_PER_LOOP,
    MARGIN,
    SAMPLE_RATE,
    Audio,
    CorpusError,
)
from training.corpus.parallel import IN_THIS_PROCESS, Workers
from training.corpus.parts import Part, PreparedLoop, make_part
from training.corpus.recordings import beats as rhythm
from training.corpus.recordings import keys
from training.corpus.recordings.audio_files import Recording, Tags, decode, read_tags
from training.corpus.recordings.guarded import longest_seconds
from training.corpus.recordings.rejection import CLEAR_KEY, FOUR_FOUR, Selection, find_fault
from training.corpus.recordings.splits import LoopOrigin, choose_held_out
from training.corpus.shards import hold_out
from training.corpus.writer import CorpusWriter, corpus_writer

# Those of the studio's loops.
LOUDNESS_LUFS = -21.0
PEAK_LIMIT = 0.92
# Below is rumble or an offset, which no speaker plays and every level measurement includes.
LOWEST_HZ = 20.0

_PIECES_IN_LINE = 512  # about 5 shards of songs
_SHORTEST_SAMPLES = keys.HOP * 8


@dataclass(frozen=True, slots=True)
class Skip:
    """A file, or a stretch of one, that did not become a loop, and why."""

    path: str
    reason: str
    start_seconds: float | None = None


class Piece(NamedTuple):
    """A recording to cut."""

    path: Path
    name: str
    tags: Tags | None = None
    """From another source; None: the file's own."""
    provenance: Mapping[str, Any] = {}
    """Added to that of every loop."""


class _Job(NamedTuple):
    number: int
    piece: Piece
    signature: int | None
    selection: Selection = FOUR_FOUR


class _PieceAnalysis(NamedTuple):
    """The analysis of a whole piece, from which its loops are cut."""

    recording: Recording
    key: keys.Key
    semitones: int
    moved: Audio  # the recording, transposed
    provenance: dict[str, Any]


# -- the whole corpus -----------------------------------------------------------------------


def write_recordings(
    directory: Path,
    pieces: Sequence[Piece],
    *,
    source: str,
    parameters: Mapping[str, Any],
    refused: Sequence[Skip] = (),
    key: str | None = None,
    selection: Selection = FOUR_FOUR,
    workers: Workers = IN_THIS_PROCESS,
    on_progress: Callable[[int, int], None] = lambda n_done, n_pieces: None,
) -> None:
    """Make a corpus of recordings, or what is missing of it.

    Unreadable files and stretches that make no loop are skipped, each with its reason in
    ``corpus.json``; none of them stops the run. With workers, that includes files that take too
    much time or memory or end the process that reads them.

    Parameters
    ----------
    directory
        To write to; a corpus started there from the same pieces is continued.
    source, parameters
        See `training.corpus.writer.corpus_writer`.
    refused
        What was left out before.
    key
        Major key to transpose every piece to (its relative minor counts as the same); None: none.
    selection
        Which metres to take, and whether to take what is doubtful.
    workers
        What cuts; it does not change a byte.
    on_progress
        Called with the numbers of pieces done and in all, first with those done before.

    Raises
    ------
    CorpusError
        If no loop is found, or the directory holds something else.
    """
    signature = _signature(key)
    listing = {"n_files": len(pieces), "listing": _listing(pieces), "key": key}
    listing |= {"metres": list(selection.metres), "keep_doubtful": selection.keeps_doubtful}
    jobs = [_Job(number, piece, signature, selection) for number, piece in enumerate(pieces)]
    parameters = {**parameters, **listing}
    with corpus_writer(directory, source, parameters, [None] * len(jobs)) as writer:
        missing = [jobs[number] for number in writer.missing()]
        n_done = len(jobs) - len(missing)
        on_progress(n_done, len(jobs))
        missing.sort(key=_place_in_line)
        for part in workers.run(
            _cut_piece, missing, lost=_lost_part, seconds=_longest_seconds, reads=_read_file
        ):
            writer.add(part)
            n_done += 1
            on_progress(n_done, len(jobs))
        _finish(directory, writer, refused, len(jobs))


def _place_in_line(job: _Job) -> tuple[int, int]:
    """Put longer pieces first, so that no core waits for one at the end.

    But only among some neighbours, so that few parts wait for the rest of their shard.
    """
    return job.number // _PIECES_IN_LINE, -_n_bytes(job.piece.path)


def _n_bytes(path: Path) -> int:
    """Return the size of a file; 0 if it was removed since it was listed."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _longest_seconds(job: _Job) -> float:
    return longest_seconds(job.piece.path)


def _read_file(job: _Job) -> Path:
    return job.piece.path


def _lost_part(job: _Job, worker_end: str) -> Part:
    """Return the part of a piece whose worker was lost: no loops, and the reason."""
    skip = Skip(job.piece.name, f"unreadable (its worker {worker_end})")
    return make_part(job.number, [], [asdict(skip)])


def _signature(key: str | None) -> int | None:
    if key is not None and key not in keys.SIGNATURES:
        raise CorpusError(f"key is {key!r}, expected one of: {', '.join(keys.SIGNATURES)}")
    return None if key is None else keys.SIGNATURES[key]


def _listing(pieces: Sequence[Piece]) -> str:
    """Return a digest that changes when files come, go or are replaced."""
    lines = "".join(f"{piece.path} {_n_bytes(piece.path)}\n" for piece in pieces)
    return hashlib.sha256(lines.encode(errors="surrogateescape")).hexdigest()[:16]


def _finish(directory: Path, writer: CorpusWriter, refused: Sequence[Skip], n_files: int) -> None:
    skipped = [*(asdict(skip) for skip in refused), *writer.skipped()]
    records = writer.records()
    if not len(records):
        writer.remove()
        example = f"; for example {skipped[0]['path']}: {skipped[0]['reason']}" if skipped else ""
        raise CorpusError(
            f"none of the {n_files} files gave a loop, expected at least one with "
            f"{BEATS_PER_LOOP} steady beats{example}"
        )
    split = choose_held_out(
        [LoopOrigin(record.shard, record.id, record.provenance) for record in records]
    )
    for shard in sorted({int(shard) for block in records.blocks for shard in block.shard[:1]}):
        hold_out(directory, shard, {name for place, name in split.held_out if place == shard})
    tempo_bpm = float(np.median([record.labels["tempo_bpm"] for record in records]))
    writer.finish(tempo_bpm=tempo_bpm, skipped=skipped, more={"split_by": split.by})


# -- one piece ------------------------------------------------------------------------------


def _cut_piece(job: _Job) -> Part:
    """Cut one piece; its faults are listed, not raised."""
    skips: list[Skip] = []
    try:
        loops = list(_loops(job, skips))
    except CorpusError as error:
        loops = []
        skips.append(Skip(job.piece.name, str(error)))
    except MemoryError:
        loops = []
        skips.append(Skip(job.piece.name, "needs more memory than there is"))
    except Exception as error:  # noqa: BLE001 (no file may end the others, whatever it holds)
        loops = []
        skips.append(Skip(job.piece.name, f"unreadable ({type(error).__name__}: {error})"))
    return make_part(job.number, loops, [asdict(skip) for skip in skips])


def _loops(job: _Job, skips: list[Skip]) -> Iterator[PreparedLoop]:
    name, recording = job.piece.name, decode(job.piece.path)
    seconds = len(recording.audio) / SAMPLE_RATE
    if not recording.audio.any():
        raise CorpusError("silent" if len(recording.audio) else "empty (not a single sample)")
    if recording.broken_after_seconds is not None:
        used = (
            f"all that can be decoded, {seconds:.1f} s,"
            if recording.continues
            else "the part before it"
        )
        reason = f"broken after {recording.broken_after_seconds} s; {used} was used"
        skips.append(Skip(name, reason, recording.broken_after_seconds))
    if len(recording.audio) < _SHORTEST_SAMPLES:
        raise CorpusError(f"shorter than one loop: only {seconds:.1f} s")
    chroma = keys.find_chroma(recording.audio)
    analysis = _analyse(job, recording, keys.find_key(chroma))
    n_segments = 0
    metre_faults: list[str] = []  # each is named once in a piece
    for segment in rhythm.find_segments(recording.audio, chroma, keys.HOP):
        fault = _find_gap(recording, segment.beats) or find_fault(
            recording.audio, segment.beats, segment.clarity, recording.clipped
        )
        why = fault or job.selection.find_fault(segment.metre, segment.certainty)
        if why is None:
            yield _loop(job, analysis, segment, n_segments)
        elif why not in metre_faults:
            skips.append(Skip(name, why, _seconds(segment.beats[0])))
            metre_faults += [] if fault else [why]
        n_segments += 1
    if n_segments == 0:
        fewer = f"fewer than {BEATS_PER_LOOP} steady beats in {seconds:.1f} s"
        raise CorpusError(f"shorter than one loop: {fewer}")


def _find_gap(recording: Recording, beats: NDArray[np.int64]) -> str | None:
    """Return why a loop across the damage is not used; None for others."""
    if not recording.continues or recording.broken_after_seconds is None:
        return None
    gap = recording.broken_after_seconds * SAMPLE_RATE
    margin = SAMPLE_RATE // 10  # the time is rounded to 0.1 s
    holds_gap = beats[0] - margin <= gap <= beats[-1] + margin
    return "damaged (sound is missing in it)" if holds_gap else None


def _analyse(job: _Job, recording: Recording, key: keys.Key) -> _PieceAnalysis:
    semitones = 0 if job.signature is None else key.semitones_to(job.signature)
    is_doubtful = job.signature is not None and key.margin < CLEAR_KEY
    if is_doubtful and not job.selection.keeps_doubtful:
        raise CorpusError(
            f"in no clear key ({key.name} by {key.margin:.2f}, at least {CLEAR_KEY} expected), so "
            "not transposed; --keep-doubtful keeps it"
        )
    with job.piece.path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    tags = job.piece.tags or read_tags(job.piece.path)
    provenance = {"path": job.piece.name, "sha256": digest, **asdict(tags), **job.piece.provenance}
    moved = keys.transpose(recording.audio, semitones)
    return _PieceAnalysis(recording, key, semitones, moved, provenance)


def _loop(
    job: _Job, analysis: _PieceAnalysis, segment: rhythm.Segment, number: int
) -> PreparedLoop:
    # A change of speed scales all beats alike.
    speed = len(analysis.recording.audio) / len(analysis.moved)
    grid = rhythm.smooth_beats(segment.beats) / speed
    first, last = round(float(grid[0])), math.ceil(grid[-1])
    digest = analysis.provenance["sha256"]
    return PreparedLoop(
        id=f"{job.number:05d}-{digest[:12]}-{number:04d}",
        audio=_levelled(_without_offset(_with_margins(analysis.moved, first, last + 1))),
        beats=(grid - grid[0]).tolist(),
        held_out=False,
        labels={
            "tempo_bpm": round(rhythm.tempo_bpm(grid), 2),
            "metre": segment.metre,
            "metre_certainty": round(segment.certainty, 3),
            "pulse_clarity": round(segment.clarity, 3),
            "recorded_key": analysis.key.name,
            "key_margin": round(analysis.key.margin, 3),
            "transposed_semitones": analysis.semitones,
        },
        provenance={**analysis.provenance, "start_seconds": _seconds(segment.beats[0])},
    )


def _seconds(sample: np.int64) -> float:
    return round(float(sample) / SAMPLE_RATE, 3)


def _with_margins(audio: Audio, first: int, last: int) -> Audio:
    """Cut a stretch with the sound around it; beyond the ends of the file there is silence."""
    before, after = first - MARGIN, last + MARGIN
    inside = audio[max(before, 0) : after]
    return np.pad(inside, (max(-before, 0), max(after - len(audio), 0)))


def _without_offset(audio: Audio) -> Audio:
    from scipy.signal import butter, sosfiltfilt

    high_pass = butter(2, LOWEST_HZ, "highpass", fs=SAMPLE_RATE, output="sos")
    return np.asarray(sosfiltfilt(high_pass, audio), dtype=np.float32)


def _levelled(audio: Audio) -> Audio:
    """Bring a loop to `LOUDNESS_LUFS`, or as near as its peaks allow."""
    missing_lu = LOUDNESS_LUFS - integrated_lufs(audio[MARGIN:-MARGIN], SAMPLE_RATE)
    gain = min(10 ** (missing_lu / 20), PEAK_LIMIT / float(np.abs(audio).max()))
    levelled: Audio = audio * np.float32(gain)
    return levelled
