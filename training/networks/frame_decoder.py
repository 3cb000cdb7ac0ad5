"""The frame decoder: one score row and the position in its slot → one frame.

Frames have no memory and do not see each other, so any of them can be drawn. For the lowest bins
the decoder also draws the phase advance: how far the phase of each moves within a hop. Magnitudes
with the usual errors do not tell the frequency of a bass note; its phase advance does.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


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
        """Draw frames, each from its own row, without their phase advance."""
        return self._draw(rows, phase, self.predict(rows, phase, is_guided=False))

    def draw(self, rows: Tensor, phase: Tensor) -> tuple[Tensor, Tensor]:
        """Draw frames and the phase advance of their lowest bins.

        (n_frames, n_channels), (n_frames,) → (n_frames, n_bands), (n_frames, 2 * n_guided)
        """
        drawn = self.predict(rows, phase)
        return self._draw(rows, phase, drawn), drawn.advance

    def _draw(self, rows: Tensor, phase: Tensor, drawn: "Prediction") -> Tensor:
        texture = self.grain(rows, phase)
        return self.add_noise_texture(drawn.middle, drawn.log_spread, texture)

    def add_noise_texture(self, middle: Tensor, log_spread: Tensor, texture: Tensor) -> Tensor:
        """Add texture where bands are uncertain and hold no partial; all (n_frames, n_bands)."""
        amount = (self.TEXTURE_SHARE * log_spread.exp()).clamp_max(self.MAX_TEXTURE)
        noisy = 1 - (prominence(middle) / self.PARTIAL).clamp(0, 1)
        textured: Tensor = middle + amount * noisy * texture
        return textured

    def predict(self, rows: Tensor, phase: Tensor, *, is_guided: bool = True) -> "Prediction":
        """Predict what a frame consists of, each from its own row; unguided without advances."""
        features = self.features(phase)
        x = rows
        for block in self.blocks:
            x = block(x, features)
        normed: Tensor = self.norm(x)
        # No gradient from the spread to the blocks: else they would explain errors as noise.
        advance = rows[:, :0]
        if self.advance is not None and is_guided:
            advance = self.advance(x, features)
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
        if not len(self.share):
            return bins
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
