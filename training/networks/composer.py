"""The composer: switches and a little variation → the codes of every slot of a loop.

A variational autoencoder over the codec's codes, conditioned on where a loop lies along the axes
that the switches stand for (Kingma & Welling 2014; Sohn, Lee & Yan 2015). The posterior
encoder maps a loop's codes and its position to a Gaussian over the variation, which is all that the
axes leave open.
The composer predicts logits for every code, and the most likely are played. With more rounds it is
trained by cross-entropy on loops of which a random part of the codes is known (masked prediction,
as in MaskGIT, Chang et al. 2022), and each round chooses a part of the codes, by logits that depend
on those chosen before. With a temperature the choice is random by as much as the logits leave open,
with noise that is a function of the variation: the same switches and variation are the same music.
The switches have states that no loop has: those are sampled in training, and their descriptors are
compared with what the switches stand for, apart from which they are to sound as their variation's
loop does.

Where the corpus has versions of its compositions, the composer does not know the switches: it
composes the reference, in which all factors are on, and the codec's score decoder leaves out what
is off.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from device.model.contract import SLOTS_PER_BEAT
from training.networks.earlier_weights import accept_without

N_HEADS = 4
SLOTS_PER_BAR = 4 * SLOTS_PER_BEAT
# Of so many loops, whose positions are independent, a regression finds half of what follows.
_RIDGE_LOOPS = 30


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
    """Codes of loops and their positions along the axes → `Posterior`.

    Parameters
    ----------
    n_known : int
        Numbers of a position; 0 where none is known.

    Attributes
    ----------
    slopes : (n_known, n_inferred)
        What is subtracted from the mean for each unit of a position; see `separate_position`.
    """

    slopes: Tensor

    def __init__(
        self,
        *,
        n_slots: int,
        n_codes: int,
        n_levels: int,
        n_inferred: int,
        n_known: int,
        width: int,
        n_layers: int = 2,
    ) -> None:
        super().__init__()
        self.n_levels = n_levels
        self.embed = nn.Linear(n_codes * n_levels, width)
        self.position = nn.Parameter(torch.randn(n_slots, width) * 0.02)
        self.layers = nn.Sequential(*[Attention(width) for _ in range(n_layers)])
        self.out = nn.Linear(2 * width, 2 * n_inferred)
        self.register_buffer("slopes", torch.zeros(n_known, n_inferred))
        # Earlier versions subtracted nothing.
        accept_without(self, "slopes")

    def forward(self, code_indices: Tensor, position: Tensor) -> Posterior:
        """Encode whole loops; `position` is (n_loops, n_known)."""
        return self.encode(F.one_hot(code_indices, self.n_levels).float(), position)

    def encode(self, one_hot: Tensor, position: Tensor) -> Posterior:
        """Encode one-hot codes, (n_loops, n_slots, n_codes, n_levels)."""
        x = self.layers(self.embed(one_hot.flatten(2)) + self.position)
        pooled = torch.cat([x.mean(dim=1), x.amax(dim=1)], dim=1)
        mean, log_variance = self.out(pooled).float().chunk(2, dim=1)
        return Posterior(mean - position @ self.slopes, log_variance.clamp(-8, 4))


class Composer(nn.Module):
    """A latent of switches and variation → logits (n_loops, n_slots, n_codes, n_levels).

    The latent enters as a sum over its parts, without a hidden layer, so that a switch adds the
    same vector whatever the others are, before attention mixes the slots.

    Parameters
    ----------
    n_factors : int
        So many numbers of the latent, its first, are ignored.
    """

    rounds: Tensor
    N_SHAPES = 8

    def __init__(
        self,
        *,
        n_slots: int,
        n_codes: int,
        n_levels: int,
        n_latent: int,
        n_variation: int,
        width: int,
        n_layers: int,
        n_rounds: int,
        temperature: float,
        n_factors: int = 0,
    ) -> None:
        super().__init__()
        self.shape = (n_slots, n_codes, n_levels)
        self.n_factors = n_factors
        self.n_rounds = n_rounds
        self.temperature = temperature
        self.known = nn.Linear(n_codes * n_levels, width) if n_rounds > 1 else None
        self.noise = GumbelNoise(n_variation, n_slots, n_codes, n_levels)
        self.register_buffer(
            "rounds", rounds_of_codes(n_slots, n_codes, n_rounds), persistent=False
        )
        self.position = nn.Parameter(torch.randn(n_slots, width) * 0.02)
        self.shapes = nn.Parameter(torch.randn(n_slots, self.N_SHAPES) * 0.3)
        self.latent = nn.Linear(n_latent - n_factors, (1 + self.N_SHAPES) * width)
        self.layers = nn.Sequential(*[Attention(width) for _ in range(n_layers)])
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, n_codes * n_levels)

    def forward(self, latent: Tensor, known: Tensor | None = None) -> Tensor:
        """`latent`, (n_loops, n_latent), is `Axes.latent` of a switch state, or of a loop.

        `known`, (n_loops, n_slots, n_codes, n_levels), has the known codes one-hot, others zero.
        """
        x = self._embed(latent)
        if self.known is not None and known is not None:
            x = x + self.known(known.flatten(2))
        return self._logits(x)

    def compose(self, latent: Tensor, variation: Tensor) -> Tensor:
        """Choose the codes to play, one-hot, with the gradient of the softmax.

        (n_loops, n_latent), (n_loops, n_variation) → (n_loops, n_slots, n_codes, n_levels)
        """
        *_, (chosen, _, _) = self.choices(latent, variation)
        return chosen

    def choices(self, latent: Tensor, variation: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """After each round the codes chosen so far, what by, and which of them in that round."""
        x = self._embed(latent)
        noise = self.temperature * self.noise(variation) if self.temperature else 0.0
        chosen = latent.new_zeros(len(latent), *self.shape)
        for number in range(self.n_rounds):
            # Gradients reach the latent in every round, so none are needed through earlier choices.
            known = 0.0 if self.known is None else self.known(chosen.detach().flatten(2))
            rated = self._logits(x + known) + noise
            now = self.rounds.eq(number)
            chosen = chosen + straight_through_argmax(rated) * now[..., None]
            yield chosen, rated, now

    def code_indices(self, latent: Tensor, variation: Tensor) -> Tensor:
        """Choose the codes to play, as indices (n_loops, n_slots, n_codes)."""
        return self.compose(latent, variation).argmax(dim=-1)

    def margin(self, latent: Tensor, variation: Tensor) -> float:
        """How clearly the closest choice was made."""
        margins = []
        for _, rated, now in self.choices(latent, variation):
            best = rated.topk(2, dim=-1).values[:, now]
            margins.append((best[..., 0] - best[..., 1]).min())
        return float(torch.stack(margins).min())

    def _embed(self, latent: Tensor) -> Tensor:
        parts = self.latent(latent[:, self.n_factors :]).view(len(latent), 1 + self.N_SHAPES, -1)
        x: Tensor = self.position + parts[:, :1] + self.shapes @ parts[:, 1:]
        return x

    def _logits(self, x: Tensor) -> Tensor:
        logits: Tensor = self.out(self.norm(self.layers(x)))
        return logits.view(len(x), *self.shape)


@torch.no_grad()
def separate_position(
    composer: Composer, posterior_encoder: PosteriorEncoder, position: Tensor, inferred: Tensor
) -> None:
    """Take out of variations what follows from positions, and let the composer add it.

    Switches and variations are chosen independently of each other: a variation that followed from
    the position of its loop would contradict most states. What a loop is composed as stays the
    same.

    Parameters
    ----------
    position : (n_loops, n_known)
    inferred : (n_loops, n_inferred)
        Means that the posterior encoder gives these loops.

    Notes
    -----
    A ridge regression; of a small corpus it finds less, for there every loop would follow from its
    position.
    """
    known, moved = position - position.mean(dim=0), inferred - inferred.mean(dim=0)
    ridge = _RIDGE_LOOPS * torch.eye(known.shape[1]).to(known)
    slopes = torch.linalg.solve(known.T @ known + ridge, known.T @ moved)
    posterior_encoder.slopes += slopes
    weight, n_known = composer.latent.weight, len(slopes)
    weight[:, :n_known] += weight[:, n_known:] @ slopes.T


def rounds_of_codes(n_slots: int, n_codes: int, n_rounds: int) -> Tensor:
    """The round in which each code is chosen, (n_slots, n_codes): few at first, then more."""
    order = torch.randperm(n_slots * n_codes, generator=torch.Generator().manual_seed(0))
    # The more is known, the more can be chosen at once.
    shares = torch.arange(1, n_rounds + 1) / n_rounds
    ends = (order.numel() * shares.square()).round()
    ends[-1] = order.numel()
    rounds = torch.bucketize(order.float(), ends, right=True)
    return rounds.view(n_slots, n_codes)


class GumbelNoise(nn.Module):
    """Noise that is added to logits, so that the largest is a random choice (Gumbel 1954).

    Shape: (n_loops, n_variation) → (n_loops, n_slots, n_codes, n_levels). It is a function of the
    variation's direction, changes little where that does, and is the same in every bar.
    """

    to_slots: Tensor
    to_levels: Tensor
    WIDTH = 24

    def __init__(self, n_variation: int, n_slots: int, n_codes: int, n_levels: int) -> None:
        super().__init__()
        rng = torch.Generator().manual_seed(0)
        self.n_slots, self.levels = n_slots, (n_codes, n_levels)
        n_different = min(n_slots, SLOTS_PER_BAR)
        to_slots = torch.randn(n_variation, n_different * self.WIDTH, generator=rng)
        to_levels = torch.randn(self.WIDTH, n_codes * n_levels, generator=rng)
        self.register_buffer("to_slots", to_slots, persistent=False)
        self.register_buffer("to_levels", to_levels, persistent=False)

    def forward(self, variation: Tensor) -> Tensor:
        """The projections are random, so that those of one variation are as good as independent."""
        # In half precision the quantiles of rare noise are 0 and 1.
        with torch.autocast(variation.device.type, enabled=False):
            return self._noise(variation.float())

    def _noise(self, variation: Tensor) -> Tensor:
        slots = (variation @ self.to_slots).view(len(variation), -1, self.WIDTH)
        slots = slots / (slots.square().sum(dim=2, keepdim=True) + 1e-6).sqrt()
        quantile = 0.5 * (1 + torch.erf(slots @ self.to_levels / math.sqrt(2)))
        noise = -(-quantile.clamp(1e-4, 1 - 1e-4).log()).log()
        repeats = -(-self.n_slots // noise.shape[1])
        of_slots = noise.repeat(1, repeats, 1)[:, : self.n_slots]
        return of_slots.view(len(variation), self.n_slots, *self.levels)


@dataclass(frozen=True)
class ComposerLoss:
    """The parts of the lower bound, each a scalar: nats per loop."""

    cross_entropy: Tensor
    divergence: Tensor


def composer_loss(
    logits: Tensor, code_indices: Tensor, posterior: Posterior, unknown: Tensor | None = None
) -> ComposerLoss:
    """Evidence lower bound, in its two parts.

    Parameters
    ----------
    logits : (n_loops, n_slots, n_codes, n_levels)
    code_indices : (n_loops, n_slots, n_codes)
    unknown : (n_loops, n_slots, n_codes), bool, or None
        Which codes are to be predicted; their cross-entropy counts for all. None for all.
    """
    logits = logits.float().flatten(0, 2)
    nats = F.cross_entropy(logits, code_indices.flatten(), reduction="none").view(
        code_indices.shape
    )
    if unknown is not None:
        n_unknown = unknown.sum(dim=(1, 2), keepdim=True).clamp_min(1)
        nats = nats * unknown * (code_indices[0].numel() / n_unknown)
    cross_entropy = nats.sum(dim=(1, 2)).mean()
    mean, log_variance = posterior.mean, posterior.log_variance
    divergence = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(dim=1).mean()
    return ComposerLoss(cross_entropy, divergence)


def straight_through_argmax(logits: Tensor) -> Tensor:
    """Return the most likely levels, one-hot, with the gradient of the softmax."""
    probability = logits.float().softmax(dim=-1)
    hard = F.one_hot(logits.argmax(dim=-1), logits.shape[-1]).to(probability)
    return hard + probability - probability.detach()


def disagreement(states: Tensor, n_states: int, reference: Tensor | None = None) -> Tensor:
    """One less the mean agreement of states of one variation: a flip is to keep what it can.

    Parameters
    ----------
    states : (n_loops, n_times, n_numbers)
        Unit vectors, whose product is their agreement: `pitch_classes`, `onset_patterns`, or
        one-hot codes. Each run of `n_states` loops shares one variation.
    reference : (n_loops / n_states, n_times, n_numbers)
        What the states of each variation are to agree with. None: with each other; then a single
        state agrees with no other, and the loss is 1, without a gradient.
    """
    states = states.float().view(-1, n_states, *states.shape[1:])
    if reference is not None:
        return 1 - (states * reference[:, None]).sum(dim=-1).mean()
    # The mean over all pairs of unit vectors follows from the length of their sum.
    squared = states.sum(dim=1).square().sum(dim=-1)
    agreement = (squared - n_states) / max(n_states * (n_states - 1), 1)
    return 1 - agreement.mean()


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
