"""What the switches do, and whether anybody could tell, from takes of many states.

Figures are standardised over all takes, so that a change of 1 is a standard deviation of what the
panel does altogether. A state is where the mean of its takes lies.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from device.switches.bits import Bits
from device.switches.state_sampling import flipped
from training.metrics.audio_metrics import NAMES

Doubles = NDArray[np.float64]

_RIDGE = 2.0
# Further away than this, in standard deviations, teaches no more.
_CLIPPED_AT = 4.0


@dataclass(frozen=True, slots=True)
class Effect:
    """How a switch changes one figure.

    Attributes
    ----------
    change : float
        From off to on, mean over all states of the other switches, in standard deviations.
    share : float
        Of those states, where it changes this way.
    """

    name: str
    change: float
    share: float


@dataclass(frozen=True, slots=True)
class Switch:
    """What one switch does.

    Attributes
    ----------
    moves : float
        Root mean square change over all figures and states, in standard deviations.
    coherence : float
        Share of that which is the same change whatever the other switches are: 0 to 1.
    coherence_of_takes : float
        The same where a state is a single take, mean over seeds: what variation does to a state
        counts against it, too.
    recognised : float
        Share of takes from whose sound it is read rightly, by a recogniser that learned from takes
        of other seeds; 0.5 by guessing.
    effects : tuple of Effect
        On every figure, the strongest first.
    """

    number: int
    label: str
    moves: float
    coherence: float
    coherence_of_takes: float
    recognised: float
    effects: tuple[Effect, ...]


@dataclass(frozen=True, slots=True)
class Sweep:
    """Takes of many states, in figures.

    Attributes
    ----------
    states : tuple of Bits
    figures : (n_seeds, n_states, n_figures)
        All states in the same few variations, so that a flip can be heard by itself.
    singles : (n_states, n_figures)
        Every state once in a variation of its own: a fair sample of what a box plays.
    """

    states: tuple[Bits, ...]
    figures: Doubles
    singles: Doubles

    def standardise(self, figures: Doubles) -> Doubles:
        """Figures in standard deviations of all takes in common variations."""
        mean = self.figures.mean(axis=(0, 1))
        spread = np.maximum(self.figures.std(axis=(0, 1)), 1e-6)
        return np.asarray((figures - mean) / spread)

    @property
    def standard(self) -> Doubles:
        """Standardised figures, (n_seeds, n_states, n_figures)."""
        return self.standardise(self.figures)

    @property
    def centres(self) -> Doubles:
        """Where every state lies, (n_states, n_figures)."""
        return np.asarray(self.standard.mean(axis=0))

    def take(self, seed: int) -> "Sweep":
        """One seed's takes alone."""
        return Sweep(self.states, self.figures[seed : seed + 1], self.singles)

    def changes(self, switch: int) -> Doubles:
        """What a switch does in every state of the others, (n_pairs, n_figures)."""
        number = {state: n for n, state in enumerate(self.states)}
        pairs = [
            (n, number[flipped(state, switch)])
            for state, n in number.items()
            if not state[switch] and flipped(state, switch) in number
        ]
        off, on = np.array(pairs).T
        centres = self.centres
        return np.asarray(centres[on] - centres[off])


def examine(sweep: Sweep, labels: tuple[str, ...]) -> list[Switch]:
    """Say of every switch what it does."""
    recognised = recognise(sweep)
    takes = [sweep.take(seed) for seed in range(len(sweep.figures))]
    changes = [sweep.changes(number) for number in range(len(labels))]
    return [
        Switch(
            number,
            label,
            moves=float(np.sqrt(np.square(changes[number]).mean())),
            coherence=coherence(changes[number]),
            coherence_of_takes=float(np.mean([coherence(take.changes(number)) for take in takes])),
            recognised=float(recognised[number]),
            effects=_effects(changes[number]),
        )
        for number, label in enumerate(labels)
    ]


def _effects(changes: Doubles) -> tuple[Effect, ...]:
    mean = changes.mean(axis=0)
    shares = (np.sign(changes) == np.sign(mean)).mean(axis=0)
    effects = (
        Effect(name, float(change), float(share))
        for name, change, share in zip(NAMES, mean, shares, strict=True)
    )
    return tuple(sorted(effects, key=lambda effect: -abs(effect.change)))


def coherence(changes: Doubles) -> float:
    """Share of a change that is always the same, (n_pairs, n_figures) → 0 to 1."""
    always = np.square(changes.mean(axis=0)).sum()
    return float(always * len(changes) / max(np.square(changes).sum(), 1e-12))


def recognise(sweep: Sweep) -> Doubles:
    """Learn to read switches from single takes, and read all others: (n_switches,), share right.

    Ridge regression on ±1. No variation is in lessons and questions both, and the recogniser knows
    nothing but the figures.
    """
    bits = np.array(sweep.states, dtype=bool)
    lessons = _known(sweep.standardise(sweep.singles))
    gram = lessons.T @ lessons + _RIDGE * np.eye(lessons.shape[1])
    weights = np.linalg.solve(gram, lessons.T @ (2.0 * bits - 1.0))
    right = (_known(sweep.standard) @ weights > 0) == bits
    return np.asarray(right.mean(axis=(0, 1)))


def _known(standard: Doubles) -> Doubles:
    """What a recogniser goes by: figures, and 1."""
    clipped = np.clip(standard, -_CLIPPED_AT, _CLIPPED_AT)
    return np.concatenate([clipped, np.ones((*clipped.shape[:-1], 1))], axis=-1)
