"""Sounds of a run, through the device's own inversion, and the course of its losses."""

import csv
import io
from collections import defaultdict
from pathlib import Path

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray

from device.model.contract import SLOTS_PER_BEAT
from device.synthesis.griffin_lim import GriffinLim
from training.corpus.reader import Corpus
from training.features.analysis import Analysis
from training.features.dataset import Features
from training.run.config import Config
from training.run.describe_codes import compose
from training.run.networks import Networks
from training.run.run_folder import explained, replaced

N_PREVIEWS = 3
# Of every held-out loop two; and of every state one.
N_SOUNDS = 3 * N_PREVIEWS


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
    code_indices = compose(networks, torch.from_numpy(bits), torch.from_numpy(variation))
    offset = torch.zeros(len(code_indices), device=code_indices.device)
    return networks.codec.decode(code_indices.to(offset) - config.n_levels // 2, offset)


@torch.no_grad()
def write_previews(
    directory: Path, networks: Networks, corpus: Corpus, features: Features, config: Config
) -> None:
    """Held-out loops as they are, through inversion alone, through the codec; and switch states."""
    with explained(directory):
        directory.mkdir(exist_ok=True)
    analysis, device = config.analysis, networks.codec.mean.device

    def write(name: str, log_bands: torch.Tensor) -> None:
        samples = to_audio(log_bands.float().cpu(), analysis, corpus.tempo_bpm)
        # In memory first: a preview is whole or absent, and what fails is the disk.
        sound = io.BytesIO()
        soundfile.write(sound, np.clip(samples, -1, 1), analysis.sample_rate, format="WAV")
        with replaced(directory / f"{name}.wav") as file:
            file.write(sound.getbuffer())

    for loop in features.held_out[:N_PREVIEWS]:
        true = torch.from_numpy(features.log_bands[loop].astype(np.float32))[None].to(device)
        offset = torch.from_numpy(features.offsets[loop : loop + 1]).to(device)
        write(f"held-out-{loop:05d}-inverted", true[0])
        drawn = networks.codec.decode(networks.codec.encode(true, offset), offset)
        write(f"held-out-{loop:05d}-codec", drawn[0])
    rng = np.random.default_rng(config.seed)
    states = rng.integers(0, 2, (N_PREVIEWS, config.n_switches)).astype(np.float32)
    variation = rng.standard_normal((N_PREVIEWS, config.n_variation)).astype(np.float32)
    for bits, log_bands in zip(states, draw(networks, config, states, variation), strict=True):
        write("panel-" + "".join(str(int(b)) for b in bits), log_bands)


def draw_curves(directory: Path) -> None:
    """``curves.csv`` as a picture, one plot per figure."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    series: dict[tuple[str, str], list[tuple[int, float]]] = defaultdict(list)
    with (directory / "curves.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            series[row["stage"], row["figure"]].append((int(row["step"]), float(row["value"])))
    # A grid of three columns; what is left over of its last row stays empty.
    n_rows = max(1, (len(series) + 2) // 3)
    figure, axes = pyplot.subplots(n_rows, 3, figsize=(12, 2.6 * n_rows), squeeze=False)
    for axis in axes.flat[len(series) :]:
        axis.set_visible(False)
    for axis, ((stage, name), points) in zip(axes.flat, series.items(), strict=False):
        axis.plot(*zip(*points, strict=True), linewidth=0.8)
        axis.set_title(f"{stage}: {name}", fontsize=9)
        axis.set_xlabel("step", fontsize=8)
    figure.tight_layout()
    with replaced(directory / "curves.png") as picture:
        figure.savefig(picture, dpi=100, format="png")
    pyplot.close(figure)
