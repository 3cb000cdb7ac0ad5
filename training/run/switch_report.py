"""How reliable the switches of a trained model are, measured on composed loops.

*Recognised*: how often a linear recogniser, fitted on other loops, reads a switch from the sound
alone. *Coherence*: how much of a switch's effect on the descriptors is the same whatever the other
switches and the variation are. *Repetition* and *drift*: whether a state that is held for ten
minutes repeats bars, and whether its mean descriptors move.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from device.model.contract import SLOTS_PER_BEAT
from device.synthesis.variation import SongForm
from training.features.descriptors import BEATS_PER_BAR
from training.features.song_slots import played_slots
from training.metrics.switches import coherence, recognition_rate
from training.run.config import Config
from training.run.describe_codes import compose, describe_corpus, describe_states
from training.run.networks import Networks

# Ten minutes of loops of four bars at 80 BPM.
N_HELD_LOOPS = 50
_N_TRAINING, _N_TEST, _N_PAIRS, _N_HELD_STATES = 256, 128, 24, 4
# Per training loop.
_RIDGE = 1e-2


@dataclass(frozen=True)
class SwitchReport:
    """Figures of every switch, in the order of the switches.

    Attributes
    ----------
    recognised : tuple of float
        Share of correct answers of the recogniser, 0.5 by guessing.
    coherence : tuple of float
        1: the effect is always the same; 0: it has nothing in common between states.
    strength : tuple of float
        Root mean square change over all descriptors, in standard deviations of the corpus.
    repeated_bars : int
        Bars that occur a second time while a state is held for `N_HELD_LOOPS` loops, summed over
        some states.
    drift : float
        Largest change of a mean descriptor from the first half of a held state to the second, in
        standard deviations of that descriptor over its loops. Expected below 1.6: there are seven
        themes in so many loops.
    """

    recognised: tuple[float, ...]
    coherence: tuple[float, ...]
    strength: tuple[float, ...]
    repeated_bars: int
    drift: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-able fields."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}


def n_loops_measured(config: Config) -> int:
    """How many loops `measure_switches` composes."""
    n_held = _N_HELD_STATES * SongForm(config.n_variation, seed=0).passage_at(N_HELD_LOOPS)
    return _N_TRAINING + _N_TEST + 2 * _N_PAIRS * config.n_switches + n_held


@torch.no_grad()
def measure_switches(networks: Networks, config: Config) -> SwitchReport:
    """Draw random states in random variations, and measure every switch on their descriptors."""
    rng = np.random.default_rng([config.seed, 4])
    n_loops = _N_TRAINING + _N_TEST
    bits = _random_bits(rng, n_loops, config)
    described = describe_states(networks, config, bits, _random_variations(rng, n_loops, config))
    recognised = recognise(described.cpu(), bits)
    changes = [_changes(networks, config, number, rng) for number in range(config.n_switches)]
    held = [_hold(networks, config, state) for state in _random_bits(rng, _N_HELD_STATES, config)]
    return SwitchReport(
        recognised=_rounded(recognised),
        coherence=_rounded([coherence(change.double().numpy()) for change in changes]),
        strength=_rounded([change.square().mean().sqrt() for change in changes]),
        repeated_bars=sum(n for n, _ in held),
        drift=round(max(moved for _, moved in held), 3),
    )


def recognise(described: Tensor, bits: Tensor) -> NDArray[np.float64]:
    """Fit the recogniser on the first two thirds of the loops and test it on the rest.

    Parameters
    ----------
    described : (n_loops, n_descriptors)
    bits : (n_loops, n_switches)

    Returns
    -------
    (n_switches,), share of correct answers.
    """
    features, switches = described.double().numpy(), bits.numpy()
    n = len(features) * _N_TRAINING // (_N_TRAINING + _N_TEST)
    return recognition_rate(
        (features[:n], switches[:n]), (features[n:], switches[n:]), ridge=_RIDGE * n
    )


def _changes(networks: Networks, config: Config, number: int, rng: np.random.Generator) -> Tensor:
    """What one switch changes in random states, (n_pairs, n_descriptors)."""
    off = _random_bits(rng, _N_PAIRS, config)
    off[:, number] = 0
    on = off.clone()
    on[:, number] = 1
    variation = _random_variations(rng, _N_PAIRS, config)
    before, after = (describe_states(networks, config, bits, variation) for bits in (off, on))
    return (after - before).cpu()


def _hold(networks: Networks, config: Config, state: Tensor) -> tuple[int, float]:
    """Hold a state while the variation moves as on the device: repeated bars and drift."""
    form = SongForm(config.n_variation, seed=config.seed)
    passages = range(form.passage_at(N_HELD_LOOPS))
    variation = torch.from_numpy(np.stack([form.at(passage) for passage in passages]))
    composed = compose(networks, state.expand(len(passages), -1), variation)
    played = composed[played_slots(form, N_HELD_LOOPS, composed.shape[1])]
    code_indices = played.view(N_HELD_LOOPS, *composed.shape[1:])
    bars = code_indices.reshape(-1, SLOTS_PER_BEAT * BEATS_PER_BAR * config.n_codes)
    states = state.expand(len(code_indices), -1)
    described = describe_corpus(networks, code_indices, config, factors=states)
    return len(bars) - len(torch.unique(bars, dim=0)), drift(described)


def drift(described: Tensor) -> float:
    """Largest shift of a descriptor's mean from the first half to the second, over its spread.

    Parameters
    ----------
    described : (n_loops, n_descriptors)
        In the order in which they are played.
    """
    first, second = described.double().tensor_split(2)
    shift = (second.mean(dim=0) - first.mean(dim=0)).abs()
    return float((shift / described.double().std(dim=0).clamp_min(1e-6)).max())


def _random_bits(rng: np.random.Generator, n: int, config: Config) -> Tensor:
    return _float(rng.integers(0, 2, (n, config.n_switches)))


def _random_variations(rng: np.random.Generator, n: int, config: Config) -> Tensor:
    return _float(rng.standard_normal((n, config.n_variation)))


def _float(array: NDArray[Any]) -> Tensor:
    return torch.from_numpy(array.astype(np.float32))


def _rounded(values: Iterable[Any]) -> tuple[float, ...]:
    return tuple(round(float(value), 3) for value in values)
