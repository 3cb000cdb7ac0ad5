"""Reference music: loops that a model is compared with, as they are and after the inversion.

Held-out ones, or all of a corpus that holds out too few.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device.errors import SwitchboardError
from device.model.contract import ModelCard
from device.synthesis.griffin_lim import GriffinLim
from device.synthesis.vocoder import INVERSION_PRESET
from training.corpus.format import HELD_OUT, MARGIN, SAMPLE_RATE
from training.corpus.parallel import run_in_workers
from training.corpus.reader import Corpus
from training.evaluation.factors import factors_of
from training.metrics.audio_metrics import Analysis, analyse, resampled
from training.metrics.reconstruction import stft_magnitude, streamed
from training.metrics.spectra import as_recorded

Samples = NDArray[np.float32]

N_LOOPS = 64
# With fewer loops, distances depend more on the choice of loops than on the model.
FEWEST_LOOPS = 8
# Loops that are embedded in the page.
_N_SHOWN = 2


class TooLittleMusic(SwitchboardError, ValueError):
    """Not enough music to compare a model with, where the gate or the option needs it."""

    exit_code = 26


@dataclass(frozen=True, slots=True)
class Loop:
    """One loop of a corpus, or of the studio where `corpus` is None."""

    corpus: Path | None
    seed: int
    index: int


@dataclass(frozen=True, slots=True)
class LoopJob:
    """A loop, and the shape of the spectrogram that the model inverts."""

    loop: Loop
    n_fft: int
    hop_length: int
    sample_rate: int
    is_shown: bool
    window: str = "hann"


@dataclass(frozen=True, slots=True)
class LoopMeasurement:
    """A loop and its round trip as measured; and both sounds, where the page embeds them."""

    loop: Loop
    original: Analysis
    rebuilt: Analysis
    sounds: tuple[Samples, Samples] | None


@dataclass(frozen=True, slots=True)
class Music:
    """Loops to compare a model with.

    Attributes
    ----------
    source : str
        Description of the origin.
    """

    source: str
    loops: tuple[Loop, ...]


@dataclass(frozen=True, slots=True)
class Reference:
    """Measured reference music.

    Attributes
    ----------
    figures, rebuilt_figures : (n_loops, n_figures)
    pitches, rebuilt_pitches : tuple of (n_half_seconds, n_pitches)
        How surely each pitch is heard in each loop, 0 to 1.
    sounds : tuple
        Original and round trip of the first loops, at `SAMPLE_RATE`.
    """

    music: Music
    figures: NDArray[np.float64]
    rebuilt_figures: NDArray[np.float64]
    pitches: tuple[Samples, ...]
    rebuilt_pitches: tuple[Samples, ...]
    sounds: tuple[tuple[Samples, Samples], ...]


# -- choice of loops -----------------------------------------------------------------------------


def find_music(card: ModelCard, against: Path | None, n_loops: int) -> Music | None:
    """Held-out loops of a corpus; without one, those that the studio held out from this model.

    Of a corpus that holds out fewer than `FEWEST_LOOPS`, all loops: they tell how the model
    sounds, not what it makes of music that it does not know, and `Music.source` says so.

    Where switches stand for factors, they are versions without the references, as the states are.
    None where the model file does not describe how to render its held-out music again.

    Raises
    ------
    TooLittleMusic
        If the corpus has too few loops.
    CorpusError
        If `against` is no corpus.
    """
    if against is None:
        return _studio_music(card, n_loops)
    corpus = Corpus.open(against)
    found, kind = _chosen(corpus, corpus.indices(HELD_OUT), card), "held-out loops"
    if len(found) < FEWEST_LOOPS:
        kind = f"loops, trained on but for {len(found)},"
        found = _chosen(corpus, np.arange(len(corpus)), card)
    if len(found) < FEWEST_LOOPS:
        raise TooLittleMusic(
            f"{against}: found {len(found)} loops to compare with, expected {FEWEST_LOOPS} at "
            "least: make a larger corpus of the same music, or evaluate without --against"
        )
    # Evenly over all of it: neighbours may be parts of one piece.
    places = np.unique(np.linspace(0, len(found) - 1, n_loops).round().astype(int))
    loops = tuple(Loop(against, 0, int(found[place])) for place in places)
    return Music(f"{len(loops)} of {len(found)} {kind} of {against.name}", loops)


def _chosen(corpus: Corpus, indices: NDArray[np.int64], card: ModelCard) -> NDArray[np.int64]:
    """Which of these loops may stand beside the model's states."""
    factors = factors_of(card)
    # Everything plays in a reference: in every third loop of a corpus, and in one state.
    is_comparable = [
        not factors or not all(corpus.records[i].labels.get(name, False) for name in factors)
        for i in indices
    ]
    return np.asarray(indices[np.array(is_comparable, dtype=bool)])


