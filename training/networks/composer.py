"""The composer: switches and a little variation → the digits of every slot of a loop.

A variational autoencoder over the codec's digits, conditioned on where a loop lies along the axes
that the switches stand for (Kingma & Welling 2014; Sohn, Lee & Yan 2015). The reader looks at a
loop's digits and answers with a Gaussian, all that the axes do not say. The composer answers with
logits for every digit, trained by cross-entropy, and the loudest logit is played. A panel has
states that no loop has: those are drawn while training, and must sound as their switches say.
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
class Posterior:
    """What the reader sees in loops: a Gaussian each.

    Attributes
    ----------
    mean, log_variance : (n_loops, n_read)
    """

    mean: Tensor
    log_variance: Tensor

    def sample(self, noise: Tensor) -> Tensor:
        """Draw a variation from the posterior with standard-normal `noise`."""
        return self.mean + noise * (0.5 * self.log_variance).exp()


class PosteriorEncoder(nn.Module):
    """Digits as class numbers (n_loops, n_slots, n_codes) → `Posterior`."""

    def __init__(
        self,
        *,
        n_slots: int,
        n_codes: int,
        n_levels: int,
        n_read: int,
        width: int,
        n_layers: int = 2,
    ) -> None:
        super().__init__()
        self.n_levels = n_levels
        self.embed = nn.Linear(n_codes * n_levels, width)
        self.position = nn.Parameter(torch.randn(n_slots, width) * 0.02)
        self.layers = nn.Sequential(*[Attention(width) for _ in range(n_layers)])
        self.out = nn.Linear(2 * width, 2 * n_read)

    def forward(self, classes: Tensor) -> Posterior:
        """Read whole loops."""
        return self.read(F.one_hot(classes, self.n_levels).float())

    def read(self, one_hot: Tensor) -> Posterior:
        """Read digits given as one number per level, (n_loops, n_slots, n_codes, n_levels)."""
        x = self.layers(self.embed(one_hot.flatten(2)) + self.position)
        pooled = torch.cat([x.mean(dim=1), x.amax(dim=1)], dim=1)
        mean, log_variance = self.out(pooled).float().chunk(2, dim=1)
        return Posterior(mean, log_variance.clamp(-8, 4))


class Composer(nn.Module):
    """A latent of switches and variation → logits (n_loops, n_slots, n_codes, n_levels).

    The latent enters as a sum over its parts, without a hidden layer, so that a switch adds the
    same thing whatever the others are before the slots begin to talk to each other.
    """

    N_SHAPES = 8

    def __init__(
        self,
        *,
        n_slots: int,
        n_codes: int,
        n_levels: int,
        n_latent: int,
        width: int,
        n_layers: int,
    ) -> None:
        super().__init__()
        self.shape = (n_slots, n_codes, n_levels)
        self.position = nn.Parameter(torch.randn(n_slots, width) * 0.02)
        self.shapes = nn.Parameter(torch.randn(n_slots, self.N_SHAPES) * 0.3)
        self.latent = nn.Linear(n_latent, (1 + self.N_SHAPES) * width)
        self.layers = nn.Sequential(*[Attention(width) for _ in range(n_layers)])
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, n_codes * n_levels)

    def forward(self, latent: Tensor) -> Tensor:
        """`latent`, (n_loops, n_latent), is `Axes.latent` of a panel state, or of a loop."""
        n_loops, n_slots = latent.shape[0], self.shape[0]
        parts = self.latent(latent).view(n_loops, 1 + self.N_SHAPES, -1)
        x = self.position + parts[:, :1] + self.shapes @ parts[:, 1:]
        logits: Tensor = self.out(self.norm(self.layers(x)))
        return logits.view(n_loops, n_slots, *self.shape[1:])

    def classes(self, latent: Tensor) -> Tensor:
        """Choose the digits to play, as class numbers (n_loops, n_slots, n_codes)."""
        logits: Tensor = self(latent)
        return logits.argmax(dim=-1)


@dataclass(frozen=True)
class ComposerLoss:
    """The parts of the lower bound, each a scalar: nats per loop."""

    cross_entropy: Tensor
    divergence: Tensor


def composer_loss(logits: Tensor, classes: Tensor, reading: Posterior) -> ComposerLoss:
    """Evidence lower bound, in its two parts.

    Parameters
    ----------
    logits : (n_loops, n_slots, n_codes, n_levels)
    classes : (n_loops, n_slots, n_codes)
    """
    n_loops = logits.shape[0]
    logits = logits.float().flatten(0, 2)
    cross_entropy = F.cross_entropy(logits, classes.flatten(), reduction="sum") / n_loops
    mean, log_variance = reading.mean, reading.log_variance
    divergence = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(dim=1).mean()
    return ComposerLoss(cross_entropy, divergence)


def played(logits: Tensor) -> Tensor:
    """Choose the loudest levels, one-hot; gradients pass straight through to all of them."""
    probability = logits.float().softmax(dim=-1)
    hard = F.one_hot(logits.argmax(dim=-1), logits.shape[-1]).to(probability)
    return hard + probability - probability.detach()


def descriptor_loss(heard: Tensor, expected: Tensor, n_states: int) -> Tensor:
    """How far panel states sound from what their switches say, in mean squared deviations.

    Parameters
    ----------
    heard, expected : (n_loops, n_descriptors)
        Standardised; each run of `n_states` loops shares one variation.

    Notes
    -----
    What all states of a variation have in common is the variation's own affair, so long as it
    stays near the middle of the corpus; what differs between them is what the switches do.
    """
    missed = (heard - expected).view(-1, n_states, heard.shape[1])
    common = missed.mean(dim=1, keepdim=True)
    return (missed - common).square().mean() + 0.3 * common.square().mean()


@contextmanager
def frozen(*networks: nn.Module) -> Iterator[None]:
    """Let gradients pass through networks without reaching their weights."""
    weights = [p for network in networks for p in network.parameters() if p.requires_grad]
    for parameter in weights:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in weights:
            parameter.requires_grad_(True)
