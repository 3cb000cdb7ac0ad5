"""Evaluation of a model: renders its states, measures them and compares them with music."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from device.files import sha256_of
from device.model.contract import ModelCard
from device.model.network import Network
from device.switches.state_sampling import sample_with_flips
from training.corpus.parallel import run_in_workers
from training.evaluation.factors import LAYERS, factors_of
from training.evaluation.flip_agreement import (
    Agreement,
    agreement_of_distant_states,
    agreement_of_flips,
)
from training.evaluation.reference_music import Music, Reference, measure_reference
from training.evaluation.renders import Render, RenderJob, render_all
from training.evaluation.song import Song, measure_song
from training.evaluation.state_similarity import StateSimilarity, compare_states
from training.evaluation.switch_effects import Sweep, Switch, measure_switches
from training.evaluation.time_to_sound import FlipJob, TimeToSound, measure_flips
from training.metrics.comparison import Comparison, by_group, compare
from training.metrics.pitch_collections import PitchComparison, compare_pitches

Progress = Callable[[int, int], None]

# States of which all pairs are compared.
_MOST_DISTANT = 64

MOST_STATES = 256
"""Of a model with more states, a sample of at most so many is rendered."""


@dataclass(frozen=True)
class Plan:
    """What to render and what to compare it with.

    Attributes
    ----------
    seeds : sequence of int
        In ascending order, two at least. Every state is rendered once for each: distances between
        states are compared with distances between renders of one state. The seeds above the
        last are for the independent renders.
    music : Music or None
        Reference music.
    n_passes : int
        Of the loop, for which one state is left alone.
    """

    model: Path
    seeds: Sequence[int]
    music: Music | None
    n_passes: int
    n_workers: int = 1


@dataclass(frozen=True)
class Evaluation:
    """Renders of a model and everything measured on them.

    Attributes
    ----------
    sha256 : str
        Of the file that was rendered.
    labels : tuple of str
        Names of the switches, which may differ from the card.
    renders : dict
        (seed, bits) → render.
    song : Song
        One of the states, left alone.
    times : tuple of TimeToSound
        How soon flips of each switch sound.
    reference : Reference or None
    sha256_written : str or None
        Of the model file after names and scores were embedded in it.
    """

    card: ModelCard
    sha256: str
    labels: tuple[str, ...]
    seeds: tuple[int, ...]
    sweep: Sweep
    renders: dict[tuple[int, tuple[bool, ...]], Render]
    song: Song
    times: tuple[TimeToSound, ...]
    reference: Reference | None
    sha256_written: str | None = None

    @cached_property
    def switches(self) -> list[Switch]:
        """Effects of every switch."""
        return measure_switches(self.sweep, self.labels)

    @property
    def factors(self) -> tuple[str, ...]:
        """What each switch stands for, if it was learnt from versions; else empty."""
        return factors_of(self.card)

    @cached_property
    def agreements(self) -> list[Agreement]:
        """What a flip of each switch leaves as it is, in the variation that the page plays."""
        return agreement_of_flips(self._of_first_seed, len(self.labels))

    @cached_property
    def agreements_in_a_mix(self) -> list[Agreement]:
        """The same where all other layers play; empty unless switches stand for factors."""
        layers = [i for i, factor in enumerate(self.factors) if factor in LAYERS]
        return agreement_of_flips(self._of_first_seed, len(self.factors), on=layers)

    @property
    def mean_agreement(self) -> Agreement:
        """The mean over all switches; NaN if one of them has none."""
        agreements = self.agreements
        return Agreement(
            float(np.mean([each.harmony for each in agreements])),
            float(np.mean([each.rhythm for each in agreements])),
        )

    @cached_property
    def distant_agreement(self) -> Agreement:
        """The same between states that differ in half of the switches or more."""
        return agreement_of_distant_states(self._of_first_seed[:_MOST_DISTANT])

    @property
    def _of_first_seed(self) -> list[Render]:
        return [each for (seed, _), each in sorted(self.renders.items()) if seed == self.seeds[0]]

    @cached_property
    def state_similarity(self) -> StateSimilarity:
        """Distances between states."""
        return compare_states(self.sweep)

    @cached_property
    def comparisons(self) -> list[Comparison]:
        """Independent renders compared with reference music; empty without any."""
        if self.reference is None:
            return []
        return compare(self.reference.figures, self.sweep.independent_renders)

    @cached_property
    def inversion_comparisons(self) -> list[Comparison]:
        """Reference music after a round trip through the inversion, compared with itself."""
        if self.reference is None:
            return []
        return compare(self.reference.figures, self.reference.rebuilt_figures)

    @property
    def distances(self) -> dict[str, float]:
        """Mean distance from reference music by group of figures; empty without any."""
        return by_group(self.comparisons) if self.comparisons else {}

    @property
    def inversion_distances(self) -> dict[str, float]:
        """Mean distance of the round trip by group of figures; empty without any."""
        return by_group(self.inversion_comparisons) if self.inversion_comparisons else {}

    @property
    def noise_floor(self) -> dict[str, float]:
        """Mean distance of one half of the reference music from the other, by group."""
        if self.reference is None:
            return {}
        figures = self.reference.figures
        return by_group(compare(figures[::2], figures[1::2]))

    @cached_property
    def pitch_comparisons(self) -> dict[str, PitchComparison]:
        """Pitches compared with reference music: of the model, the inversion and between halves.

        Empty without reference music, or where it has no pitches to compare.
        """
        if self.reference is None:
            return {}
        original = self.reference.pitches
        pairs = {
            "model": (original, self.independent_pitches),
            "inversion": (original, self.reference.rebuilt_pitches),
            "halves": (original[::2], original[1::2]),
        }
        found = {name: compare_pitches(*pair) for name, pair in pairs.items()}
        return {name: each for name, each in found.items() if each}

    @property
    def independent_pitches(self) -> list[NDArray[np.float32]]:
        """Pitches of every state in a variation of its own."""
        return [
            each.pitches
            for (seed, _), each in sorted(self.renders.items())
            if seed not in self.seeds
        ]

    @property
    def is_sample(self) -> bool:
        """Whether the model has more states than were rendered."""
        n_states: int = 2**self.card.n_switches
        return len(self.sweep.states) < n_states

    @property
    def silent_renders(self) -> list[Render]:
        """Silent or invalid renders."""
        return [render for render in self.renders.values() if render.is_silent]

    @property
    def loudness(self) -> list[float]:
        """LUFS of every render."""
        return [render.lufs for render in self.renders.values()]

    @property
    def loudness_range_lu(self) -> float:
        """Largest distance of a render's loudness from the median, in LU."""
        return float(np.abs(np.array(self.loudness) - np.median(self.loudness)).max())

    @property
    def loudest_peak_db(self) -> float:
        """Largest true peak of all renders, in dBTP."""
        return max(render.true_peak_db for render in self.renders.values())


