"""How far a rebuilt sound is from the one it was made of.

A magnitude spectrogram has no phase, so its inversion invents one, and comparing sample by sample
mostly measures that invention. Three measures are used instead: does the sound have the target
magnitudes (spectral convergence in the method's own STFT), does it have them in an STFT it was not
made in (the same, foreign), and how does it differ in decibels on a perceptual frequency scale
(log-spectral distance)? The first alone misleads: a window too short to hold a pitch scores well
there and sounds like nothing.

All signals are mono and aligned with each other; `undelayed` and `streamed` bring them there.
"""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from device.model.contract import WINDOWS
from device.synthesis.windows import analysis_window
from training.metrics.mel import mel_filter_bank

Samples = NDArray[np.float32]
Magnitudes = NDArray[np.float32]
Window = str | tuple[str, float]

# The log-spectral distance's frames: 46 ms at 22,050 Hz, and about as long at other rates.
_FRAME_AT_22_KHZ = 1024
_N_MELS = 80
# Bands 80 dB below the loudest of the reference count as silence.
_FLOOR = 1e-8
# A transform takes this many samples at once, so that an hour of music needs no memory to speak of.
_BLOCK_SAMPLES = 2**20


class Inversion(Protocol):
    """What streams magnitudes into samples, such as `device.synthesis.griffin_lim.GriffinLim`."""

    n_fft: int
    hop_length: int
    look_ahead: int

    def process(self, magnitudes: Magnitudes) -> Samples:
        """(n_frames, n_bins) → (n_frames * hop_length,)."""
        ...


# -- the grid of frames ---------------------------------------------------------------------


def stft_magnitude(
    samples: Samples, n_fft: int, hop_length: int, *, window: Window = "hann"
) -> Magnitudes:
    """STFT magnitudes of a signal on the grid that all distances share.

    Parameters
    ----------
    samples : (n_samples,)
    window : str or tuple
        One of `device.model.contract.WINDOWS`, or a name known to `scipy.signal.get_window`, with
        its parameter if it has one; periodic.

    Returns
    -------
    (n_frames, n_bins), float32, unnormalised. The signal is padded with `n_fft` zeros on either
    side, so that every sample lies under all its frames: frame t is centred at
    ``t * hop_length - n_fft / 2``.
    """
    return np.concatenate(list(_blocks(samples, n_fft, hop_length, window)))


def undelayed(samples: Samples, delay: int, n_samples: int) -> Samples:
    """Remove the delay of a method, and its output after the end.

    Parameters
    ----------
    delay : int
        Samples by which the signal lags behind the reference; not negative.
    n_samples : int
        Length of the reference; what is missing at the end is silence.
    """
    inside = samples[delay : delay + n_samples]
    return np.pad(inside, (0, n_samples - len(inside)))


def streamed(inversion: Inversion, magnitude: Magnitudes, n_samples: int) -> Samples:
    """Run a streaming inversion over the grid of `stft_magnitude`, and align its output.

    Parameters
    ----------
    magnitude : (n_frames, n_bins)
        Of a signal of `n_samples`; silent frames follow it until the last sample has left.
    """
    waiting = np.zeros((inversion.look_ahead, magnitude.shape[1]), np.float32)
    late = inversion.process(np.concatenate([magnitude.astype(np.float32, copy=False), waiting]))
    # Frame 0 is centred half a window before the signal, and leaves half a window later again.
    return undelayed(late, inversion.n_fft + inversion.look_ahead * inversion.hop_length, n_samples)


# -- distances ------------------------------------------------------------------------------


def mean_squared_error(reference: Samples, estimate: Samples) -> float:
    """Compare sample by sample; of little use where the phase was invented.

    Parameters
    ----------
    reference, estimate : (n_samples,)
    """
    _check(reference, estimate)
    return float(np.mean(np.square(reference - estimate, dtype=np.float64)))


def spectral_convergence_db(
    reference: Samples, estimate: Samples, n_fft: int, hop_length: int, *, window: Window = "hann"
) -> float:
    """Error of the STFT magnitudes relative to those of the reference, in dB; lower is better.

    20 log10(‖|X| - |Y|‖ / ‖|X|‖), Frobenius norms. Give the method's own `n_fft`, `hop_length` and
    `window` for what its iterations work on, and 2048, 512 for how that holds elsewhere.

    Parameters
    ----------
    reference, estimate : (n_samples,)

    Raises
    ------
    ValueError
        If the lengths differ or the reference is silent.

    Notes
    -----
    Sturmel & Daudet 2011 use it under this name; it is the square root of the measure in Griffin &
    Lim 1984.
    """
    _check(reference, estimate)
    targets = _blocks(reference, n_fft, hop_length, window)
    return _convergence_db(targets, _blocks(estimate, n_fft, hop_length, window))


