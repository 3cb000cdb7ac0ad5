"""How loud a recording is: integrated loudness and true peak, after ITU-R BS.1770-4, for mono."""

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]
Response = NDArray[np.complex128]

SILENCE_LUFS = -70.0

_BLOCK_SECONDS = 0.4
_OVERLAP = 4
_RELATIVE_GATE_LU = -10.0
# Samples; a jump rings on in 1 / (pi * distance) of its height.
_END = 64


def true_peak_db(samples: Samples) -> float:
    """Peak of the band-limited signal between the samples too, in dB below full scale.

    The signal is taken as one period, so its spectrum can be padded to four times the rate. Where
    it was cut out of something loud its end and its beginning do not meet. The ringing there is no
    part of the sound, so at both ends of a long signal only the samples count.
    """
    if len(samples) == 0:
        return _decibels(0.0)
    spectrum = np.fft.rfft(samples)
    if len(samples) % 2 == 0:
        # Half the sample rate is one bin here and two in the longer spectrum.
        spectrum[-1] /= 2
    rebuilt = np.fft.irfft(spectrum, 4 * len(samples)) * 4
    if len(samples) > 4 * _END:
        rebuilt = rebuilt[4 * _END : -4 * _END]
    peaks = (np.abs(signal).max(initial=0.0) for signal in (samples, rebuilt))
    return _decibels(float(max(peaks)) ** 2)


def integrated_lufs(samples: Samples, sample_rate: int) -> float:
    """Gated loudness of (n,) samples in LUFS; `SILENCE_LUFS` where nothing passes the gate."""
    power = _block_power(_k_weighted(samples, sample_rate), sample_rate)
    loudness = _loudness(power)
    audible = power[loudness > SILENCE_LUFS]
    if not len(audible):
        return SILENCE_LUFS
    gate = _loudness(audible.mean()) + _RELATIVE_GATE_LU
    return float(_loudness(audible[_loudness(audible) > gate].mean()))


def _loudness(power: "NDArray[np.float64] | np.float64") -> NDArray[np.float64]:
    return np.asarray(-0.691 + 10 * np.log10(np.maximum(power, 1e-12)))


def _decibels(power: float) -> float:
    return 10 * float(np.log10(max(power, 1e-12)))


def _block_power(samples: NDArray[np.float64], sample_rate: int) -> NDArray[np.float64]:
    """Mean square of blocks of 400 ms, each a quarter of a block after the last."""
    n = int(_BLOCK_SECONDS * sample_rate)
    padded = np.pad(samples, (0, max(0, n - len(samples))))
    blocks = np.lib.stride_tricks.sliding_window_view(padded, n)[:: n // _OVERLAP]
    return np.asarray((blocks**2).mean(axis=1))


def _k_weighted(samples: Samples, sample_rate: int) -> NDArray[np.float64]:
    """Filter by the product of the standard's two second-order sections.

    Their response is applied to the whole recording's spectrum, zero-padded against wrapping: exact
    for finite signals up to the tail that the padding cuts, and no sample loop in Python.
    """
    n = len(samples) + sample_rate
    hertz = np.arange(n // 2 + 1, dtype=np.float64) * (sample_rate / n)
    spectrum = np.asarray(np.fft.rfft(samples, n), dtype=np.complex128)
    spectrum *= _shelf(hertz, sample_rate)
    spectrum *= _high_pass(hertz, sample_rate)
    return np.fft.irfft(spectrum, n)[: len(samples)]


def _biquad(
    hertz: NDArray[np.float64], sample_rate: int, b: tuple[float, ...], a: tuple[float, ...]
) -> Response:
    delay = np.exp(-2j * np.pi * hertz / sample_rate)
    numerator: Response = np.polyval(np.array(b[::-1]), delay)
    denominator: Response = np.polyval(np.array(a[::-1]), delay)
    return numerator / denominator


def _shelf(hertz: NDArray[np.float64], sample_rate: int) -> Response:
    """The head's shelf: +4 dB above about 1.7 kHz, designed for any sample rate."""
    gain_db, quality, corner = 3.999843853973347, 0.7071752369554196, 1681.974450955533
    k = np.tan(np.pi * corner / sample_rate)
    high = 10 ** (gain_db / 20)
    band = high**0.4996667741545416
    a0 = 1 + k / quality + k * k
    b = ((high + band * k / quality + k * k) / a0, 2 * (k * k - high) / a0)
    b2 = (high - band * k / quality + k * k) / a0
    a = (1.0, 2 * (k * k - 1) / a0, (1 - k / quality + k * k) / a0)
    return _biquad(hertz, sample_rate, (*b, b2), a)


def _high_pass(hertz: NDArray[np.float64], sample_rate: int) -> Response:
    """The revised low-frequency B curve: a high pass at about 38 Hz."""
    quality, corner = 0.5003270373238773, 38.13547087602444
    k = np.tan(np.pi * corner / sample_rate)
    a0 = 1 + k / quality + k * k
    a = (1.0, 2 * (k * k - 1) / a0, (1 - k / quality + k * k) / a0)
    return _biquad(hertz, sample_rate, (1.0, -2.0, 1.0), a)
