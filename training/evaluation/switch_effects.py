"""Effects of the switches and how well a classifier recognises them, from renders of many states.

Figures are standardised over all renders, so that a change of 1 is a standard deviation over
all of them. A state is represented by the mean of its renders.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from device.switches.bits import Bits
from device.switches.state_sampling import flipped
from training.metrics.audio_metrics import METRIC_NAMES
from training.metrics.switches import coherence, recognition_rate

Doubles = NDArray[np.float64]

_RIDGE = 2.0
# Figures are clipped at so many standard deviations.
_CLIPPED_AT = 4.0


@dataclass(frozen=True, slots=True)
class Effect:
    """Change of one figure by a switch.

    Attributes
    ----------
    change : float
        From off to on, mean over all states of the other switches, in standard deviations.
    share : float
        Share of those states in which the change has this sign.
    """

    name: str
    change: float
    share: float


@dataclass(frozen=True, slots=True)
class Switch:
    """Effects of one switch.

    Attributes
    ----------
    moves : float
        Root mean square change over all figures and states, in standard deviations.
    coherence : float
        Share of that change that does not depend on the other switches: 0 to 1.
    coherence_of_takes : float
        The same for single renders instead of the mean of each state, mean over seeds: the
        variation lowers it.
    recognised : float
        Share of renders from which a classifier, trained on renders of other seeds, reads the
        switch correctly; 0.5 by chance.
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
    """Figures of renders of many states.

    Attributes
    ----------
    states : tuple of Bits
    figures : (n_seeds, n_states, n_figures)
        All states in the same few variations, so that the effect of a flip can be isolated.
    independent_renders : (n_states, n_figures)
        Every state once in a variation of its own: a sample of what the device plays.
    """

    states: tuple[Bits, ...]
    figures: Doubles
    independent_renders: Doubles

    def standardise(self, figures: Doubles) -> Doubles:
        """Figures in standard deviations of all renders in common variations."""
        mean = self.figures.mean(axis=(0, 1))
        spread = np.maximum(self.figures.std(axis=(0, 1)), 1e-6)
        return np.asarray((figures - mean) / spread)

    @property
    def standard(self) -> Doubles:
        """Standardised figures, (n_seeds, n_states, n_figures)."""
        return self.standardise(self.figures)

    @property
    def clipped(self) -> tuple[Doubles, Doubles]:
        """Standardised figures of common and of independent renders, clipped.

        Where common renders hardly differ, their standard deviation is tiny.
        """
        both = self.standard, self.standardise(self.independent_renders)
        common, independent = (np.clip(each, -_CLIPPED_AT, _CLIPPED_AT) for each in both)
        return common, independent

    @property
    def centres(self) -> Doubles:
        """Mean of every state, (n_states, n_figures)."""
        return np.asarray(self.standard.mean(axis=0))

    def of_seed(self, seed: int) -> "Sweep":
        """The renders of one seed only, by its index."""
        return Sweep(self.states, self.figures[seed : seed + 1], self.independent_renders)

    def changes(self, switch: int) -> Doubles:
        """Change by a switch in every state of the others, (n_pairs, n_figures)."""
        number = {state: n for n, state in enumerate(self.states)}
        pairs = [
            (n, number[flipped(state, switch)])
            for state, n in number.items()
            if not state[switch] and flipped(state, switch) in number
        ]
        off, on = np.array(pairs).T
        centres = self.centres
        return np.asarray(centres[on] - centres[off])


def measure_switches(sweep: Sweep, labels: tuple[str, ...]) -> list[Switch]:
    """Measure the effects of every switch."""
    recognised = recognise(sweep)
    renders = [sweep.of_seed(seed) for seed in range(len(sweep.figures))]
    changes = [sweep.changes(number) for number in range(len(labels))]
    return [
        Switch(
            number,
            label,
            moves=float(np.sqrt(np.square(changes[number]).mean())),
            coherence=coherence(changes[number]),
            coherence_of_takes=float(
                np.mean([coherence(render.changes(number)) for render in renders])
            ),
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
        for name, change, share in zip(METRIC_NAMES, mean, shares, strict=True)
    )
    return tuple(sorted(effects, key=lambda effect: -abs(effect.change)))


def recognise(sweep: Sweep) -> Doubles:
    """Train a classifier of switches on independent renders, test it on all others: (n_switches,).

    No variation is in both training and test set. Returns the share of correct answers.
    """
    bits = np.array(sweep.states, dtype=bool)
    common, independent = sweep.clipped
    return recognition_rate((independent, bits), (common, bits), ridge=_RIDGE)
