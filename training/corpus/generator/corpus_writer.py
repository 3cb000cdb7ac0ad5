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
from training.corpus.parallel import IN_THIS_PROCESS, Workers, refuse_lost
from training.corpus.parts import Part, PreparedLoop, make_part
from training.corpus.writer import corpus_writer

TEMPO_BPM = 80.0
LOOPS_PER_PART = 64
_LOOPS_PER_HELD_OUT = 50
_SMALLEST_SPLIT = 20  # from this many loops on, one is always held out
LICENCE = "CC0-1.0"
# It gets another number whenever the versions of the same seed sound different.
_VERSIONS = f"{GENERATOR}, versions 2"
_LOOP_SECONDS = BEATS_PER_LOOP * 60.0 / TEMPO_BPM


class PartJob(NamedTuple):
    """One part to render: loops `first` up to but not including `last`."""

    number: int
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
    workers: Workers = IN_THIS_PROCESS,
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
    workers
        What renders; it does not change a byte.
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
        "generator": _generator(n_versions),
        "seed": seed,
        "minutes": minutes,
        "stems": list(LAYERS) if with_stems else None,
        **({"versions": n_versions} if n_versions > 1 else {}),
        **soundfonts.soundfont_parameters(soundfont),
    }
    if soundfont is not None:
        soundfonts.SoundFont(soundfont)  # fail before anything is written
    n_loops = math.ceil(minutes * 60.0 / _LOOP_SECONDS)
    jobs = [
        PartJob(
            number,
            seed,
            first,
            min(first + LOOPS_PER_PART, n_loops),
            soundfont,
            with_stems,
            n_versions,
        )
        for number, first in enumerate(range(0, n_loops, LOOPS_PER_PART))
    ]
    sizes = [job.last - job.first for job in jobs]
    with corpus_writer(directory, "studio", parameters, sizes, may_grow=("minutes",)) as writer:
        missing = [jobs[number] for number in writer.missing()]
        n_done = n_loops - sum(job.last - job.first for job in missing)
        on_progress(n_done, n_loops)
        for part in workers.run(_render_part, missing, lost=refuse_lost, reads=_read_file):
            writer.add(part)
            n_done += len(part.records)
            on_progress(n_done, n_loops)
        writer.finish(tempo_bpm=TEMPO_BPM)


def _generator(n_versions: int) -> str:
    return _VERSIONS if n_versions > 1 else GENERATOR


def _read_file(job: PartJob) -> Path | None:
    return job.soundfont


def _render_part(job: PartJob) -> Part:
    return make_part(job.number, (_prepared(job, index) for index in range(job.first, job.last)))


def render_with_margins(seed: int, index: int) -> Audio:
    """Render one loop as it is in a corpus, (margin + loop + margin,)."""
    bars = BEATS_PER_LOOP // 4
    return _with_margins(render_loop(seed, index, tempo_bpm=TEMPO_BPM, bars=bars).audio)


def _prepared(job: PartJob, index: int) -> PreparedLoop:
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


def _provenance(job: PartJob, index: int) -> dict[str, Any]:
    composition, version = divmod(index, job.n_versions)
    made_by = {"generator": _generator(job.n_versions), "seed": job.seed, "index": composition}
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
