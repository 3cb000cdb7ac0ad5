"""The slot codec: every 16th note becomes a few codes, from which frames are decoded.

A network that regresses frames from a small continuous latent returns the mean of all frames that
fit the latent, and a mean of chords is blurred. Discrete codes avoid that: a wrong code is a wrong
note, but no blur. The encoder reads the frames of each slot and rounds to `n_codes` codes of
`n_levels` (finite scalar quantisation, Mentzer et al. 2023). The decoder is in two parts, as the
contract requires: `ScoreDecoder` turns codes into one feature row per slot (once per flip), and
`FrameDecoder` draws a frame from one row and the phase inside its slot (every frame, no memory).

Where the corpus has versions of its compositions, the codes are those of the reference, in which
all factors are on, and the score decoder is given the factors of the version that is to be drawn.
Trained on true frames of versions, the encoder learns codes from which layers can be left out, and
what a factor does not stand for has the same codes, and so stays as it is.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.networks.frame_decoder import FrameDecoder


class CircularBlock(nn.Module):
    """A residual convolution over the slots of a loop, which wraps round.

    Shape: (n_loops, n_slots, width) → the same.
    """

    def __init__(
        self, width: int, *, kernel: int = 5, expand: int = 2, n_conditions: int = 0
    ) -> None:
        super().__init__()
        self.condition = nn.Linear(n_conditions, 2 * width) if n_conditions else None
        self.padding = kernel // 2
        self.depthwise = nn.Conv1d(width, width, kernel, groups=width)
        self.norm = nn.LayerNorm(width)
        self.widen = nn.Linear(width, expand * width)
        self.narrow = nn.Linear(expand * width, width)
        self.scale = nn.Parameter(torch.full((width,), 0.1))

    def forward(self, x: Tensor, conditions: Tensor | None = None) -> Tensor:
        """Mix neighbouring slots, then channels, modulated by conditions (n_loops, n_conditions).

        The modulation is FiLM (Perez et al. 2018).
        """
        wrapped = wrap(x.transpose(1, 2), self.padding)
        normed = self.norm(self.depthwise(wrapped).transpose(1, 2))
        if self.condition is not None and conditions is not None:
            gain, bias = self.condition(conditions)[:, None].chunk(2, dim=-1)
            normed = normed * (1 + gain) + bias
        change: Tensor = self.narrow(F.gelu(self.widen(normed)))
        return x + self.scale * change


def wrap(x: Tensor, n: int) -> Tensor:
    """Append the loop's end before its start and its start after its end, along the last axis."""
    return torch.cat([x[..., -n:], x, x[..., :n]], dim=-1)


def quantise(x: Tensor, n_levels: int) -> Tensor:
    """Round to whole codes -(n_levels // 2) … n_levels // 2; gradients pass straight through."""
    half = (n_levels - 1) / 2
    bounded = torch.tanh(x) * half * 0.999
    return bounded + (bounded.round() - bounded).detach()


