"""A corpus of generated loops: a seed and a number of minutes become shards."""

from __future__ import annotations

import math
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from training.corpus.format import BEATS_PER_LOOP, MARGIN, Audio
from training.corpus.generator import soundfont as soundfonts
from training.corpus.generator.loop import GENERATOR, render_loop
from training.corpus.generator.plan import LAYERS
from training.corpus.generator.versions import FACTORS, factors_of_version, plan_of_version
from training.corpus.parallel import run_in_workers
from training.corpus.records import n_loops_written
from training.corpus.writer import PreparedLoop, begin, finish, remove_leftovers, write_shard

TEMPO_BPM = 80.0
LOOPS_PER_SHARD = 64
_LOOPS_PER_HELD_OUT = 50
_SMALLEST_SPLIT = 20  # from this many loops on, one is always held out
LICENCE = "CC0-1.0"
_LOOP_SECONDS = BEATS_PER_LOOP * 60.0 / TEMPO_BPM


class ShardJob(NamedTuple):
    """One shard to render: loops `first` up to but not including `last`."""

    directory: Path
    shard: int
    seed: int
    first: int
    last: int
    soundfont: Path | None
    with_stems: bool
    n_versions: int


def write_studio_corpus(
    directory: Path,
    *,
    seed: int,
    minutes: float,
    soundfont: Path | None = None,
    with_stems: bool = False,
    n_versions: int = 1,
    n_workers: int = 1,
    on_progress: Callable[[int, int], None] = lambda n_done, n_loops: None,
) -> None:
    """Render a corpus, or what is missing of it.

    Parameters
    ----------
    directory
        To write to; a corpus started there with the same seed is continued or extended.
    seed, minutes
        Which series of loops, and how much of it.
    soundfont, with_stems
        See `training.corpus.generator.loop.render_loop`; the stems go beside the shards.
    n_versions
        In how many versions each composition is played, one loop after another; 1 plays it as it
        is drawn.
    n_workers
        Number of processes; it does not change a sample.
    on_progress
        Called with the numbers of loops done and in all, first with those done before.

    Raises
    ------
    CorpusError
        If the directory holds something else.
    SoundFontError
        If the sound font cannot be played.
    """
    parameters = {
        "generator": GENERATOR,
        "seed": seed,
        "minutes": minutes,
        "stems": list(LAYERS) if with_stems else None,
        **({"versions": n_versions} if n_versions > 1 else {}),
        **soundfonts.soundfont_parameters(soundfont),
    }
    if soundfont is not None:
        soundfonts.SoundFont(soundfont)  # fail before anything is written
    begin(directory, "studio", parameters, may_grow=("minutes",))
    remove_leftovers(directory)
    n_loops = math.ceil(minutes * 60.0 / _LOOP_SECONDS)
    starts = range(0, n_loops, LOOPS_PER_SHARD)
    jobs = [
        ShardJob(
            directory, shard, seed, first, min(first + LOOPS_PER_SHARD, n_loops), soundfont,
            with_stems, n_versions,
        )
        for shard, first in enumerate(starts)
    ]  # fmt: skip
    missing = [
        job for job in jobs if (n_loops_written(directory, job.shard) or 0) < job.last - job.first
    ]
    n_done = n_loops - sum(job.last - job.first for job in missing)
    on_progress(n_done, n_loops)
    for n_rendered in run_in_workers(_render_shard, missing, n_workers):
        n_done += n_rendered
        on_progress(n_done, n_loops)
    finish(directory, len(jobs), tempo_bpm=TEMPO_BPM)


def _render_shard(job: ShardJob) -> int:
    loops = (_prepared(job, index) for index in range(job.first, job.last))
    return write_shard(job.directory, job.shard, loops)


def render_with_margins(seed: int, index: int) -> Audio:
    """Render one loop as it is in a corpus, (margin + loop + margin,)."""
    bars = BEATS_PER_LOOP // 4
    return _with_margins(render_loop(seed, index, tempo_bpm=TEMPO_BPM, bars=bars).audio)


def _prepared(job: ShardJob, index: int) -> PreparedLoop:
    composition, version = divmod(index, job.n_versions)
    factors: dict[str, bool] = {}
    changes: dict[str, Any] = {}
    if job.n_versions > 1:
        factors = factors_of_version(job.seed, composition, version)
        changes = {
            "fix": plan_of_version(job.seed, composition, factors),
            "as_loud_as": plan_of_version(job.seed, composition, dict.fromkeys(FACTORS, True)),
        }
    loop = render_loop(
        job.seed,
        composition,
        tempo_bpm=TEMPO_BPM,
        bars=BEATS_PER_LOOP // 4,
        soundfont=job.soundfont,
        with_stems=job.with_stems,
        **changes,
    )
    return PreparedLoop(
        id=f"studio-{job.seed}-{index:06d}",
        audio=_with_margins(loop.audio),
        beats=np.linspace(0.0, len(loop.audio), BEATS_PER_LOOP + 1).tolist(),
        held_out=is_held_out(job.seed, composition),
        labels={**loop.labels, **factors},
        provenance=_provenance(job, index),
        stems=loop.stems and {layer: _with_margins(stem) for layer, stem in loop.stems.items()},
    )


def _with_margins(audio: Audio) -> Audio:
    """Pad a loop with its own other end, because it repeats."""
    return np.pad(audio, MARGIN, mode="wrap")


def _provenance(job: ShardJob, index: int) -> dict[str, Any]:
    composition, version = divmod(index, job.n_versions)
    made_by = {"generator": GENERATOR, "seed": job.seed, "index": composition}
    if job.n_versions > 1:
        made_by |= {"composition": composition, "version": version}
    if job.soundfont is None:
        return {**made_by, "licence": LICENCE}
    # The recordings of a sound font have an owner, and it does not state their licence.
    return {**made_by, "licence": None, "soundfont": job.soundfont.name}


def is_held_out(seed: int, index: int) -> bool:
    """Hold out one composition of every fifty, chosen by hash.

    It is one of the first twenty of each fifty, so that a small corpus has one too and an extended
    corpus keeps its split.
    """
    fifty, number = divmod(index, _LOOPS_PER_HELD_OUT)
    digest = sha256(f"studio-{seed}-{fifty}".encode()).digest()
    return number == int.from_bytes(digest[:8], "big") % _SMALLEST_SPLIT
