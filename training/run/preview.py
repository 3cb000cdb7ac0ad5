"""Sounds of a run, through the device's own inversion, and the course of its losses."""

import csv
import io
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray

from device.model.contract import SLOTS_PER_BEAT
from device.synthesis.griffin_lim import GriffinLim
from training.features.analysis import Analysis
from training.features.dataset import Features
from training.run.config import Config
from training.run.describe_codes import compose
from training.run.networks import Networks
from training.run.run_folder import replaced

if TYPE_CHECKING:
    from matplotlib.figure import Figure

N_PREVIEWS = 3


def to_audio(log_bands: torch.Tensor, analysis: Analysis, tempo_bpm: float) -> NDArray[np.float32]:
    """Log bands of one loop on the grid, (n_frames, n_bands) → samples at `tempo_bpm`."""
    beats = len(log_bands) / (SLOTS_PER_BEAT * analysis.frames_per_slot)
    n_hops = round(beats * 60 / tempo_bpm * analysis.sample_rate / analysis.hop_length)
    nearest = (torch.arange(n_hops) * len(log_bands) / n_hops).long()
    magnitude = analysis.magnitude(log_bands[nearest]).numpy()
    inversion = GriffinLim(
        n_fft=analysis.n_fft, hop_length=analysis.hop_length, window=analysis.window
    )
    return inversion.process(magnitude)


def draw(
    networks: Networks,
    config: Config,
    bits: NDArray[np.float32],
    variation: NDArray[np.float32],
) -> torch.Tensor:
    """Loops as the device would draw them: log bands (n_loops, n_frames, n_bands)."""
    states = torch.from_numpy(bits)
    code_indices = compose(networks, states, torch.from_numpy(variation))
    offset = torch.zeros(len(code_indices), device=code_indices.device)
    codes = code_indices.to(offset) - config.n_levels // 2
    return networks.codec.decode(codes, offset, factors=states.to(offset))


@dataclass(frozen=True)
class Preview:
    """A drawn loop, to be inverted.

    Attributes
    ----------
    name : str
        Of its file.
    label, note : str
        What it is, in words.
    log_bands : (n_frames, n_bands)
    """

    name: str
    label: str
    note: str
    log_bands: torch.Tensor


@torch.no_grad()
def draw_previews(
    networks: Networks, features: Features, config: Config, *, with_states: bool
) -> list[Preview]:
    """Held-out loops as they are and through the codec; and switch states."""
    device, previews = networks.codec.mean.device, []

    def add(name: str, label: str, note: str, log_bands: torch.Tensor) -> None:
        previews.append(Preview(name, label, note, log_bands.float().cpu()))

    def read(loop: int) -> tuple[torch.Tensor, torch.Tensor]:
        true = torch.from_numpy(features.log_bands[loop].astype(np.float32))[None].to(device)
        return true, torch.from_numpy(features.offsets[loop : loop + 1]).to(device)

    for loop in features.held_out[:N_PREVIEWS]:
        true, offset = read(loop)
        name, label = f"held-out-{loop:05d}", f"held-out loop {loop}"
        add(f"{name}-inverted", label, "its true magnitudes", true[0])
        codes = networks.codec.encode(*read(features.references[loop]))
        labels = torch.from_numpy(features.labels[loop : loop + 1]).to(device)
        drawn = networks.codec.decode(codes, offset, factors=labels)
        add(f"{name}-codec", label, "through the codec", drawn[0])
    if with_states:
        rng = np.random.default_rng(config.seed)
        states = rng.integers(0, 2, (N_PREVIEWS, config.n_switches)).astype(np.float32)
        variation = rng.standard_normal((N_PREVIEWS, config.n_variation)).astype(np.float32)
        for bits, log_bands in zip(states, draw(networks, config, states, variation), strict=True):
            text = "".join(str(int(b)) for b in bits)
            add(f"panel-{text}", f"switches {text}", "a composed loop", log_bands)
    return previews


def write_preview(
    directory: Path, preview: Preview, analysis: Analysis, tempo_bpm: float
) -> NDArray[np.float32]:
    """Invert a preview and write it as WAV; its samples.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    samples = to_audio(preview.log_bands, analysis, tempo_bpm)
    # In memory first: a preview is whole or absent, and what fails is the disk.
    file_in_memory = io.BytesIO()
    soundfile.write(file_in_memory, np.clip(samples, -1, 1), analysis.sample_rate, format="WAV")
    with replaced(directory / f"{preview.name}.wav") as file:
        file.write(file_in_memory.getbuffer())
    return samples


def figure_of_curves(directory: Path) -> "Figure":
    """``curves.csv`` as one plot per figure."""
    from matplotlib.figure import Figure

    series: dict[tuple[str, str], list[tuple[int, float]]] = defaultdict(list)
    with (directory / "curves.csv").open(newline="", encoding="utf-8") as file:
        # The last row may be being written.
        for row in (row for row in csv.DictReader(file) if None not in row.values()):
            series[row["stage"], row["figure"]].append((int(row["step"]), float(row["value"])))
    # A grid of three columns; what is left over of its last row stays empty.
    n_rows = max(1, (len(series) + 2) // 3)
    figure = Figure(figsize=(12, 2.6 * n_rows), layout="tight")
    axes = figure.subplots(n_rows, 3, squeeze=False)
    for axis in axes.flat[len(series) :]:
        axis.set_visible(False)
    for axis, ((stage, name), points) in zip(axes.flat, series.items(), strict=False):
        axis.plot(*zip(*points, strict=True), linewidth=0.8)
        axis.set_title(f"{stage}: {name}", fontsize=9)
        axis.set_xlabel("step", fontsize=8)
    return figure


def draw_curves(directory: Path) -> None:
    """``curves.csv`` as a picture, ``curves.png``.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    with replaced(directory / "curves.png") as picture:
        figure_of_curves(directory).savefig(picture, dpi=100, format="png")
