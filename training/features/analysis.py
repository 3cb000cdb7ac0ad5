"""From audio to the input of the networks: log-magnitude bands on a grid of positions in a loop.

A frame is an STFT frame whose window has its peak at a *position in beats*, so music of any tempo
lies on the same grid and no audio is stretched. Bins are grouped into bands
(`training.features.bands`) that keep their energy. The inverse is a fixed linear map that the
exported graph carries, and a scatter of the bins that share a band. Of the lowest bins the phase
advance is kept too: how far the phase of each moves within a hop.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from device.model.contract import SLOTS_PER_BEAT
from device.synthesis.windows import analysis_window, window_peak
from training.corpus.format import MARGIN
from training.features.bands import mel_centres, warped_centres

SCALES = ("shifted", "clipped")
# Of the scatter of Gaussian noise. True magnitudes of loops, through the bands and back, are 0.3
# standard deviations flatter than the loops with 1.
MOST_SCATTER = 0.9
# Of the magnitude: loud bins count more, and quiet partials still count.
ADVANCE_EXPONENT = 0.7


@dataclass(frozen=True)
class Analysis:
    """How audio becomes frames.

    Attributes
    ----------
    sample_rate : int
        Hz.
    n_fft, hop_length : int
        Samples. `hop_length` is the step of the device's synthesis; the analysis does not use it.
    floor : float
        STFT magnitude that is added before the log is taken, and subtracted after it was drawn: an
        error of the network in silence is then a small part of it.
    n_bands : int
    n_linear : int
        Of warped bands, so many are single bins, the lowest; 0 for other kinds.
    frames_per_slot : int
        Frames on the grid of one 16th note.
    bands : str
        Their kind, one of `training.features.bands.KINDS`.
    window : str
        One of `device.model.contract.WINDOWS`.
    scale : str
        "shifted": log of the bands' root mean square plus `floor`. "clipped", in runs of earlier
        versions: log of their mean magnitude, at least `floor`, which loses what is quiet.
    n_guided : int
        Bins, the lowest, whose phase advance is kept.
    """

    sample_rate: int = 22_050
    n_fft: int = 1_024
    hop_length: int = 256
    floor: float = 0.05
    n_bands: int = 192
    n_linear: int = 144
    frames_per_slot: int = 16
    bands: str = "warped"
    window: str = "hann"
    scale: str = "shifted"
    n_guided: int = 96

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Self:
        """Make an analysis from what `to_dict` returned, in this version or an earlier one."""
        return cls(**{"scale": "clipped", "n_guided": 0, **raw})

    @classmethod
    def shaped(
        cls, bands: str, n_fft: int, hop_length: int | None = None, window: str = "hann"
    ) -> Self:
        """Sizes that fit a window: the same Hz in every band, a quarter of it for the hop.

        Mel bands are an eighth of `n_fft`, the customary 128 of 1,024.
        """
        # Bands of a window of 1,024, and how many of them are single bins.
        sizes = {"warped": (192, 144), "mel": (128, 0)}
        n_bands, n_linear = (round(size * n_fft / 1_024) for size in sizes.get(bands, (0, 0)))
        return cls(
            n_fft=n_fft,
            hop_length=hop_length or n_fft // 4,
            n_bands=n_bands or n_fft // 2 + 1,
            n_linear=n_linear,
            bands=bands,
            window=window,
            # Beyond, the frame a hop earlier leaves the margin of a loop.
            n_guided=round(96 * n_fft / 1_024) if n_fft <= MARGIN else 0,
        )

    @property
    def log_floor(self) -> float:
        """Natural log of `floor`."""
        return math.log(self.floor)

    @property
    def n_bins(self) -> int:
        """Number of STFT bins."""
        return self.n_fft // 2 + 1

    @property
    def peak(self) -> int:
        """The sample of a frame that lies at its position."""
        return window_peak(self.window, self.n_fft)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able fields."""
        return asdict(self)

    @cached_property
    def band_centres(self) -> NDArray[np.float64]:
        """Centre of each band in bins, (n_bands,), rising from 0 to n_bins - 1."""
        if self.bands == "linear":
            return np.arange(self.n_bins, dtype=np.float64)
        if self.bands == "mel":
            return mel_centres(self.n_bands, self.n_bins, self.sample_rate)
        return warped_centres(self.n_bands, self.n_linear, self.n_bins)

    @cached_property
    def band_hertz(self) -> NDArray[np.float64]:
        """The same in Hz."""
        return self.band_centres * self.sample_rate / self.n_fft

    @cached_property
    def expansion(self) -> NDArray[np.float32]:
        """Bands to bins by interpolation between centres, (n_bins, n_bands); rows add up to 1."""
        bins = np.arange(self.n_bins)
        identity = np.eye(self.n_bands)
        rows = [np.interp(bins, self.band_centres, unit) for unit in identity]
        return np.stack(rows, axis=1).astype(np.float32)

    @cached_property
    def reduction(self) -> NDArray[np.float32]:
        """Bins to bands by the mean under the same triangles, (n_bands, n_bins)."""
        triangles = self.expansion.T
        return np.asarray(triangles / triangles.sum(axis=1, keepdims=True), dtype=np.float32)

    @cached_property
    def scatter(self) -> NDArray[np.float32]:
        """Share of the scatter of noise that bins get when they are drawn, 0 to 1, (n_bins,).

        Bins that are bands have theirs drawn by the network; bins that share a band have none.
        """
        widths = np.interp(
            np.arange(self.n_bins), self.band_centres, np.gradient(self.band_centres)
        )
        share = np.clip(widths - 1, 0, MOST_SCATTER) * (self.scale == "shifted")
        return np.asarray(share, dtype=np.float32)

    def log_bands(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        """Log-magnitude bands of un-windowed frames.

        Parameters
        ----------
        frames : (n_frames, n_fft)

        Returns
        -------
        (n_frames, n_bands), natural log, not below `log_floor`.
        """
        return self._log_bands(self._spectrum(frames))

    def log_bands_and_advance(
        self, frames: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
        """Log-magnitude bands, and the phase advance of the lowest bins.

        Parameters
        ----------
        frames : (n_frames, hop_length + n_fft)
            Un-windowed; each begins a hop before the frame to be analysed.

        Returns
        -------
        (n_frames, n_bands), natural log, not below `log_floor`.
        (n_frames, n_guided), in 1/256 of a turn: how far the phase of a bin moves from the frame a
        hop earlier, less what its centre frequency moves.
        """
        spectrum = self._spectrum(frames[:, self.hop_length :])
        before = self._spectrum(frames[:, : self.n_fft])[:, : self.n_guided]
        bins = torch.arange(self.n_guided)
        centre_turns = bins * self.hop_length % self.n_fft / self.n_fft
        turns = (spectrum[:, : self.n_guided] * before.conj()).angle() / (2 * math.pi)
        # A byte wraps round as an angle does.
        advance = ((turns - centre_turns) * 256).round().to(torch.int64).to(torch.int8)
        return self._log_bands(spectrum), advance.numpy()

    def _spectrum(self, frames: NDArray[np.float32]) -> Tensor:
        window = torch.from_numpy(analysis_window(self.window, self.n_fft)).to(torch.float32)
        spectrum: Tensor = torch.fft.rfft(torch.from_numpy(frames) * window)
        return spectrum

    def _log_bands(self, spectrum: Tensor) -> NDArray[np.float32]:
        reduction = torch.from_numpy(self.reduction).T
        if self.scale == "shifted":
            bands = (spectrum.abs().square() @ reduction).sqrt() + self.floor
        else:
            bands = (spectrum.abs() @ reduction).clamp_min(self.floor)
        log_bands: NDArray[np.float32] = bands.log().numpy()
        return log_bands

    def magnitude(self, log_bands: Tensor) -> Tensor:
        """Expand to bins, without their scatter: (..., n_bands) → (..., n_bins)."""
        expansion = torch.from_numpy(self.expansion).to(log_bands)
        return ((log_bands @ expansion.T).exp() - self.floor).clamp_min(0.0)

    def advance_weight(self, log_bands: Tensor) -> Tensor:
        """How much the phase advance of a bin counts: what sounds decides.

        (n_frames, n_bands) → (n_frames, n_guided)
        """
        magnitude = self.magnitude(log_bands)[:, : self.n_guided] ** ADVANCE_EXPONENT
        return magnitude / (magnitude.mean(dim=1, keepdim=True) + self.floor)

    def grid(self, n_slots: int, offset: float = 0.0) -> NDArray[np.float64]:
        """Positions in beats of a loop's frames, (n_slots * frames_per_slot,).

        `offset` in [0, 1) shifts the grid by that part of its own step.
        """
        step = 1.0 / (SLOTS_PER_BEAT * self.frames_per_slot)
        frames = np.arange(n_slots * self.frames_per_slot, dtype=np.float64)
        return (frames + offset) * step
