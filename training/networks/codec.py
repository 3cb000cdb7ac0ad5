"""The slot codec: every 16th note becomes a few codes, from which frames are decoded.

A network that regresses frames from a small continuous latent returns the mean of all frames that
fit the latent, and a mean of chords is blurred. Discrete codes avoid that: a wrong code is a wrong
note, but no blur. The encoder reads the frames of each slot and rounds to `n_codes` codes of
`n_levels` (finite scalar quantisation, Mentzer et al. 2023). The decoder is in two parts, as the
contract requires: `ScoreDecoder` turns codes into one feature row per slot (once per flip), and
`FrameDecoder` draws a frame from one row and the phase inside its slot (every frame, no memory),
and for its lowest bins the phase advance: how far the phase of each moves within a hop. Magnitudes
with the usual errors do not tell the frequency of a bass note; its phase advance does.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class CircularBlock(nn.Module):
    """A residual convolution over the slots of a loop, which wraps round.

    Shape: (n_loops, n_slots, width) → the same.
    """

    def __init__(self, width: int, *, kernel: int = 5, expand: int = 2) -> None:
        super().__init__()
        self.padding = kernel // 2
        self.depthwise = nn.Conv1d(width, width, kernel, groups=width)
        self.norm = nn.LayerNorm(width)
        self.widen = nn.Linear(width, expand * width)
        self.narrow = nn.Linear(expand * width, width)
        self.scale = nn.Parameter(torch.full((width,), 0.1))

    def forward(self, x: Tensor) -> Tensor:
        """Mix neighbouring slots, then channels."""
        wrapped = wrap(x.transpose(1, 2), self.padding)
        mixed = self.depthwise(wrapped).transpose(1, 2)
        change: Tensor = self.narrow(F.gelu(self.widen(self.norm(mixed))))
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
        self, *, n_bands: int, frames_per_slot: int, n_codes: int, n_levels: int, width: int
    ) -> None:
        super().__init__()
        self.n_levels = n_levels
        self.squeeze = nn.Linear(n_bands, width // 2)
        self.offset = nn.Linear(1, width // 2)
        self.gather = nn.Linear(frames_per_slot * (width // 2), width)
        self.blocks = nn.Sequential(CircularBlock(width), CircularBlock(width))
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

    def __init__(self, *, n_codes: int, width: int, n_channels: int, n_blocks: int = 2) -> None:
        super().__init__()
        self.embed = nn.Linear(n_codes, width)
        self.blocks = nn.Sequential(*[CircularBlock(width) for _ in range(n_blocks)])
        self.out = nn.Conv1d(width, n_channels, 3)

    def forward(self, codes: Tensor) -> Tensor:
        """Mix neighbouring slots into every row, so that a frame needs one row only."""
        x = self.blocks(self.embed(codes))
        rows: Tensor = self.out(wrap(x.transpose(1, 2), 1))
        return rows.transpose(1, 2)


class PhaseFeatures(nn.Module):
    """Position inside a slot, 0 to 1 → what a linear layer needs to make envelopes of it.

    Shape: (n_frames,) → (n_frames, 2 * n_waves + 1).
    """

    frequencies: Tensor
    N_WAVES = 10

    def __init__(self) -> None:
        super().__init__()
        waves = torch.tensor([1, 2, 3, 4, 5, 6, 8, 10, 12, 16], dtype=torch.float32)
        self.register_buffer("frequencies", math.pi * waves, persistent=False)

    def forward(self, phase: Tensor) -> Tensor:
        """Half waves over the slot."""
        angle = phase[:, None] * self.frequencies
        return torch.cat([phase[:, None], angle.sin(), angle.cos()], dim=1)


class PhaseBlock(nn.Module):
    """A residual layer over channels, modulated by the phase (FiLM, Perez et al. 2018)."""

    def __init__(self, width: int, hidden: int, n_features: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.film = nn.Linear(n_features, 2 * width)
        self.widen = nn.Linear(width, hidden)
        self.narrow = nn.Linear(hidden, width)

    def forward(self, x: Tensor, features: Tensor) -> Tensor:
        """(n_frames, width), (n_frames, n_features) → (n_frames, width)."""
        gain, bias = self.film(features).chunk(2, dim=-1)
        y = self.norm(x) * (1 + gain) + bias
        change: Tensor = self.narrow(F.gelu(self.widen(y)))
        return x + change


class NoiseTexture(nn.Module):
    """The texture of noise, as a function of score row and phase alone.

    Drums and reverberation are noise: their magnitudes scatter over frames and bands.
    The decoder cannot predict them and returns their median: smooth magnitudes, which phase
    reconstruction turns into clicks and a buzz. The texture adds a fixed scatter: two Gaussian
    fields, each a sum of random waves, make the log of a Rayleigh distribution.

    Shape: (n_frames, n_channels), (n_frames,) → (n_frames, n_bands), median 0, mean deviation 1.
    """

    frequencies: Tensor
    starts: Tensor
    mixture: Tensor
    N_WAVES = 64
    # Nothing in an STFT frame changes faster than its window lets it: cycles per 16th note.
    FASTEST = 7.5
    # Of the log of a Rayleigh distribution: its median, and the mean distance from there.
    _MEDIAN = 0.163
    _DEVIATION = 0.482

    def __init__(self, n_channels: int, n_bands: int) -> None:
        super().__init__()
        rng = torch.Generator().manual_seed(0)
        frequencies = 2 * math.pi * self.FASTEST * torch.rand(self.N_WAVES, generator=rng)
        starts = torch.randn(n_channels, self.N_WAVES, generator=rng)
        mixture = torch.randn(self.N_WAVES, 2, n_bands, generator=rng)
        # Neighbouring bins are correlated by a half, as under a Hann window.
        mixture = mixture + 0.5 * (mixture.roll(1, dims=2) + mixture.roll(-1, dims=2))
        mixture = mixture / mixture.square().sum(dim=0).div(2).sqrt()
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.register_buffer("starts", 8 * starts / math.sqrt(n_channels), persistent=False)
        self.register_buffer("mixture", mixture.flatten(1), persistent=False)

    def forward(self, rows: Tensor, phase: Tensor) -> Tensor:
        """Every row starts its waves elsewhere, so that no two slots have the same scatter."""
        # Of this sum's real and imaginary parts each has a power of 1.
        log_magnitude = self.log_rayleigh(rows, phase) + 0.5 * math.log(2)
        return (log_magnitude - self._MEDIAN) / self._DEVIATION

    def log_rayleigh(self, rows: Tensor, phase: Tensor) -> Tensor:
        """Log of magnitudes with a mean power of 1, (n_frames, n_bands)."""
        angle = phase[:, None] * self.frequencies + rows.detach() @ self.starts
        real, imaginary = (angle.sin() @ self.mixture).chunk(2, dim=1)
        log_magnitude: Tensor = 0.5 * (0.5 * (real**2 + imaginary**2 + 1e-3)).log()
        return log_magnitude


class FrameDecoder(nn.Module):
    """One score row and a phase → one frame; frames do not see each other.

    Shape: (n_frames, n_channels), (n_frames,) → (n_frames, n_bands), normalised log bands.
    """

    # Share of the predicted spread that is added as noise texture, and its maximum; and how far a
    # band must rise above the bands two away to be a partial and get none. Chosen by measurement:
    # more makes partials jitter, less leaves clicks.
    TEXTURE_SHARE = 0.4
    MAX_TEXTURE = 0.2
    PARTIAL = 1.0

    def __init__(
        self,
        *,
        n_channels: int,
        hidden: int,
        n_bands: int,
        n_guided: int = 0,
        advance_hidden: int = 1,
        n_blocks: int = 2,
    ) -> None:
        super().__init__()
        self.n_guided = n_guided
        self.features = PhaseFeatures()
        n_features = 2 * PhaseFeatures.N_WAVES + 1
        self.blocks = nn.ModuleList(
            [PhaseBlock(n_channels, hidden, n_features) for _ in range(n_blocks)]
        )
        self.norm = nn.LayerNorm(n_channels)
        self.out = nn.Linear(n_channels, n_bands)
        self.spread = nn.Linear(n_channels, n_bands)
        self.advance = None
        if n_guided:
            self.advance = PhaseAdvanceHead(
                n_channels=n_channels,
                hidden=advance_hidden,
                n_features=n_features,
                n_guided=n_guided,
            )
        # A name in exported graphs: it stays.
        self.grain = NoiseTexture(n_channels, n_bands)

    def forward(self, rows: Tensor, phase: Tensor) -> Tensor:
        """Draw frames, each from its own row."""
        return self.draw(rows, phase)[0]

    def draw(self, rows: Tensor, phase: Tensor) -> tuple[Tensor, Tensor]:
        """Draw frames and the phase advance of their lowest bins.

        (n_frames, n_channels), (n_frames,) → (n_frames, n_bands), (n_frames, 2 * n_guided)
        """
        drawn = self.predict(rows, phase)
        texture = self.grain(rows, phase)
        return self.add_noise_texture(drawn.middle, drawn.log_spread, texture), drawn.advance

    def add_noise_texture(self, middle: Tensor, log_spread: Tensor, texture: Tensor) -> Tensor:
        """Add texture where bands are uncertain and hold no partial; all (n_frames, n_bands)."""
        amount = (self.TEXTURE_SHARE * log_spread.exp()).clamp_max(self.MAX_TEXTURE)
        noisy = 1 - (prominence(middle) / self.PARTIAL).clamp(0, 1)
        textured: Tensor = middle + amount * noisy * texture
        return textured

    def predict(self, rows: Tensor, phase: Tensor) -> "Prediction":
        """Predict what a frame consists of, each from its own row."""
        features = self.features(phase)
        x = rows
        for block in self.blocks:
            x = block(x, features)
        normed: Tensor = self.norm(x)
        # No gradient from the spread to the blocks: else they would explain errors as noise.
        advance = rows[:, :0] if self.advance is None else self.advance(x, features)
        return Prediction(self.out(normed), self.spread(normed.detach()), advance)


@dataclass(frozen=True)
class Prediction:
    """What the frame decoder knows of some frames.

    Attributes
    ----------
    middle, log_spread : (n_frames, n_bands)
        Median of the bands, and the log of their mean absolute deviation from it.
    advance : (n_frames, 2 * n_guided)
        Phase advance of the lowest bins.
    """

    middle: Tensor
    log_spread: Tensor
    advance: Tensor


class PhaseAdvanceHead(nn.Module):
    """How far the phases of the lowest bins move within a hop, as vectors.

    The direction of a vector is the deviation from what the bin's centre frequency moves; its
    length, below 1, is how certain that is: the mean of unit vectors of all possible deviations.

    Shape: (n_frames, n_channels), (n_frames, n_features) → (n_frames, 2 * n_guided), real parts,
    then imaginary parts.
    """

    def __init__(self, *, n_channels: int, hidden: int, n_features: int, n_guided: int) -> None:
        super().__init__()
        self.block = PhaseBlock(n_channels, hidden, n_features)
        self.norm = nn.LayerNorm(n_channels)
        self.out = nn.Linear(n_channels, 2 * n_guided)

    def forward(self, x: Tensor, features: Tensor) -> Tensor:
        """`x` is what the blocks of the frame decoder make of the rows."""
        vectors = self.out(self.norm(self.block(x, features)))
        real, imaginary = vectors.float().chunk(2, dim=1)
        length = (1 + real.square() + imaginary.square()).sqrt()
        return torch.cat([real / length, imaginary / length], dim=1)


class BinScatter(nn.Module):
    """The scatter of noise over the bins that share a band, as a function of row and phase alone.

    A band knows the energy of its bins, not how it is distributed over them. In noise the
    magnitudes are those of a complex Gaussian field; equal ones sound like a buzz.

    Parameters
    ----------
    share : (n_bins,)
        Of the logarithm of the scatter; 0 leaves a bin as it is.
    floor : float
        The magnitude that log magnitudes contain in addition.
    """

    share: Tensor

    def __init__(self, n_channels: int, share: Tensor, floor: float) -> None:
        super().__init__()
        self.first = int(share.nonzero()[0]) if share.any() else len(share)
        self.floor = floor
        self.register_buffer("share", share[self.first :], persistent=False)
        self.grain = NoiseTexture(n_channels, len(self.share))

    def forward(self, bins: Tensor, rows: Tensor, phase: Tensor) -> Tensor:
        """Scatter log magnitudes, (n_frames, n_bins) → the same."""
        steady, wide = bins[:, : self.first], bins[:, self.first :]
        gain = (self.share * self.grain.log_rayleigh(rows, phase)).exp()
        magnitude = (wide.exp() - self.floor).clamp_min(0.0) * gain
        return torch.cat([steady, (magnitude + self.floor).log()], dim=1)


def prominence(frames: Tensor) -> Tensor:
    """How far each band, or one of its neighbours, rises above the higher of those two away.

    Shape: (n_frames, n_bands) → the same.
    """
    beyond = F.pad(frames, (2, 2), mode="replicate")
    rise = F.pad(frames - torch.maximum(beyond[:, :-4], beyond[:, 4:]), (1, 1), mode="replicate")
    return torch.maximum(torch.maximum(rise[:, :-2], rise[:, 2:]), rise[:, 1:-1])


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
    ) -> None:
        super().__init__()
        self.frames_per_slot = frames_per_slot
        self.encoder = SlotEncoder(
            n_bands=n_bands,
            frames_per_slot=frames_per_slot,
            n_codes=n_codes,
            n_levels=n_levels,
            width=width,
        )
        self.writer = ScoreDecoder(n_codes=n_codes, width=width, n_channels=n_channels)
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

    def decode(self, codes: Tensor, offset: Tensor, frames_per_slot: int | None = None) -> Tensor:
        """Draw whole loops, on the grid of the analysis or on a coarser one.

        (n_loops, n_slots, n_codes), (n_loops,) → log bands (n_loops, n_frames, n_bands).
        """
        per_slot = frames_per_slot or self.frames_per_slot
        n_loops, n_slots, _ = codes.shape
        rows = self.writer(codes).repeat_interleave(per_slot, dim=1)
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
    The differences in time and frequency keep attacks and partials, which plain L1 smooths.
    """
    weight = 1 + 2 * (target > 0).to(drawn)
    level = ((drawn - target).abs() * weight).mean()
    in_time = (drawn.diff(dim=1) - target.diff(dim=1)).abs().mean()
    in_frequency = (drawn.diff(dim=2) - target.diff(dim=2)).abs().mean()
    return level + 0.5 * in_time + 0.5 * in_frequency


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
    return (weight * (distance + turned)).sum() / weight.sum().clamp_min(1e-6)


def laplace_nll(log_spread: Tensor, error: Tensor) -> Tensor:
    """Negative log-likelihood of errors under a Laplace distribution, in nats without its constant.

    Parameters
    ----------
    log_spread, error : any shape, the same
        `error` is the error of drawn bands.
    """
    return (error.detach().abs() * (-log_spread).exp() + log_spread).mean()
