"""Loss of the movement of frames, by its rate: other losses are least with too little movement.

Where a frame cannot be predicted, the mean of all possible frames has the least error, and means
are smooth: attacks too soft, partials too broad. So this compares not the movement itself but its
energy: that of log bands in octaves of the rate at which they change, over time and along
frequency. Every band is compared by itself, and along frequency every stretch of some bands of
every frame: were neighbours summed, one of them would learn to move for all. (With all bands of a
frame in one stretch, a band learnt to be 23 dB too loud, which gives a smooth frame the energy of a
sharp one.)
"""

import torch
from torch import Tensor

# Smaller movements, in squares of normalised log bands, do not count.
_FLOOR = 3e-3
# Bands of a stretch; half of it is shared with the next one.
_STRETCH_BANDS = 16


def modulation_loss(drawn: Tensor, target: Tensor) -> Tensor:
    """How far the energies of movement lie apart, in nepers of power.

    Parameters
    ----------
    drawn, target : (n_stretches, n_frames, n_bands)
        Stretches without a gap, normalised log bands.
    """
    # Fourier transforms need full precision.
    with torch.autocast(drawn.device.type, enabled=False):
        drawn, target = drawn.float(), target.float()
        over_time = _apart(drawn.transpose(1, 2), target.transpose(1, 2))
        return over_time + _apart(_stretches(drawn), _stretches(target))


def _apart(drawn: Tensor, target: Tensor) -> Tensor:
    return (_log_energies(drawn) - _log_energies(target)).abs().mean()


def _stretches(frames: Tensor) -> Tensor:
    """(n, n_frames, n_bands) → (n, n_frames * n_stretches, _STRETCH_BANDS or fewer)."""
    size = min(_STRETCH_BANDS, frames.shape[2])
    stretches: Tensor = frames.unfold(2, size, max(1, size // 2))
    return stretches.flatten(1, 2)


def _log_energies(lines: Tensor) -> Tensor:
    """(n, n_lines, n_points) → log energy of each octave, (n, n_lines, n_octaves)."""
    n_points = lines.shape[2]
    window = torch.hann_window(n_points, periodic=False, device=lines.device)
    waves = torch.fft.rfft((lines - lines.mean(dim=2, keepdim=True)) * window, dim=2)
    power = waves.abs().square() / n_points
    energies = [power[..., octave].sum(dim=2) for octave in _octaves(power.shape[2])]
    return (torch.stack(energies, dim=2) + _FLOOR).log()


def _octaves(n_waves: int) -> list[slice]:
    """Waves 1, 2 and 3, 4 to 7, …; the last octave takes what is left."""
    first = [2**octave for octave in range((n_waves - 2).bit_length())]
    return [slice(*edges) for edges in zip(first, [*first[1:], n_waves], strict=True)]