def spectral_convergence_to_db(
    target: Magnitudes, estimate: Samples, hop_length: int, *, window: Window = "hann"
) -> float:
    """Spectral convergence to target magnitudes, which no signal need have.

    Parameters
    ----------
    target : (n_frames, n_bins)
        On the grid of `stft_magnitude`.
    estimate : (n_samples,)

    Raises
    ------
    ValueError
        If the target is not on the estimate's grid, or is silent.
    """
    n_fft = 2 * (target.shape[1] - 1)
    n_frames = 1 + (len(estimate) + n_fft) // hop_length
    if len(target) != n_frames:
        raise ValueError(f"target has {len(target)} frames, expected {n_frames} as the estimate")
    estimates = _blocks(estimate, n_fft, hop_length, window)
    per_block = _frames_per_block(n_fft)
    targets = (target[start : start + per_block] for start in range(0, n_frames, per_block))
    return _convergence_db(targets, estimates)


def log_spectral_distance_db(reference: Samples, estimate: Samples, sample_rate: int) -> float:
    """Difference in dB over 80 mel bands: root mean square over bands, mean over frames.

    Hann frames of 46 ms, a quarter of that apart (1024/256 at 22,050 Hz), power in Slaney mel
    bands up to half the sample rate; what lies 80 dB below the loudest band of the reference
    counts as that.

    Parameters
    ----------
    reference, estimate : (n_samples,)
    sample_rate : int
        Hz.

    Raises
    ------
    ValueError
        If the lengths differ or the reference is silent.
    """
    _check(reference, estimate)
    target, rebuilt = (_mel_power(samples, sample_rate) for samples in (reference, estimate))
    floor = float(target.max()) * _FLOOR
    if floor == 0.0:
        raise ValueError("the reference is silent: there is nothing to be near to")
    difference = _decibels(target, floor) - _decibels(rebuilt, floor)
    return float(np.mean(np.sqrt(np.mean(np.square(difference), axis=1))))


def _check(reference: Samples, estimate: Samples) -> None:
    if reference.ndim != 1 or reference.shape != estimate.shape:
        raise ValueError(
            f"found signals of shapes {reference.shape} and {estimate.shape}, expected two mono "
            "signals of one length; see `undelayed`"
        )


def _convergence_db(targets: Iterator[Magnitudes], estimates: Iterator[Magnitudes]) -> float:
    error = energy = 0.0
    for target, estimate in zip(targets, estimates, strict=True):
        energy += float(np.sum(np.square(target), dtype=np.float64))
        error += float(np.sum(np.square(target - estimate), dtype=np.float64))
    if energy == 0.0:
        raise ValueError("the reference is silent: there is nothing to be near to")
    return 20.0 * float(np.log10(np.sqrt(error / energy) + 1e-12))


def _mel_power(samples: Samples, sample_rate: int) -> NDArray[np.float32]:
    n_fft = 2 ** round(np.log2(_FRAME_AT_22_KHZ * sample_rate / 22_050))
    to_mel = mel_filter_bank(sample_rate, n_fft, _N_MELS).T
    blocks = _blocks(samples, n_fft, n_fft // 4, "hann")
    return np.concatenate([np.square(block) @ to_mel for block in blocks])


def _decibels(power: NDArray[np.float32], floor: float) -> NDArray[np.float32]:
    return np.asarray(10.0 * np.log10(np.maximum(power, np.float32(floor))), dtype=np.float32)


def _blocks(samples: Samples, n_fft: int, hop_length: int, window: Window) -> Iterator[Magnitudes]:
    """Magnitudes on the shared grid, some thousand frames at a time."""
    from scipy.signal import get_window

    if isinstance(window, str) and window in WINDOWS:
        taper = analysis_window(window, n_fft).astype(np.float32)
    else:
        taper = get_window(window, n_fft).astype(np.float32)
    padded = np.pad(samples.astype(np.float32, copy=False), n_fft)
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::hop_length]
    per_block = _frames_per_block(n_fft)
    for start in range(0, len(frames), per_block):
        yield np.abs(np.fft.rfft(frames[start : start + per_block] * taper))


def _frames_per_block(n_fft: int) -> int:
    return max(1, _BLOCK_SAMPLES // n_fft)
