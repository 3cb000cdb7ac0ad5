"""The composer: switches and a little variation → the digits of every slot of a loop.

A variational autoencoder over the codec's digits (Kingma & Welling 2014). The reader looks at a
loop's digits and answers with `n_switches` probabilities and a Gaussian; the switches it samples
are hard bits whose gradients pass straight through. The composer answers with logits for every
digit, trained by cross-entropy, and the loudest logit is played. A panel has states that no loop
has; for those the reader must find in what is composed what was asked for.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

N_HEADS = 4


class Attention(nn.Module):
    """A pre-norm transformer layer over the slots, (n_loops, n_slots, width) → the same."""

    def __init__(self, width: int, *, expand: int = 3) -> None:
        super().__init__()
        self.norm_in = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.mix = nn.Linear(width, width)
        self.norm_out = nn.LayerNorm(width)
        self.widen = nn.Linear(width, expand * width)
        self.narrow = nn.Linear(expand * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Attend over all slots, then mix channels."""
        n_loops, n_slots, width = x.shape
        split = (n_loops, n_slots, N_HEADS, width // N_HEADS)
        parts = self.query_key_value(self.norm_in(x)).chunk(3, dim=-1)
        q, k, v = (part.view(split).transpose(1, 2) for part in parts)
        heads = F.scaled_dot_product_attention(q, k, v)
        x = x + self.mix(heads.transpose(1, 2).reshape(n_loops, n_slots, width))
        change: Tensor = self.narrow(F.gelu(self.widen(self.norm_out(x))))
        return x + change


@dataclass(frozen=True)
class Reading:
    """What the reader sees in loops.

    Attributes
    ----------
    bit_logits : (n_loops, n_switches)
    mean, log_variance : (n_loops, n_variation)
    """

    bit_logits: Tensor
    mean: Tensor
    log_variance: Tensor

    @property
    def probability(self) -> Tensor:
        """Of each switch being on."""
        return torch.sigmoid(self.bit_logits)

    @property
    def bits(self) -> Tensor:
        """Hard 0 or 1, straight-through gradients."""
        p = self.probability
        return p + ((p > 0.5).to(p) - p).detach()

    def sample(self, noise: Tensor) -> Tensor:
        """Draw a variation from the posterior with standard-normal `noise`."""
        return self.mean + noise * (0.5 * self.log_variance).exp()


class Reader(nn.Module):
    """Digits as class numbers (n_loops, n_slots, n_digits) → `Reading`."""

    def __init__(
        self,
        *,
        n_slots: int,
        n_digits: int,
        n_levels: int,
        n_switches: int,
        n_variation: int,
        width: int,
        n_layers: int = 2,
    ) -> None:
        super().__init__()
        self.n_levels = n_levels
        self.sizes = (n_switches, n_variation, n_variation)
        self.embed = nn.Linear(n_digits * n_levels, width)
        self.position = nn.Parameter(torch.randn(n_slots, width) * 0.02)
        self.layers = nn.Sequential(*[Attention(width) for _ in range(n_layers)])
        self.out = nn.Linear(2 * width, sum(self.sizes))

    def forward(self, classes: Tensor) -> Reading:
        """Read whole loops."""
        return self.read(F.one_hot(classes, self.n_levels).float())

    def read(self, one_hot: Tensor) -> Reading:
        """Read digits given as one number per level, (n_loops, n_slots, n_digits, n_levels)."""
        x = self.layers(self.embed(one_hot.flatten(2)) + self.position)
        pooled = torch.cat([x.mean(dim=1), x.amax(dim=1)], dim=1)
        # float32 from here on: a probability that bfloat16 rounds to 1 has an infinite entropy.
        bits, mean, log_variance = self.out(pooled).float().split(self.sizes, dim=1)
        return Reading(bits, mean, log_variance.clamp(-8, 4))


class Composer(nn.Module):
    """Switches and variation → logits (n_loops, n_slots, n_digits, n_levels).

    The latent enters as a sum over its parts, without a hidden layer, so that a switch adds the
    same thing whatever the others are before the slots begin to talk to each other.
    """

    N_SHAPES = 8

    def __init__(
        self,
        *,
        n_slots: int,
        n_digits: int,
        n_levels: int,
        n_switches: int,
        n_variation: int,
        width: int,
        n_layers: int,
    ) -> None:
        super().__init__()
        self.shape = (n_slots, n_digits, n_levels)
        self.position = nn.Parameter(torch.randn(n_slots, width) * 0.02)
        self.shapes = nn.Parameter(torch.randn(n_slots, self.N_SHAPES) * 0.3)
        self.latent = nn.Linear(n_switches + n_variation, (1 + self.N_SHAPES) * width)
        self.layers = nn.Sequential(*[Attention(width) for _ in range(n_layers)])
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, n_digits * n_levels)

    def forward(self, switches: Tensor, variation: Tensor) -> Tensor:
        """`switches` are 0 or 1, `variation` standard normal."""
        n_loops, n_slots = switches.shape[0], self.shape[0]
        latent = self.latent(torch.cat([2 * switches - 1, variation], dim=1))
        latent = latent.view(n_loops, 1 + self.N_SHAPES, -1)
        x = self.position + latent[:, :1] + self.shapes @ latent[:, 1:]
        logits: Tensor = self.out(self.norm(self.layers(x)))
        return logits.view(n_loops, n_slots, *self.shape[1:])

    def classes(self, switches: Tensor, variation: Tensor) -> Tensor:
        """Choose the digits to play, as class numbers (n_loops, n_slots, n_digits)."""
        logits: Tensor = self(switches, variation)
        return logits.argmax(dim=-1)


