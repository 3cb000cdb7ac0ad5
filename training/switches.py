"""What each discovered switch does, in words, and which way round it is worn.

The reader invents the switches, so nobody knows beforehand what they mean. Here every switch is
flipped in many random states and the change of a few audible descriptors is measured. A switch is
turned round where "on" would mean less, so that a panel with everything off is the calmest, and
each gets the name of what it moves most.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.analysis import Analysis
from training.run import Config, Networks

# Descriptor → what more and less of it are called.
WORDS: Mapping[str, tuple[str, str]] = {
    "level": ("fuller", "thinner"),
    "brightness": ("brighter", "darker"),
    "bass": ("more bass", "less bass"),
    "middle": ("more chords", "fewer chords"),
    "treble": ("more melody", "less melody"),
    "air": ("more air", "less air"),
    "attacks": ("more drums", "fewer drums"),
    "motion": ("busier", "calmer"),
}
_N_STATES = 48


@dataclass(frozen=True)
class Effects:
    """What flipping does.

    Attributes
    ----------
    shift : (n_switches, n_descriptors)
        Mean change when a switch goes on, in standard deviations over random states.
    """

    shift: NDArray[np.float64]

    @property
    def fullness(self) -> NDArray[np.float64]:
        """Change of level, attacks and motion together, (n_switches,)."""
        names = list(WORDS)
        chosen = [names.index(name) for name in ("level", "attacks", "motion")]
        return np.asarray(self.shift[:, chosen].sum(axis=1))


def descriptors(log_bands: Tensor, analysis: Analysis) -> NDArray[np.float64]:
    """Audible properties of loops: (n_loops, n_frames, n_bands) → (n_loops, n_descriptors)."""
    power = (2 * log_bands).exp()
    hertz = torch.from_numpy(analysis.band_centres) * analysis.sample_rate / analysis.n_fft
    hertz = hertz.to(power)

    def decibels(low: float, high: float) -> Tensor:
        inside = (hertz >= low) & (hertz < high)
        if not inside.any():
            # A low sample rate has no air: that switch cannot be named after it.
            return power.new_zeros(len(power))
        return 10 * (power[..., inside].mean(dim=(1, 2)) + 1e-9).log10()

    octaves = (hertz + 20).log2()
    brightness = (power * octaves).sum(dim=(1, 2)) / power.sum(dim=(1, 2))
    rise = log_bands.diff(dim=1).clamp_min(0).mean(dim=2)
    columns = [
        decibels(0, analysis.sample_rate),
        brightness,
        decibels(30, 160),
        decibels(160, 900),
        decibels(900, 3000),
        decibels(5000, analysis.sample_rate),
        rise.topk(32, dim=1).values.mean(dim=1),
        rise.mean(dim=1),
    ]
    return np.stack([column.double().cpu().numpy() for column in columns], axis=1)


@torch.no_grad()
def measure(networks: Networks, config: Config) -> Effects:
    """Flip every switch in random states and describe what changes."""
    rng = np.random.default_rng(config.seed)
    states = rng.integers(0, 2, (_N_STATES, config.n_switches)).astype(np.float32)
    variation = rng.standard_normal((_N_STATES, config.n_variation)).astype(np.float32)

    def describe(switches: NDArray[np.float32]) -> NDArray[np.float64]:
        return descriptors(draw(networks, config, switches, variation), config.analysis)

    spread = describe(states).std(axis=0) + 1e-6
    shifts = []
    for number in range(config.n_switches):
        off, on = states.copy(), states.copy()
        off[:, number], on[:, number] = 0, 1
        shifts.append((describe(on) - describe(off)).mean(axis=0) / spread)
    return Effects(np.array(shifts))


def draw(
    networks: Networks,
    config: Config,
    switches: NDArray[np.float32],
    variation: NDArray[np.float32],
) -> Tensor:
    """Loops as the box would draw them: log bands (n_loops, n_frames, n_bands)."""
    device = networks.codec.mean.device
    bits, wander = (torch.from_numpy(a).to(device) for a in (switches, variation))
    digits = networks.composer.classes(bits, wander).to(wander) - config.n_levels // 2
    return networks.codec.decode(digits, torch.zeros(len(digits), device=device))


@torch.no_grad()
def turn_round(networks: Networks, chosen: NDArray[np.bool_]) -> None:
    """Swap on and off of the chosen switches, in composer and reader alike."""
    sign = torch.from_numpy(np.where(chosen, -1.0, 1.0).astype(np.float32))
    sign = sign.to(networks.codec.mean.device)
    n = len(chosen)
    networks.composer.latent.weight[:, :n] *= sign
    networks.reader.out.weight[:n] *= sign[:, None]
    networks.reader.out.bias[:n] *= sign


def name(effects: Effects) -> tuple[str, ...]:
    """Give every switch a different name; the clearest effect chooses first."""
    strength = np.abs(effects.shift)
    n_switches, n_descriptors = strength.shape
    words = list(WORDS.values())
    names = [""] * n_switches
    free = strength.copy()
    for _ in range(min(n_switches, n_descriptors)):
        switch, descriptor = np.unravel_index(int(free.argmax()), free.shape)
        more, less = words[descriptor]
        names[switch] = more if effects.shift[switch, descriptor] > 0 else less
        free[switch, :] = -1
        free[:, descriptor] = -1
    return tuple(label or f"switch {number + 1}" for number, label in enumerate(names))


def settle(networks: Networks, config: Config) -> tuple[str, ...]:
    """Turn the switches the right way round and name them."""
    effects = measure(networks, config)
    turned = effects.fullness < 0
    turn_round(networks, turned)
    return name(Effects(np.where(turned[:, None], -effects.shift, effects.shift)))