class SlotEncoder(nn.Module):
    """Frames of a loop → codes of its slots.

    Shape: (n_loops, n_slots, frames_per_slot, n_bands), (n_loops,) → (n_loops, n_slots, n_codes),
    whole numbers around 0.
    """

    def __init__(
        self,
        *,
        n_bands: int,
        frames_per_slot: int,
        n_codes: int,
        n_levels: int,
        width: int,
        n_blocks: int = 2,
    ) -> None:
        super().__init__()
        self.n_levels = n_levels
        self.squeeze = nn.Linear(n_bands, width // 2)
        self.offset = nn.Linear(1, width // 2)
        self.gather = nn.Linear(frames_per_slot * (width // 2), width)
        self.blocks = nn.Sequential(*[CircularBlock(width) for _ in range(n_blocks)])
        # A key of saved weights: the name stays.
        self.digits = nn.Linear(width, n_codes)

    def forward(self, frames: Tensor, offset: Tensor) -> Tensor:
        """`frames` are normalised log bands, `offset` the grid's shift in parts of a frame."""
        shift = self.offset(offset[:, None])[:, None, None, :]
        x = F.gelu(self.squeeze(frames) + shift).flatten(2)
        return quantise(self.digits(self.blocks(self.gather(x))), self.n_levels)


class ScoreDecoder(nn.Module):
    """Codes → score, one finished feature row per slot.

    Shape: (n_loops, n_slots, n_codes) → (n_loops, n_slots, n_channels).
    """

    N_CONDITIONS = 32

    def __init__(
        self, *, n_codes: int, width: int, n_channels: int, n_factors: int = 0, n_blocks: int = 2
    ) -> None:
        super().__init__()
        self.conditions = nn.Linear(n_factors, self.N_CONDITIONS) if n_factors else None
        n_conditions = self.N_CONDITIONS if n_factors else 0
        self.embed = nn.Linear(n_codes, width)
        blocks = [CircularBlock(width, n_conditions=n_conditions) for _ in range(n_blocks)]
        self.blocks = nn.ModuleList(blocks)
        self.out = nn.Conv1d(width, n_channels, 3)

    def forward(self, codes: Tensor, factors: Tensor | None = None) -> Tensor:
        """Mix neighbouring slots into every row, so that a frame needs one row only.

        `factors`, (n_loops, n_factors), are 0 or 1; None for the reference. A decoder that was
        built without factors ignores them.
        """
        conditions = None
        if self.conditions is not None:
            if factors is None:
                factors = codes.new_ones(len(codes), self.conditions.in_features)
            conditions = F.gelu(self.conditions(2 * factors - 1))
        x = self.embed(codes)
        for block in self.blocks:
            x = block(x, conditions)
        rows: Tensor = self.out(wrap(x.transpose(1, 2), 1))
        return rows.transpose(1, 2)


class Codec(nn.Module):
    """Encoder and the two halves of the decoder, with the normalisation they share."""

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        *,
        n_bands: int,
        frames_per_slot: int,
        n_codes: int,
        n_levels: int,
        width: int,
        n_channels: int,
        hidden: int,
        n_guided: int = 0,
        advance_hidden: int = 1,
        encoder_blocks: int = 2,
        n_factors: int = 0,
    ) -> None:
        super().__init__()
        self.n_factors = n_factors
        self.frames_per_slot = frames_per_slot
        self.encoder = SlotEncoder(
            n_bands=n_bands,
            frames_per_slot=frames_per_slot,
            n_codes=n_codes,
            n_levels=n_levels,
            width=width,
            n_blocks=encoder_blocks,
        )
        self.writer = ScoreDecoder(
            n_codes=n_codes, width=width, n_channels=n_channels, n_factors=n_factors
        )
        self.renderer = FrameDecoder(
            n_channels=n_channels,
            hidden=hidden,
            n_bands=n_bands,
            n_guided=n_guided,
            advance_hidden=advance_hidden,
        )
        self.register_buffer("mean", torch.zeros(n_bands))
        self.register_buffer("std", torch.ones(()))

    def normalise(self, log_bands: Tensor) -> Tensor:
        """Log bands → zero mean per band, unit spread overall."""
        return (log_bands - self.mean) / self.std

    def encode(self, log_bands: Tensor, offset: Tensor) -> Tensor:
        """(n_loops, n_frames, n_bands), (n_loops,) → codes (n_loops, n_slots, n_codes)."""
        n_loops, _, n_bands = log_bands.shape
        slots = self.normalise(log_bands).view(n_loops, -1, self.frames_per_slot, n_bands)
        codes: Tensor = self.encoder(slots, offset)
        return codes

    def render(self, rows: Tensor, phase: Tensor) -> Tensor:
        """(n_frames, n_channels), (n_frames,) → log bands (n_frames, n_bands)."""
        bands: Tensor = self.renderer(rows, phase) * self.std + self.mean
        return bands

    def decode(
        self,
        codes: Tensor,
        offset: Tensor,
        frames_per_slot: int | None = None,
        *,
        factors: Tensor | None = None,
    ) -> Tensor:
        """Draw whole loops, on the grid of the analysis or on a coarser one.

        (n_loops, n_slots, n_codes), (n_loops,) → log bands (n_loops, n_frames, n_bands).
        """
        per_slot = frames_per_slot or self.frames_per_slot
        n_loops, n_slots, _ = codes.shape
        rows = self.writer(codes, factors).repeat_interleave(per_slot, dim=1)
        frame = torch.arange(per_slot, device=offset.device)
        phase = ((frame + offset[:, None]) / per_slot).repeat(1, n_slots)
        flat = self.render(rows.flatten(0, 1), phase.flatten())
        return flat.view(n_loops, n_slots * per_slot, -1)


def codec_loss(drawn: Tensor, target: Tensor) -> Tensor:
    """Distance of drawn slots from true ones, in normalised log bands.

    Parameters
    ----------
    drawn, target : (n_slots, frames_per_slot, n_bands)

    Notes
    -----
    Bands above the mean weigh three times the others, or the noise floor would dominate the loss.
    The differences in time and frequency keep attacks and partials, which plain L1 smooths. The
    mean over a slot keeps the level of every band, which the sum of movements does not need.
    """
    weight = 1 + 2 * (target > 0).to(drawn)
    level = ((drawn - target).abs() * weight).mean()
    in_time = (drawn.diff(dim=1) - target.diff(dim=1)).abs().mean()
    in_frequency = (drawn.diff(dim=2) - target.diff(dim=2)).abs().mean()
    over_slot = (drawn - target).mean(dim=1).abs().mean()
    return level + 0.5 * in_time + 0.5 * in_frequency + over_slot


def advance_loss(drawn: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Distance of drawn phase advances from true ones.

    Parameters
    ----------
    drawn : (n_frames, 2 * n_guided)
        Of `PhaseAdvanceHead`.
    target : (n_frames, n_guided), int8
        In 1/256 of a turn.
    weight : (n_frames, n_guided)

    Notes
    -----
    The squared distance is least where the length of a vector is how certain its direction is. The
    cosine is added because the gradient of the direction vanishes with the length.
    """
    angle = target.float() * (2 * math.pi / 256)
    real, imaginary = drawn.float().chunk(2, dim=1)
    along = real * angle.cos() + imaginary * angle.sin()
    squared_length = real.square() + imaginary.square()
    distance = 1 + squared_length - 2 * along
    turned = 1 - along / (squared_length + 1e-6).sqrt()
    return (weight * (distance + turned)).mean()


def laplace_nll(log_spread: Tensor, error: Tensor) -> Tensor:
    """Negative log-likelihood of errors under a Laplace distribution, in nats without its constant.

    Parameters
    ----------
    log_spread, error : any shape, the same
        `error` is the error of drawn bands.
    """
    return (error.detach().abs() * (-log_spread).exp() + log_spread).mean()
