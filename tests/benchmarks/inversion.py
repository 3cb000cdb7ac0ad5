"""Cost and accuracy of inversions: ours and other implementations, in one process.

    python tests/benchmarks/inversion.py [--seconds 12] [--rounds 5] [--json FILE] [--plot FILE]

Every method gets the magnitudes of the same excerpts and is timed alone on one thread; rounds go
through all methods in turn, so that other load on the machine affects all of them alike, and the
median of the rounds counts. Quality is measured in the method's own STFT, in another one
(2048/512), and in decibels over mel bands; the numbers are means over the excerpts. Real music
comes from Debian (see music.py), two loops from the project's own generator.
"""

import json
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import librosa
import music
import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table
from threadpoolctl import threadpool_limits

from device.synthesis.griffin_lim import GriffinLim
from device.synthesis.kernel.griffin_lim import CompiledGriffinLim
from device.synthesis.kernel.library import load_kernel
from device.synthesis.presets import PRESETS, Preset
from training.corpus.generator.loop import render_loop
from training.metrics.reconstruction import (
    log_spectral_distance_db,
    spectral_convergence_db,
    stft_magnitude,
    streamed,
)

Samples = NDArray[np.float32]
# The call that is timed.
Job = Callable[[], Samples]

SAMPLE_RATE = 22050
MOMENTUM = 0.99
CONSOLE = Console(width=max(120, Console().width))


@dataclass(frozen=True)
class Method:
    """An inversion, from magnitudes to samples.

    Attributes
    ----------
    n_fft, hop_length, window
        The STFT whose magnitudes it works on.
    prepare : callable
        Signal (n_samples,) → a job that gives an aligned signal of the same length.
    latency_ms : float or None
        From a change of the magnitudes until it is complete; None if it needs the whole piece.
    """

    name: str
    n_fft: int
    hop_length: int
    window: str | tuple[str, float]
    prepare: Callable[[Samples], Job]
    latency_ms: float | None = None


@dataclass(frozen=True)
class Row:
    """What was measured of one method, means over the excerpts."""

    name: str
    core_percent: float
    sc_db: float
    sc_foreign_db: float
    lsd_db: float
    latency_ms: float | None


# -- the methods ----------------------------------------------------------------------------


def ours(name: str, preset: Preset, implementation: type[GriffinLim]) -> Method:
    def prepare(signal: Samples) -> Job:
        magnitude = stft_magnitude(signal, preset.n_fft, preset.hop_length)
        return lambda: streamed(implementation.of(preset), magnitude, len(signal))

    latency_ms = 1e3 * preset.latency_samples / SAMPLE_RATE
    how = "numpy" if implementation is GriffinLim else "kernel"
    return Method(
        f"ours, {name}, {how}", preset.n_fft, preset.hop_length, "hann", prepare, latency_ms
    )


def librosa_griffin_lim(n_fft: int, hop_length: int, n_iter: int) -> Method:
    def prepare(signal: Samples) -> Job:
        magnitude = np.abs(librosa.stft(signal, n_fft=n_fft, hop_length=hop_length))
        return lambda: librosa.griffinlim(
            magnitude, n_iter=n_iter, hop_length=hop_length, length=len(signal), random_state=0
        )

    name = f"librosa griffinlim({n_iter})"
    return Method(name, n_fft, hop_length, "hann", prepare)


def librosa_mel_to_audio(n_fft: int, hop_length: int, n_iter: int) -> Method:
    """The method of the experiment this project continues: 128 mel bands, Hamming window."""

    def prepare(signal: Samples) -> Job:
        shape = {"sr": SAMPLE_RATE, "n_fft": n_fft, "hop_length": hop_length, "window": "hamming"}
        mel = librosa.feature.melspectrogram(y=signal, n_mels=128, **shape)
        return lambda: librosa.feature.inverse.mel_to_audio(
            mel, n_iter=n_iter, length=len(signal), **shape
        )

    name = f"librosa mel_to_audio({n_iter})"
    return Method(name, n_fft, hop_length, "hamming", prepare)


