"""What the phase advance of the lowest bins does to the inversion of magnitudes with errors.

    python tests/benchmarks/guided_inversion.py [--loops 12] [--out FOLDER]

A stand-in for what a network draws: the magnitudes of loops from the project's own generator, with
errors that differ by 3 dB between neighbouring bins and last a 16th note, and their phase advance,
averaged over five frames and turned by errors that are larger off the peaks. Printed is how far the
phase advance of the sound is from that of the loops where a tone sounds: 1 - cos, weighted by
magnitude, in those of the lowest 128 bins whose phase advance is steady for five frames, means over
the loops. `--out` writes the sounds and the loops, for a transcriber.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import click
import numpy as np
import soundfile
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.ndimage import gaussian_filter1d, maximum_filter1d, uniform_filter1d

from device.synthesis import phase_guide
from device.synthesis.griffin_lim import GriffinLim
from device.synthesis.presets import PRESETS
from device.synthesis.windows import analysis_window
from training.corpus.generator.loop import render_loop

SAMPLE_RATE, SECONDS, FLOOR = 22050, 12, 0.15
PRESET = PRESETS["played"]
N_FFT, HOP = PRESET.n_fft, PRESET.hop_length
N_HEARD = 128
# Mean resultant length of five frames of a tone.
STEADY = 0.95
# Frames: a 16th note, and the shorter errors of the phase advance.
SLOT, SHORT, SHORTEST = 16, 4, 2
ERROR_DB = 3.0

Spectrum = NDArray[np.complex128]


@dataclass(frozen=True)
class Method:
    """A setting of the guide; `advance` is "drawn" or "true"."""

    n_guided: int = 96
    advance: str = "drawn"
    rise_db: float = 6.0
    least: float = phase_guide.LEAST_CONFIDENCE
    hold: float = phase_guide.HOLD
    margin: float = phase_guide.MARGIN

    def invert(self, magnitude: NDArray[np.float64], vectors: Spectrum) -> NDArray[np.float32]:
        guided = vectors[:, : self.n_guided]
        frames = np.hstack([magnitude, guided.real, guided.imag]).astype(np.float32)
        with patch.multiple(
            phase_guide,
            STRONGEST_RISE=10 ** (self.rise_db / 20),
            LEAST_CONFIDENCE=self.least,
            HOLD=self.hold,
            MARGIN=self.margin,
        ):
            stream = GriffinLim(
                n_fft=N_FFT,
                hop_length=HOP,
                look_ahead=PRESET.look_ahead,
                n_iterations=PRESET.n_iterations,
                n_guided=self.n_guided,
            )
            return stream.process(frames)[stream.delay_samples :]


METHODS = {
    "no guide": Method(n_guided=0),
    "64 bins": Method(64),
    "96 bins": Method(),
    "128 bins": Method(128),
    "96, locked": Method(hold=1e6, margin=1e3),
    "96, confidence from 0.5": Method(least=0.5),
    "96, confidence from 0.7": Method(least=0.7),
    "96, rise of 4 dB": Method(rise_db=4),
    "96, rise of 9 dB": Method(rise_db=9),
    "96, any rise": Method(rise_db=200),
    "96, weight 0.25": Method(hold=250, margin=1e3),
    "96, weight 1": Method(hold=1e3, margin=1e3),
    "96, true advance": Method(advance="true"),
    "96, true advance, locked": Method(advance="true", hold=1e6, margin=1e3),
}


def spectrum(signal: NDArray[np.float64]) -> Spectrum:
    """(n_frames, n_bins), the first frame around the first sample."""
    padded = np.pad(signal, N_FFT // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::HOP]
    return np.fft.rfft(frames * analysis_window("hann", N_FFT), axis=1)


def advances(stft: Spectrum) -> Spectrum:
    """Unit vectors from the second frame on, (n_frames - 1, n_bins)."""
    turned = stft[1:] * stft[:-1].conj()
    turned = turned * np.exp(-2j * np.pi * np.arange(stft.shape[1]) * HOP / N_FFT)
    return turned / np.maximum(np.abs(turned), 1e-12)


def _smooth(
    rng: np.random.Generator, shape: tuple[int, int], step: int, bins: Callable[..., Spectrum]
) -> NDArray[np.float64]:
    """Random numbers of deviation 1, smooth over bins, that lead over in `step` frames."""
    knots = bins(rng.standard_normal((shape[0] // step + 2, shape[1])))
    at, share = np.divmod(np.arange(shape[0]) / step, 1)
    low, share = at.astype(int), share[:, np.newaxis]
    mixed = (1 - share) * knots[low] + share * knots[low + 1]
    return mixed / knots.std() / np.hypot(share, 1 - share)


def _near(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Neighbours are correlated, as under a Hann window."""
    return x + 0.5 * (np.roll(x, 1, axis=1) + np.roll(x, -1, axis=1))


