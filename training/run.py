"""A run: the folder that holds one training, from its configuration to its finished networks.

``config.json``     what was asked for
``checkpoint.pt``   the latest state, replaced atomically; training goes on from here
``curves.csv``      the course of losses, one row per report; ``curves.png`` draws it
``preview/``        held-out loops through the codec, and panel states, as the box will play them
``model.pt``        the finished networks with all the export needs
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from device.errors import SwitchboardError
from training.analysis import Analysis
from training.codec import Codec
from training.composer import Composer, Reader


class TrainingError(SwitchboardError, ValueError):
    """A run cannot start, go on or be read."""

    exit_code = 21


@dataclass(frozen=True)
class Config:
    """Sizes of the networks and their schedule; every field can be set from the command line.

    Attributes
    ----------
    n_digits, n_levels : int
        The code of one slot.
    width, n_channels, hidden : int
        Of the codec: over slots, of the score, inside the renderer.
    composer_width, composer_layers, reader_width : int
    n_switches, n_variation : int
    codec_loops, codec_slots : int
        Loops in a batch, and how many of their slots are drawn.
    composer_loops : int
    codec_rate, composer_rate : float
        Peak learning rates.
    codec_share : float
        Part of the budget that trains the codec; the rest trains the composer.
    divergence_weight : float
        How dear a nat in the variation is.
    precision : str
        'float32' or 'bfloat16', the latter for the forward passes alone.
    seed : int
    analysis : Analysis
    """

    n_digits: int = 16
    n_levels: int = 5
    width: int = 192
    n_channels: int = 384
    hidden: int = 640
    composer_width: int = 144
    composer_layers: int = 4
    reader_width: int = 128
    n_switches: int = 8
    n_variation: int = 16
    codec_loops: int = 8
    codec_slots: int = 96
    composer_loops: int = 48
    codec_rate: float = 1e-3
    composer_rate: float = 8e-4
    codec_share: float = 0.6
    divergence_weight: float = 0.7
    precision: str = "float32"
    seed: int = 1
    analysis: Analysis = field(default_factory=Analysis)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able fields, the analysis nested."""
        return asdict(self)

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Self:
        """Inverse of `to_dict`."""
        return cls(**{**raw, "analysis": Analysis(**raw["analysis"])})


@dataclass
class Networks:
    """The three networks of a run."""

    codec: Codec
    composer: Composer
    reader: Reader

    @classmethod
    def build(cls, config: Config, n_slots: int) -> Self:
        """Fresh networks, initialised from the run's seed."""
        torch.manual_seed(config.seed)
        code = {"n_digits": config.n_digits, "n_levels": config.n_levels}
        latent = {"n_switches": config.n_switches, "n_variation": config.n_variation}
        codec = Codec(
            n_bands=config.analysis.n_bands,
            frames_per_slot=config.analysis.frames_per_slot,
            width=config.width,
            n_channels=config.n_channels,
            hidden=config.hidden,
            **code,
        )
        composer = Composer(
            n_slots=n_slots,
            width=config.composer_width,
            n_layers=config.composer_layers,
            **code,
            **latent,
        )
        reader = Reader(n_slots=n_slots, width=config.reader_width, **code, **latent)
        return cls(codec, composer, reader)

    def to(self, device: torch.device) -> Self:
        """Move all to a device."""
        for network in (self.codec, self.composer, self.reader):
            network.to(device)
        return self

    def state(self) -> dict[str, dict[str, Tensor]]:
        """All weights."""
        return {name: network.state_dict() for name, network in vars(self).items()}

    def load(self, state: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Take weights over."""
        for name, network in vars(self).items():
            network.load_state_dict(state[name])


@dataclass(frozen=True)
class FinishedRun:
    """What `model.pt` holds, opened."""

    config: Config
    n_slots: int
    tempo_bpm: float
    networks: Networks
    switch_labels: tuple[str, ...]
    provenance: dict[str, Any]


def save_atomically(path: Path, content: Any) -> None:
    """Write with torch.save; the old file stays whole until the new one is on disk."""
    partial = path.with_suffix(path.suffix + ".part")
    with partial.open("wb") as file:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def save_json(path: Path, content: Any) -> None:
    """Write JSON the same way."""
    partial = path.with_suffix(path.suffix + ".part")
    partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    os.replace(partial, path)


def open_run(directory: Path) -> FinishedRun:
    """The finished networks of a run, on the CPU, ready to compute.

    Raises
    ------
    TrainingError
        If there is no run, or it is not finished.
    """
    path = directory / "model.pt"
    if not path.is_file():
        found = "an unfinished run" if (directory / "checkpoint.pt").is_file() else "no run"
        raise TrainingError(
            f"{directory}: found {found}, expected {path.name}; "
            "finish it with `switchboard train CORPUS --out RUN --resume`"
        )
    # weights_only: a run may come from elsewhere, and a pickle could carry code.
    content = torch.load(path, map_location="cpu", weights_only=True)
    config = Config.from_dict(content["config"])
    networks = Networks.build(config, content["n_slots"])
    networks.load(content["networks"])
    for network in (networks.codec, networks.composer, networks.reader):
        network.eval()
    return FinishedRun(
        config=config,
        n_slots=content["n_slots"],
        tempo_bpm=content["tempo_bpm"],
        networks=networks,
        switch_labels=tuple(content["switch_labels"]),
        provenance=content["provenance"],
    )