def torch_griffin_lim(n_fft: int, hop_length: int, n_iter: int) -> Method:
    """The algorithm of torchaudio, which is Perraudin, Balazs & Søndergaard (2013), in torch."""
    window = torch.hann_window(n_fft)
    shape = {"n_fft": n_fft, "hop_length": hop_length, "window": window}

    def invert(magnitude: torch.Tensor, n_samples: int) -> Samples:
        generator = torch.Generator().manual_seed(0)
        phase = torch.rand(magnitude.shape, generator=generator) * 2 * math.pi
        angles = torch.polar(torch.ones_like(magnitude), phase)
        previous = torch.zeros_like(angles)
        for _ in range(n_iter):
            samples = torch.istft(magnitude * angles, length=n_samples, **shape)
            rebuilt = torch.stft(samples, return_complex=True, **shape)
            angles = rebuilt - MOMENTUM / (1 + MOMENTUM) * previous
            angles = angles / (angles.abs() + 1e-16)
            previous = rebuilt
        return torch.istft(magnitude * angles, length=n_samples, **shape).numpy()

    def prepare(signal: Samples) -> Job:
        magnitude = torch.stft(torch.from_numpy(signal), return_complex=True, **shape).abs()
        return lambda: invert(magnitude, len(signal))

    name = f"torchaudio's griffinlim({n_iter})"
    return Method(name, n_fft, hop_length, "hann", prepare)


def phase_gradient_heap(n_fft: int, hop_length: int) -> Method:
    """Průša, Balazs & Søndergaard (2017), as pghipy has it, with its Gaussian window."""
    import pghipy

    window, gamma = pghipy.get_default_window(n_fft)
    standard_deviation = math.sqrt(gamma / (2 * math.pi))
    synthesis = pghipy.calculate_synthesis_window(n_fft, hop_length, window)

    def prepare(signal: Samples) -> Job:
        magnitude = np.abs(pghipy.stft(signal, n_fft, hop_length, window))

        def invert() -> Samples:
            phase = pghipy.pghi(magnitude, n_fft, hop_length, gamma)
            spectrum = magnitude * np.exp(1j * phase)
            return pghipy.istft(
                spectrum, n_fft, hop_length, synthesis_window=synthesis, length=len(signal)
            ).astype(np.float32)

        return invert

    return Method("PGHI", n_fft, hop_length, ("gaussian", standard_deviation), prepare)


def all_methods() -> list[Method]:
    """Ours; then the others at 512/128, and those with the same target at each of our windows."""
    implementations = [GriffinLim]
    if load_kernel().library is None:
        click.echo(f"the kernel is left out: {load_kernel().reason}", err=True)
    else:
        implementations.append(CompiledGriffinLim)
    methods = [
        ours(name, preset, implementation)
        for implementation in implementations
        for name, preset in PRESETS.items()
    ]
    methods.append(librosa_mel_to_audio(512, 128, 16))
    for shape in dict.fromkeys((p.n_fft, p.hop_length) for p in PRESETS.values()):
        methods += [librosa_griffin_lim(*shape, n_iter) for n_iter in (16, 32)]
    methods += [torch_griffin_lim(512, 128, n_iter) for n_iter in (16, 32)]
    try:
        methods.append(phase_gradient_heap(512, 128))
    except ImportError:
        click.echo("PGHI is left out: pip install pghipy", err=True)
    return methods


# -- measuring ------------------------------------------------------------------------------


def all_excerpts(seconds: float) -> dict[str, Samples]:
    loops = {f"studio {i}": render_loop(7, i).audio.astype(np.float32) for i in range(2)}
    return music.excerpts(SAMPLE_RATE, seconds) | loops


def measure(methods: list[Method], signals: list[Samples], n_rounds: int) -> list[Row]:
    jobs = [[method.prepare(signal) for signal in signals] for method in methods]
    steps = [(m, s) for m in range(len(methods)) for s in range(len(signals))]
    # The first round is not timed: it warms up, and its quality is measured.
    quality: list[list[tuple[float, float, float]]] = [[] for _ in methods]
    for m, s in track(steps, "quality", console=CONSOLE):
        quality[m].append(distances(methods[m], signals[s], jobs[m][s]()))
    work = [[[] for _ in signals] for _ in methods]
    for m, s in track(steps * n_rounds, "work", console=CONSOLE):
        started = time.thread_time()
        jobs[m][s]()
        work[m][s].append(time.thread_time() - started)
    seconds = [len(signal) / SAMPLE_RATE for signal in signals]
    return [
        _row(method, _share(times, seconds), figures)
        for method, times, figures in zip(methods, work, quality, strict=True)
    ]


def distances(method: Method, signal: Samples, output: Samples) -> tuple[float, float, float]:
    own = {"n_fft": method.n_fft, "hop_length": method.hop_length, "window": method.window}
    return (
        spectral_convergence_db(signal, output, **own),
        spectral_convergence_db(signal, output, 2048, 512),
        log_spectral_distance_db(signal, output, SAMPLE_RATE),
    )


def _share(times: list[list[float]], seconds: list[float]) -> float:
    """Percent of a core: the median round of every excerpt, over all their music."""
    return 100 * sum(statistics.median(rounds) for rounds in times) / sum(seconds)