def _wide(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """All bins of a partial are alike."""
    return gaussian_filter1d(x, 3.0, axis=1)


def mean_of_five(units: Spectrum, weight: NDArray[np.float64]) -> Spectrum:
    """Weighted mean over five frames."""
    real, imaginary = (uniform_filter1d(x * weight, 5, axis=0) for x in (units.real, units.imag))
    mean: Spectrum = (real + 1j * imaginary) / uniform_filter1d(weight, 5, axis=0)
    return mean


def draw(stft: Spectrum, seed: int) -> tuple[NDArray[np.float64], Spectrum]:
    """Magnitudes and phase advance with errors, from the second frame on."""
    rng = np.random.default_rng(seed)
    true, units = np.abs(stft[1:]), advances(stft)
    error_db = ERROR_DB / np.sqrt(2 / 3) * _smooth(rng, true.shape, SLOT, _near)
    magnitude = np.maximum(true * 10 ** (error_db / 20) - FLOOR, 0)
    vectors = mean_of_five(units, true**0.7 + 1e-9)
    level = 20 * np.log10(true + 0.05)
    peak = maximum_filter1d(level, 9, axis=1)
    below_frame = level.max(axis=1, keepdims=True) - peak
    spread = np.clip(0.12 + 0.04 * (peak - level) + 0.008 * below_frame, 0.2, 1.8)
    believed = spread * np.exp(0.3 * _smooth(rng, true.shape, SLOT, _wide))
    turn = 0.8 * _smooth(rng, true.shape, SHORT, _wide)
    turn += 0.6 * _smooth(rng, true.shape, SHORTEST, _near)
    return magnitude, vectors * np.exp(1j * spread * turn - believed**2 / 2)


def error(stft: Spectrum, sound: NDArray[np.float32]) -> float:
    """1 - cos of the angle between two phase advances, the mean weighted by magnitude."""
    heard = spectrum(sound.astype(np.float64))[1:]
    true = stft[1:][: len(heard)]
    n = min(len(true), len(heard)) - 1
    units = advances(true)[:n]
    unlike = 1 - (units * advances(heard)[:n].conj()).real
    magnitude = np.abs(true[1 : n + 1])
    weight = magnitude * (np.abs(mean_of_five(units, magnitude + 1e-9)) > STEADY)
    return float(np.average(unlike[:, :N_HEARD], weights=weight[:, :N_HEARD]))


def excerpts(n_loops: int) -> Iterator[NDArray[np.float64]]:
    """Loops of the generator, each of whole hops."""
    for number in range(n_loops):
        samples = np.asarray(render_loop(7, number).audio, np.float64)
        n = min(SECONDS * SAMPLE_RATE, len(samples)) // HOP * HOP
        yield samples[:n]


@click.command()
@click.option("--loops", "n_loops", default=12, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the sounds.")
def main(n_loops: int, out: Path | None) -> None:
    """Invert with every setting, and print the errors."""
    errors: dict[str, list[float]] = {name: [] for name in METHODS}

    def keep(name: str, number: int, sound: NDArray[np.generic]) -> None:
        if out is not None:
            folder = out / name.replace(", ", "_").replace(" ", "-")
            folder.mkdir(parents=True, exist_ok=True)
            soundfile.write(folder / f"{number:03d}.wav", np.clip(sound, -1, 1), SAMPLE_RATE)

    for number, signal in enumerate(excerpts(n_loops)):
        stft = spectrum(signal)
        magnitude, vectors = draw(stft, number)
        keep("loops", number, signal)
        for name, method in METHODS.items():
            advance = advances(stft) if method.advance == "true" else vectors
            sound = method.invert(magnitude, advance)
            errors[name].append(error(stft, sound))
            keep(name, number, sound)
    table = Table("setting", "error of the phase advance")
    for name, values in errors.items():
        table.add_row(name, f"{np.mean(values):.3f}")
    Console().print(table)


if __name__ == "__main__":
    main()
