"""The whole audition of a model: what is played, and all that is found out by listening."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path

import numpy as np

from device.files import sha256_of
from device.model.contract import ModelCard
from device.model.network import Network
from device.switches.state_sampling import sample_with_flips
from training.evaluation.reference_music import Music, Reference, hear_all
from training.evaluation.renders import Render, TakeJob, play_all
from training.evaluation.state_similarity import Likeness, compare_states
from training.evaluation.switch_effects import Sweep, Switch, examine
from training.metrics.comparison import Comparison, by_group, compare

Progress = Callable[[int, int], None]

MOST_STATES = 256
"""Of a model with more states, a sample of at most so many is rendered."""


@dataclass(frozen=True)
class Plan:
    """What to play.

    Attributes
    ----------
    seeds : sequence of int
        In ascending order. One take of every state for each, two at least: takes of one state are
        what distances between states are held against. Seeds above are for single takes.
    music : Music or None
        What to hold the model against.
    """

    model: Path
    seeds: Sequence[int]
    music: Music | None
    n_workers: int = 1


@dataclass(frozen=True)
class Evaluation:
    """All that was found out.

    Attributes
    ----------
    sha256 : str
        Of the file that was heard.
    labels : tuple of str
        What the switches are called, which may differ from the card.
    takes : dict
        (seed, bits) → take.
    reference : Reference or None
    sha256_written : str or None
        Of the same model once this audition's names and scores are in it.
    """

    card: ModelCard
    sha256: str
    labels: tuple[str, ...]
    seeds: tuple[int, ...]
    sweep: Sweep
    takes: dict[tuple[int, tuple[bool, ...]], Render]
    reference: Reference | None
    sha256_written: str | None = None

    @cached_property
    def switches(self) -> list[Switch]:
        """What every switch does."""
        return examine(self.sweep, self.labels)

    @cached_property
    def likeness(self) -> Likeness:
        """How far states lie from each other."""
        return compare_states(self.sweep)

    @cached_property
    def comparisons(self) -> list[Comparison]:
        """Single takes against held-out music; empty without any."""
        if self.reference is None:
            return []
        return compare(self.reference.figures, self.sweep.singles)

    @cached_property
    def inversion_comparisons(self) -> list[Comparison]:
        """A round trip of held-out music against it: what the inversion has to answer for."""
        if self.reference is None:
            return []
        return compare(self.reference.figures, self.reference.rebuilt_figures)

    @property
    def distances(self) -> dict[str, float]:
        """Mean distance from held-out music, by family; empty without any."""
        return by_group(self.comparisons) if self.comparisons else {}

    @property
    def inversion_distances(self) -> dict[str, float]:
        """The same of the round trip."""
        return by_group(self.inversion_comparisons) if self.inversion_comparisons else {}

    @property
    def noise_floor(self) -> dict[str, float]:
        """The same of one half of held-out music from the other: what chance has to answer for."""
        if self.reference is None:
            return {}
        figures = self.reference.figures
        return by_group(compare(figures[::2], figures[1::2]))

    @property
    def is_sample(self) -> bool:
        """Whether the panel has more states than were played."""
        n_states: int = 2**self.card.n_switches
        return len(self.sweep.states) < n_states

    @property
    def dead(self) -> list[Render]:
        """Takes with nothing to hear."""
        return [take for take in self.takes.values() if take.is_dead]

    @property
    def loudness(self) -> list[float]:
        """LUFS of every take."""
        return [take.lufs for take in self.takes.values()]

    @property
    def loudness_range_lu(self) -> float:
        """How far the loudest or softest take is from the middle one."""
        return float(np.abs(np.array(self.loudness) - np.median(self.loudness)).max())

    @property
    def loudest_peak_db(self) -> float:
        """True peak of all takes."""
        return max(take.true_peak_db for take in self.takes.values())


def evaluate(plan: Plan, *, on_progress: Progress) -> Evaluation:
    """Play and hear everything in a plan.

    Parameters
    ----------
    on_progress : callable
        Called with the numbers of sounds heard and planned.
    """
    card = Network.open(plan.model).card
    rng = np.random.default_rng([plan.seeds[0], card.n_switches])
    states = sample_with_flips(card.n_switches, MOST_STATES, rng)
    jobs = [
        TakeJob(plan.model, bits, seed, is_shown=seed == plan.seeds[0])
        for seed in plan.seeds
        for bits in states
    ]
    single_seeds = {bits: plan.seeds[-1] + number for number, bits in enumerate(states, 1)}
    jobs += [TakeJob(plan.model, bits, seed, is_shown=False) for bits, seed in single_seeds.items()]
    n_total, numbers = len(jobs) + (len(plan.music.loops) if plan.music else 0), count(1)
    on_progress(0, n_total)

    def done() -> None:
        on_progress(next(numbers), n_total)

    reference = hear_all(plan.music, card, plan.n_workers, done) if plan.music else None
    takes = play_all(jobs, plan.n_workers, done)
    figures = [[takes[seed, bits].figures for bits in states] for seed in plan.seeds]
    singles = [takes[seed, bits].figures for bits, seed in single_seeds.items()]
    return Evaluation(
        card,
        sha256_of(plan.model),
        card.switch_labels,
        tuple(plan.seeds),
        Sweep(tuple(states), np.array(figures), np.array(singles)),
        takes,
        reference,
    )
