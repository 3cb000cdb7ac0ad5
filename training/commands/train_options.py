"""The options of `switchboard train`, and the settings of a run that they make."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from training.corpus.reader import Corpus
    from training.run.config import Config
    from training.run.run_folder import FinishedRun

# Defaults with versions, as they were measured; composing all at once was not.
VERSIONS_SETTINGS: Mapping[str, Any] = {
    "n_rounds": 4,
    "temperature": 0.7,
    "n_variation": 16,
    "divergence_weight": 0.7,
}


@dataclass(frozen=True)
class TrainOptions:
    """Values of the command line, one field per option; None where an option is left out.

    Raises
    ------
    click.UsageError
        If options contradict each other.
    """

    corpus: Path
    out: Path
    minutes: float | None
    steps: int | None
    device: str
    precision: str
    threads: int | None
    seed: int
    codec_run: Path | None
    from_run: Path | None
    resume: str | None
    checkpoint_every: float
    batch: str
    plan: bool
    bands: str | None
    window: str | None
    n_fft: int | None
    hop: int | None
    switches: str
    labels: str | None
    tags: Path | None
    reach: float | None
    overrides: tuple[str, ...]

    def __post_init__(self) -> None:
        if (self.minutes is None) == (self.steps is None):
            raise click.UsageError("give either --minutes or --steps")
        if self.codec_run and self.from_run:
            raise click.UsageError("--from brings its own codec: leave out --codec")
        shape = self.bands or self.window or self.n_fft or self.hop
        if (self.codec_run or self.from_run) and shape:
            option = "--codec" if self.codec_run else "--from"
            raise click.UsageError(
                f"{option} brings its own bands and window: leave out those options"
            )

    def torch_device(self) -> "torch.device":
        """Choose the processor or this process's GPU.

        Raises
        ------
        TrainingError
            If a GPU is requested and there is none.
        """
        import torch

        from training.run.config import TrainingError
        from training.run.distributed import local_gpu

        name = self.device
        if name == "cuda" and not torch.cuda.is_available():
            raise TrainingError("--device cuda: no CUDA device found; use --device cpu or auto")
        if name == "auto":
            name = "cuda" if torch.cuda.is_available() else "cpu"
        return local_gpu() if name == "cuda" else torch.device(name)

    def config(
        self,
        device: "torch.device",
        label_options: "LabelOptions",
        codec_run: "FinishedRun | None",
        initial_run: "FinishedRun | None",
    ) -> "Config":
        """Make the settings of the run: defaults, those of another run, options, then --set.

        Raises
        ------
        TrainingError
            If a setting is unknown or cannot work.
        """
        from training.run.config import Config

        precision = self.precision
        if precision == "auto":
            precision = fastest_precision(device)
        raw = Config().to_dict()
        if label_options.switches == "versions":
            raw |= VERSIONS_SETTINGS
        raw |= self._initial_settings(codec_run, initial_run)
        raw |= {"seed": self.seed, "precision": precision, **label_options.settings()}
        if self.reach is not None:
            raw["switch_range"] = self.reach
        for item in self.overrides:
            _override(raw, item)
        return Config.from_dict(raw)

    def with_batch(
        self, config: "Config", recorded: "Mapping[str, Any] | None", n_processes: int
    ) -> "Config":
        """Settings with the batches of ``--batch``.

        Parameters
        ----------
        recorded : mapping or None
            Settings of the run that is resumed: with `auto` it keeps its batches, whatever the
            number of processes is now.
        """
        from training.run.config import BATCH_RATES, BATCH_SIZES

        if self.batch == "fixed":
            return config
        if recorded is None:
            return config.for_processes(n_processes)
        return replace(config, **{name: recorded[name] for name in BATCH_SIZES + BATCH_RATES})

    def _initial_settings(
        self, codec_run: "FinishedRun | None", initial_run: "FinishedRun | None"
    ) -> dict[str, Any]:
        """Take settings from another run, or bands and window from the options."""
        from training.features.analysis import Analysis
        from training.run.config import CODEC_SETTINGS

        if initial_run:
            return initial_run.config.to_dict() | {"continues": True}
        if codec_run:
            settings = codec_run.config.to_dict()
            # The codec is finished: no share of the budget is for it.
            own = {name: settings[name] for name in CODEC_SETTINGS if name in settings}
            return own | {"codec_share": 0.0}
        analysis = Analysis.shaped(
            self.bands or "warped", self.n_fft or 1_024, self.hop, self.window or "hann"
        )
        return {"analysis": analysis.to_dict()}


@dataclass(frozen=True)
class LabelOptions:
    """Labels of the music that the switches stand for, with `--switches labels` or `versions`."""

    switches: str
    names: tuple[str, ...] = ()
    tags: "Mapping[str, frozenset[str]] | None" = None

    @classmethod
    def of(cls, switches: str, labels: str | None, tags: Path | None) -> "LabelOptions":
        """Read the options, and the table of tags.

        Raises
        ------
        click.UsageError
            If `--switches labels` comes without labels, or labels without it.
        CorpusError
            If the table cannot be read.
        """
        from training.switch_axes.labels import read_tags, tag_names

        if switches == "versions" and not (labels or tags):
            from training.corpus.generator.versions import FACTORS

            return cls(switches, FACTORS)
        if (switches == "labels") != bool(labels or tags):
            raise click.UsageError(
                "--switches labels goes with --labels NAME,... or --tags FILE, or both"
            )
        table = read_tags(tags) if tags else None
        names = tuple(labels.split(",")) if labels else tag_names(table or {})
        return cls(switches, names, table)

    def settings(self) -> dict[str, Any]:
        """The settings of the run that follow from the labels."""
        settings: dict[str, Any] = {"switches": self.switches}
        if self.names:
            settings |= {"labels": ",".join(self.names), "n_switches": len(self.names)}
        return settings

    def read(self, corpus: "Corpus") -> "NDArray[np.float32] | None":
        """The labels of a corpus, (n_loops, n_names); None with other switches."""
        from training.switch_axes.labels import factors, tagged

        if not self.names:
            return None
        if self.tags is not None:
            return tagged(corpus, self.tags, self.names)
        return factors(corpus, self.names)


def fastest_precision(device: "torch.device") -> str:
    """`bfloat16` where products of matrices are faster in it than in `float32`."""
    import torch

    if device.type == "cuda":
        return "bfloat16"
    # An earlier torch cannot say.
    capabilities: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return "bfloat16" if capabilities.get("avx512_bf16") else "float32"


def _override(raw: dict[str, Any], item: str) -> None:
    from training.run.config import RENAMED_SETTINGS, TrainingError

    path, _, text = item.partition("=")
    *groups, name = RENAMED_SETTINGS.get(path, path).split(".")
    target: Any = raw
    for group in groups:
        target = target.get(group) if isinstance(target, dict) else None
    default = target.get(name) if isinstance(target, dict) else None
    if default is None or isinstance(default, dict):
        raise TrainingError(f"--set {item}: no such setting; see training.run.config.Config")
    try:
        target[name] = type(default)(text)
    except ValueError as error:
        expected = type(default).__name__
        raise TrainingError(f"--set {item}: found {text!r}, expected {expected}") from error