@dataclass(frozen=True)
class ComposerLoss:
    """The parts of the loss, each a scalar: nats per loop."""

    cross_entropy: Tensor
    divergence: Tensor
    indecision: Tensor
    imbalance: Tensor
    dependence: Tensor

    def total(self, divergence_weight: float) -> Tensor:
        """Weigh the parts into what is minimised."""
        switches = 3 * (self.indecision + self.imbalance) + 10 * self.dependence
        return self.cross_entropy + divergence_weight * self.divergence + switches


def composer_loss(logits: Tensor, classes: Tensor, reading: Reading) -> ComposerLoss:
    """Evidence lower bound, and what makes good switches: decided, balanced, independent.

    Parameters
    ----------
    logits : (n_loops, n_slots, n_digits, n_levels)
    classes : (n_loops, n_slots, n_digits)
    """
    n_loops = logits.shape[0]
    logits = logits.float().flatten(0, 2)
    flat = F.cross_entropy(logits, classes.flatten(), reduction="sum") / n_loops
    mean, log_variance, p = reading.mean, reading.log_variance, reading.probability
    divergence = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(dim=1).mean()
    signs = 2 * p - 1
    centred = signs - signs.mean(dim=0)
    covariance = centred.T @ centred / n_loops
    off_diagonal = covariance - torch.diag(torch.diagonal(covariance))
    return ComposerLoss(
        cross_entropy=flat,
        divergence=divergence,
        indecision=_binary_entropy(p).sum(dim=1).mean(),
        imbalance=-_binary_entropy(p.mean(dim=0)).sum(),
        dependence=(off_diagonal**2).sum(),
    )


def readback_loss(reader: Reader, logits: Tensor, switches: Tensor, variation: Tensor) -> Tensor:
    """How badly the reader finds a made-up panel state again in what is composed for it.

    The lower bound trains the composer on states that loops really have; a panel also has all the
    others. Here the state is random, and what is composed must read as that state: every switch is
    then heard in every company. Gradients reach the composer alone: a reader that learned from this
    too would agree with it on a secret mark instead of music.

    Parameters
    ----------
    logits : (n_loops, n_slots, n_digits, n_levels)
        Composed from `switches` and `variation`.

    Returns
    -------
    Scalar, nats per loop.
    """
    probability = logits.float().softmax(dim=-1)
    played = F.one_hot(logits.argmax(dim=-1), logits.shape[-1]).float()
    with _frozen(reader):
        reading = reader.read(played + probability - probability.detach())
    bits = F.binary_cross_entropy_with_logits(reading.bit_logits, switches, reduction="sum")
    distance = ((reading.mean - variation) ** 2).sum()
    return (bits + 0.25 * distance) / len(switches)


@contextmanager
def _frozen(network: nn.Module) -> Iterator[None]:
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in network.parameters():
            parameter.requires_grad_(True)


def _binary_entropy(p: Tensor) -> Tensor:
    q = p.clamp(1e-6, 1 - 1e-6)
    return -(q * q.log() + (1 - q) * (1 - q).log())
