"""Whether a panel can be relied upon, measured on loops as they are drawn.

Two questions about every switch. *Recognised*: can somebody who learned on other music tell from
the sound alone whether it is on? *Coherence*: does it change the same descriptors by the same
amount whatever the other switches and the variation are? 1 is always the same change, 0 never.
And one about patience: does a panel that nobody touches go on without repeating or drifting away?
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from device.model.contract import SLOTS_PER_BEAT
from device.synthesis.variation import VariationWalk
from training.features.descriptors import BEATS_PER_BAR
from training.run.config import Config
from training.run.describe_codes import compose, describe_corpus, describe_states
from training.run.networks import Networks

# Ten minutes of four bars at 80 BPM.
N_TURNS = 50
_N_LESSONS, _N_QUESTIONS, _N_FLIPPED, _N_PATIENT = 256, 128, 24, 4
_RIDGE = 1e-2


@dataclass(frozen=True)
class PanelReport:
    """Figures of every switch, in the panel's order.

    Attributes
    ----------
    recognised : tuple of float
        Share of right answers, 0.5 by guessing.
    coherence : tuple of float
    strength : tuple of float
        Root mean square change over all descriptors, in standard deviations of the corpus.
    repeated_bars : int
        Of a panel left alone for `N_TURNS` turns: bars that were there before, in some states.
    drift : float
        Largest change of a mean descriptor from the first half to the second, in standard
        deviations of what the loops of the state differ by anyway, expected below 1.
    """

    recognised: tuple[float, ...]
    coherence: tuple[float, ...]
    strength: tuple[float, ...]
    repeated_bars: int
    drift: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-able fields."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}


@torch.no_grad()
def examine(networks: Networks, config: Config) -> PanelReport:
    """Draw random states in random variations and describe them."""
    rng = np.random.default_rng([config.seed, 4])
    n_loops = _N_LESSONS + _N_QUESTIONS
    bits = _states(rng, n_loops, config)
    described = describe_states(networks, config, bits, _variations(rng, n_loops, config)).cpu()
    recognised = recognise(described, bits)
    changes = [_flip(networks, config, number, rng) for number in range(config.n_switches)]
    alone = [_leave_alone(networks, config, state) for state in _states(rng, _N_PATIENT, config)]
    return PanelReport(
        recognised=_rounded(recognised),
        coherence=_rounded(torch.stack([coherence(change) for change in changes])),
        strength=_rounded(torch.stack([change.square().mean().sqrt() for change in changes])),
        repeated_bars=sum(n for n, _ in alone),
        drift=round(max(moved for _, moved in alone), 3),
    )


def recognise(described: Tensor, bits: Tensor) -> Tensor:
    """Learn to tell switches from sounds on the first two thirds, and be asked about the rest.

    Parameters
    ----------
    described : (n_loops, n_descriptors)
    bits : (n_loops, n_switches)

    Returns
    -------
    (n_switches,), share of right answers.
    """
    known = torch.cat([described, torch.ones(len(described), 1).to(described)], dim=1).double()
    n = len(known) * _N_LESSONS // (_N_LESSONS + _N_QUESTIONS)
    lessons, signs = known[:n], 2 * bits.double() - 1
    gram = lessons.T @ lessons + _RIDGE * n * torch.eye(known.shape[1]).to(lessons)
    weights = torch.linalg.solve(gram, lessons.T @ signs[:n])
    right: Tensor = (known[n:] @ weights > 0) == (bits[n:] > 0)
    return right.double().mean(dim=0)


def coherence(changes: Tensor) -> Tensor:
    """Share of what a switch does that it always does: (n_pairs, n_descriptors) → scalar."""
    always: Tensor = changes.mean(dim=0).square().sum()
    return always / changes.square().sum(dim=1).mean().clamp_min(1e-9)


def _flip(networks: Networks, config: Config, number: int, rng: np.random.Generator) -> Tensor:
    off = _states(rng, _N_FLIPPED, config)
    off[:, number] = 0
    on = off.clone()
    on[:, number] = 1
    variation = _variations(rng, _N_FLIPPED, config)
    off_heard, on_heard = (describe_states(networks, config, bits, variation) for bits in (off, on))
    return (on_heard - off_heard).cpu()


def _leave_alone(networks: Networks, config: Config, state: Tensor) -> tuple[int, float]:
    """Hold a state while the variation wanders, as the box would: repeated bars, drift."""
    wander = VariationWalk(config.n_variation, seed=config.seed)
    variation = torch.from_numpy(np.stack([wander.at(turn) for turn in range(N_TURNS)]))
    bits = state.expand(N_TURNS, -1)
    classes = compose(networks, bits, variation)
    bars = classes.reshape(-1, SLOTS_PER_BEAT * BEATS_PER_BAR * config.n_digits)
    described = describe_corpus(networks, classes, config)
    return len(bars) - len(torch.unique(bars, dim=0)), drift(described)


def drift(described: Tensor) -> float:
    """How far the mean of any descriptor moves from first half to second, in its own spread."""
    first, second = described.double().tensor_split(2)
    moved = (second.mean(dim=0) - first.mean(dim=0)).abs()
    return float((moved / described.double().std(dim=0).clamp_min(1e-6)).max())


def _states(rng: np.random.Generator, n: int, config: Config) -> Tensor:
    return _float(rng.integers(0, 2, (n, config.n_switches)))


def _variations(rng: np.random.Generator, n: int, config: Config) -> Tensor:
    return _float(rng.standard_normal((n, config.n_variation)))


def _float(array: NDArray[Any]) -> Tensor:
    return torch.from_numpy(array.astype(np.float32))


def _rounded(values: Tensor) -> tuple[float, ...]:
    return tuple(round(float(value), 3) for value in values)