def evaluate(plan: Plan, *, on_progress: Progress) -> Evaluation:
    """Render and measure everything in a plan.

    Parameters
    ----------
    on_progress : callable
        Called with the numbers of sounds measured and planned.
    """
    card = Network.open(plan.model).card
    rng = np.random.default_rng([plan.seeds[0], card.n_switches])
    states = sample_with_flips(card.n_switches, MOST_STATES, rng)
    jobs = [
        RenderJob(plan.model, bits, seed, is_shown=seed == plan.seeds[0])
        for seed in plan.seeds
        for bits in states
    ]
    independent_seeds = {bits: plan.seeds[-1] + number for number, bits in enumerate(states, 1)}
    jobs += [
        RenderJob(plan.model, bits, seed, is_shown=False)
        for bits, seed in independent_seeds.items()
    ]
    flips = [FlipJob(plan.model, switch, plan.seeds[0]) for switch in range(card.n_switches)]
    n_loops = len(plan.music.loops) if plan.music else 0
    n_total = len(jobs) + plan.n_passes + len(flips) + n_loops
    numbers = count(1)
    on_progress(0, n_total)

    def done() -> None:
        on_progress(next(numbers), n_total)

    reference = measure_reference(plan.music, card, plan.n_workers, done) if plan.music else None
    renders = render_all(jobs, plan.n_workers, done)
    middle = states[len(states) // 2]
    song = measure_song(
        *(plan.model, middle, plan.seeds[0], plan.n_passes), n_workers=plan.n_workers, on_done=done
    )
    times = dict[int, TimeToSound]()
    for switch, time in run_in_workers(measure_flips, flips, plan.n_workers):
        times[switch] = time
        done()
    figures = [[renders[seed, bits].figures for bits in states] for seed in plan.seeds]
    independent = [renders[seed, bits].figures for bits, seed in independent_seeds.items()]
    return Evaluation(
        card,
        sha256_of(plan.model),
        card.switch_labels,
        tuple(plan.seeds),
        Sweep(tuple(states), np.array(figures), np.array(independent)),
        renders,
        song,
        tuple(times[switch] for switch in sorted(times)),
        reference,
    )