def _row(method: Method, share: float, quality: list[tuple[float, float, float]]) -> Row:
    sc, sc_foreign, lsd = (statistics.fmean(column) for column in zip(*quality, strict=True))
    name = f"{method.name} {method.n_fft}/{method.hop_length}"
    return Row(name, share, sc, sc_foreign, lsd, method.latency_ms)


# -- reporting ------------------------------------------------------------------------------


def table(rows: list[Row]) -> Table:
    columns = Table(box=None, header_style="bold")
    columns.add_column("method")
    for heading in ("% of a core", "work", "sc dB", "foreign sc dB", "lsd dB", "latency ms"):
        columns.add_column(heading, justify="right")
    for row in rows:
        columns.add_row(*_cells(row, of=_find(rows, "ours, default")))
    return columns


def markdown(rows: list[Row]) -> str:
    lines = [
        "| method | % of a core | work | sc | foreign sc | lsd | latency |",
        "|---|---|---|---|---|---|---|",
    ]
    cells = (_cells(row, of=_find(rows, "ours, default")) for row in rows)
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in cells)])


def _cells(row: Row, *, of: Row) -> list[str]:
    return [
        row.name,
        f"{row.core_percent:.2f}",
        f"{row.core_percent / of.core_percent:.1f}x",
        f"{row.sc_db:.1f}",
        f"{row.sc_foreign_db:.1f}",
        f"{row.lsd_db:.2f}",
        "whole piece" if row.latency_ms is None else f"{row.latency_ms:.1f}",
    ]


def verdicts(rows: list[Row]) -> list[str]:
    """Ours against every implementation that the presets were chosen to exceed."""
    pairs = [
        ("ours, default", "librosa mel_to_audio(16) 512/128"),
        ("ours, default", "librosa griffinlim(16) 512/128"),
        ("ours, default", "librosa griffinlim(16) 720/180"),
        ("ours, best", "librosa griffinlim(32) 512/128"),
        ("ours, best", "librosa griffinlim(32) 1024/256"),
        ("ours, closest", "librosa griffinlim(32) 1024/256"),
    ]
    return [
        _verdict(row, _find(rows, peer))
        for own, peer in pairs
        for row in rows
        if row.name.startswith(own)
    ]


def _find(rows: list[Row], name: str) -> Row:
    return next(row for row in rows if row.name.startswith(name))


def _verdict(own: Row, peer: Row) -> str:
    means = ("sc_db", "sc_foreign_db", "lsd_db")
    better = [name for name in means if getattr(own, name) < getattr(peer, name)]
    where = "every mean" if len(better) == len(means) else f"{', '.join(better) or 'no mean'} only"
    less = peer.core_percent / own.core_percent
    return f"{own.name}: {less:.1f}x less work than {peer.name}, better in {where}"


def plot(rows: list[Row], path: Path) -> None:
    """Work against log-spectral distance: lower left is better."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    for row in rows:
        is_ours = row.name.startswith("ours")
        axes.plot(row.core_percent, row.lsd_db, "o", color="#c2571a" if is_ours else "#5b6b7a")
        axes.annotate(
            row.name,
            (row.core_percent, row.lsd_db),
            textcoords="offset points",
            xytext=(6, 4),
            fontsize=8,
            fontweight="bold" if is_ours else "normal",
        )
    axes.set(xscale="log", xlabel="work, % of a core", ylabel="log-spectral distance, dB")
    axes.set_title("Inversion: lower left is better")
    axes.margins(x=0.25, y=0.1)
    axes.grid(alpha=0.3, which="both")
    figure.savefig(path)


@click.command(help=__doc__)
@click.option("--seconds", default=12.0, show_default=True, help="Of every real piece.")
@click.option("--rounds", "n_rounds", default=5, show_default=True)
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the rows.")
@click.option("--markdown", "markdown_path", type=click.Path(path_type=Path))
@click.option("--plot", "plot_path", type=click.Path(path_type=Path), help="SVG or PNG.")
def main(
    seconds: float,
    n_rounds: int,
    json_path: Path | None,
    markdown_path: Path | None,
    plot_path: Path | None,
) -> None:
    torch.set_num_threads(1)
    signals = list(all_excerpts(seconds).values())
    with threadpool_limits(1):
        rows = measure(all_methods(), signals, n_rounds)
    CONSOLE.print(table(rows))
    for line in verdicts(rows):
        click.echo(line)
    if json_path:
        json_path.write_text(json.dumps([asdict(row) for row in rows], indent=1))
    if markdown_path:
        markdown_path.write_text(markdown(rows) + "\n")
    if plot_path:
        plot(rows, plot_path)


if __name__ == "__main__":
    main()
