"""The composer: switches and a little variation → the codes of every slot of a loop.

A variational autoencoder over the codec's codes, conditioned on where a loop lies along the axes
that the switches stand for (Kingma & Welling 2014; Sohn, Lee & Yan 2015). The posterior
encoder maps a loop's codes to a Gaussian over the variation, which is all that the axes leave open.
The composer predicts logits for every code, trained by cross-entropy; the largest logit is played.
The switches have states that no loop has: those are sampled in training, and their descriptors are
compared with what the switches stand for.
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
    """Gaussians over the variation, one for each loop.

    Attributes
    ----------
    mean, log_variance : (n_loops, n_inferred)
    """

    mean: Tensor
    log_variance: Tensor

    def sample(self, noise: Tensor) -> Tensor:
        """Draw a variation from the posterior with standard-normal `noise`."""
        return self.mean + noise * (0.5 * self.log_variance).exp()


class PosteriorEncoder(nn.Module):
    """Code indices (n_loops, n_slots, n_codes) → `Posterior`."""

    def __init__(
        self,
        *,
        n_slots: int,
        n_codes: int,
        n_levels: int,
        n_inferred: int,
        width: int,
        n_layers: int = 2,
    ) -> None:
        super().__init__()
        self.n_levels = n_levels
        self.embed = nn.Linear(n_codes * n_levels, width)
        self.position = nn.Parameter(torch.randn(n_slots, width) * 0.02)
        self.layers = nn.Sequential(*[Attention(width) for _ in range(n_layers)])
        self.out = nn.Linear(2 * width, 2 * n_inferred)

    def forward(self, code_indices: Tensor) -> Posterior:
        """Encode whole loops."""
        return self.encode(F.one_hot(code_indices, self.n_levels).float())

    def encode(self, one_hot: Tensor) -> Posterior:
        """Encode one-hot codes, (n_loops, n_slots, n_codes, n_levels)."""
        x = self.layers(self.embed(one_hot.flatten(2)) + self.position)
        pooled = torch.cat([x.mean(dim=1), x.amax(dim=1)], dim=1)
        mean, log_variance = self.out(pooled).float().chunk(2, dim=1)
        return Posterior(mean, log_variance.clamp(-8, 4))


class Composer(nn.Module):
    """A latent of switches and variation → logits (n_loops, n_slots, n_codes, n_levels).

    The latent enters as a sum over its parts, without a hidden layer, so that a switch adds the
    same vector whatever the others are, before attention mixes the slots.
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
        """`latent`, (n_loops, n_latent), is `Axes.latent` of a switch state, or of a loop."""
        n_loops, n_slots = latent.shape[0], self.shape[0]
        parts = self.latent(latent).view(n_loops, 1 + self.N_SHAPES, -1)
        x = self.position + parts[:, :1] + self.shapes @ parts[:, 1:]
        logits: Tensor = self.out(self.norm(self.layers(x)))
        return logits.view(n_loops, n_slots, *self.shape[1:])

    def code_indices(self, latent: Tensor) -> Tensor:
        """Choose the codes to play, as indices (n_loops, n_slots, n_codes)."""
        logits: Tensor = self(latent)
        return logits.argmax(dim=-1)


@dataclass(frozen=True)
class ComposerLoss:
    """The parts of the lower bound, each a scalar: nats per loop."""

    cross_entropy: Tensor
    divergence: Tensor


def composer_loss(logits: Tensor, code_indices: Tensor, posterior: Posterior) -> ComposerLoss:
    """Evidence lower bound, in its two parts.

    Parameters
    ----------
    logits : (n_loops, n_slots, n_codes, n_levels)
    code_indices : (n_loops, n_slots, n_codes)
    """
    n_loops = logits.shape[0]
    logits = logits.float().flatten(0, 2)
    cross_entropy = F.cross_entropy(logits, code_indices.flatten(), reduction="sum") / n_loops
    mean, log_variance = posterior.mean, posterior.log_variance
    divergence = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(dim=1).mean()
    return ComposerLoss(cross_entropy, divergence)


def straight_through_argmax(logits: Tensor) -> Tensor:
    """Return the most likely levels, one-hot, with the gradient of the softmax."""
    probability = logits.float().softmax(dim=-1)
    hard = F.one_hot(logits.argmax(dim=-1), logits.shape[-1]).to(probability)
    return hard + probability - probability.detach()


def descriptor_loss(described: Tensor, expected: Tensor, n_states: int) -> Tensor:
    """Mean squared difference between descriptors of states and those that the switches predict.

    Parameters
    ----------
    described, expected : (n_loops, n_descriptors)
        Standardised; each run of `n_states` loops shares one variation.

    Notes
    -----
    The error that all states of a variation share comes from the variation and weighs 0.3: it only
    has to stay near the centre of the corpus. The rest comes from the switches and weighs 1.
    """
    error = (described - expected).view(-1, n_states, described.shape[1])
    common = error.mean(dim=1, keepdim=True)
    return (error - common).square().mean() + 0.3 * common.square().mean()


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