def _studio_music(card: ModelCard, n_loops: int) -> Music | None:
    if factors_of(card):
        return None
    from training.corpus.generator.corpus_writer import LICENCE, is_held_out

    corpus: Any = card.provenance.get("corpus")
    if not isinstance(corpus, dict) or corpus.get("source") != "studio":
        return None
    seed = corpus.get("seed")
    # A sound font's licence is unknown, and its instruments are not in the model.
    if not isinstance(seed, int) or seed < 0 or corpus.get("licences") != [LICENCE]:
        return None
    held_out = (index for index in count() if is_held_out(seed, index))
    loops = tuple(Loop(None, seed, index) for index in islice(held_out, n_loops))
    source = f"{n_loops} loops of the studio that seed {seed} held out, rendered again"
    return Music(source, loops)


# -- measurement -----------------------------------------------------------------------------


def measure_reference(
    music: Music, card: ModelCard, n_workers: int, on_done: Callable[[], None]
) -> Reference:
    """Measure all loops and their round trips in `n_workers` processes."""
    jobs = [
        LoopJob(loop, card.n_fft, card.hop_length, card.sample_rate, number < _N_SHOWN, card.window)
        for number, loop in enumerate(music.loops)
    ]
    by_loop = {}
    for measured in run_in_workers(measure_loop, jobs, n_workers):
        by_loop[measured.loop] = measured
        on_done()
    in_order = [by_loop[loop] for loop in music.loops]
    return Reference(
        music,
        np.stack([measured.original.figures for measured in in_order]),
        np.stack([measured.rebuilt.figures for measured in in_order]),
        tuple(measured.original.pitches for measured in in_order),
        tuple(measured.rebuilt.pitches for measured in in_order),
        tuple(measured.sounds for measured in in_order if measured.sounds is not None),
    )


def measure_loop(job: LoopJob) -> LoopMeasurement:
    """Measure one loop, as it is and after its round trip."""
    audio = _audio(job.loop)
    rebuilt = as_recorded(round_trip(audio, job))[MARGIN:-MARGIN]
    original = as_recorded(audio)[MARGIN:-MARGIN]
    return LoopMeasurement(
        job.loop,
        analyse(original, SAMPLE_RATE),
        analyse(rebuilt, SAMPLE_RATE),
        (original, rebuilt) if job.is_shown else None,
    )


def round_trip(audio: Samples, job: LoopJob) -> Samples:
    """Invert true magnitudes as the device does, at the model's sample rate and window."""
    at_model_rate = resampled(audio, SAMPLE_RATE, job.sample_rate)
    inversion = GriffinLim(
        n_fft=job.n_fft,
        hop_length=job.hop_length,
        window=job.window,
        look_ahead=INVERSION_PRESET.look_ahead,
        n_iterations=INVERSION_PRESET.n_iterations,
    )
    magnitude = stft_magnitude(at_model_rate, job.n_fft, job.hop_length, window=job.window)
    rebuilt = streamed(inversion, magnitude, len(at_model_rate))
    back = resampled(rebuilt, job.sample_rate, SAMPLE_RATE)[: len(audio)]
    return np.pad(back, (0, len(audio) - len(back)))


def _audio(loop: Loop) -> Samples:
    """A loop with a margin on both sides."""
    if loop.corpus is not None:
        return _corpus(loop.corpus).audio(loop.index)
    from training.corpus.generator.corpus_writer import render_with_margins

    return render_with_margins(loop.seed, loop.index)


@lru_cache(maxsize=1)
def _corpus(directory: Path) -> Corpus:
    return Corpus.open(directory)
