"""`switchboard train`. Heavy imports wait until the verb runs."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from device.commands.number_types import Finite
from device.console import say
from device.errors import SwitchboardError
from device.model.contract import SLOTS_PER_BEAT, WINDOWS

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from training.corpus.reader import Corpus
    from training.features.dataset import Features
    from training.run.config import Config
    from training.run.networks import Networks
    from training.run.run_folder import FinishedRun
    from training.run.trainer import Trainer


@click.command()
@click.argument("corpus", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the run.")
@click.option("--minutes", type=Finite(min=0.01), help="Budget in minutes of training.")
@click.option("--steps", type=click.IntRange(min=2), help="Budget in steps, instead of minutes.")
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where to compute.",
)
@click.option(
    "--precision",
    type=click.Choice(["auto", "float32", "bfloat16"]),
    default="auto",
    show_default=True,
    help="auto: bfloat16 on CUDA, float32 elsewhere; AVX512-BF16 processors gain from bfloat16.",
)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    help="CPU threads; one is fastest while other work runs on the machine.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Of weights and batches.")
@click.option(
    "--codec",
    "codec_run",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="Take the codec of a finished run; the whole budget goes to the composer.",
)
@click.option(
    "--from",
    "from_run",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="Begin with all networks of a finished run and its settings; its digits stay.",
)
@click.option("--resume", is_flag=True, help="Go on from the run's latest checkpoint.")
@click.option(
    "--bands",
    type=click.Choice(["warped", "mel", "linear"]),
    help="What the network sees; a model draws linear bins all the same.  [default: warped]",
)
@click.option(
    "--window",
    type=click.Choice(WINDOWS),
    help="Shape of a frame's window; a flip is heard sooner under an asymmetric one.  "
    "[default: hann]",
)
@click.option("--n-fft", type=click.IntRange(min=128), help="Window, samples.  [default: 1024]")
@click.option(
    "--hop", type=click.IntRange(min=16), help="Samples.  [default: a quarter of the window]"
)
@click.option(
    "--switches",
    type=click.Choice(["discovered", "components", "labels"]),
    default="discovered",
    show_default=True,
    help="Where switches get their meaning: from what loops sound like, from the principal "
    "components of a latent, or from --labels.",
)
@click.option(
    "--labels",
    metavar="NAME,...",
    help="One switch for each: labels of the corpus (drums,brightness,mode=minor), or of --tags.",
)
@click.option(
    "--tags",
    type=click.Path(path_type=Path),
    help="CSV of the owner's labels: columns track and tags, the latter separated by ';'.",
)
@click.option(
    "--reach",
    type=Finite(min=0.01, max=3),
    help="How far a switch goes either way, in standard deviations.  [default: 1.25]",
)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="NAME=VALUE",
    help="Change a size or rate of training.run.config.Config, such as width=128 or "
    "analysis.n_bands=96.",
)
def train(
    corpus: Path,
    out: Path,
    minutes: float | None,
    steps: int | None,
    device: str,
    precision: str,
    threads: int | None,
    seed: int,
    codec_run: Path | None,
    from_run: Path | None,
    resume: bool,
    bands: str | None,
    window: str | None,
    n_fft: int | None,
    hop: int | None,
    switches: str,
    labels: str | None,
    tags: Path | None,
    reach: float | None,
    overrides: tuple[str, ...],
) -> None:
    """Train codec and composer on CORPUS; the networks end up in OUT/model.pt.

    With several GPUs or machines, let torchrun start it: torchrun --nproc-per-node 4
    $(which switchboard) train CORPUS ...
    """
    if (minutes is None) == (steps is None):
        raise click.UsageError("give either --minutes or --steps")
    if codec_run and from_run:
        raise click.UsageError("--from brings its own codec: leave out --codec")
    if (codec_run or from_run) and (bands or window or n_fft or hop):
        option = "--codec" if codec_run else "--from"
        raise click.UsageError(f"{option} brings its own bands and window: leave out those options")
    import torch

    from training.corpus.reader import Corpus
    from training.features.dataset import open_features
    from training.reporting.progress import Reached, shown_progress, shown_training
    from training.run.distributed import crew_of_torchrun
    from training.run.networks import Networks
    from training.run.run_folder import open_run, read_origins
    from training.run.trainer import Budget, Trainer

    if threads:
        torch.set_num_threads(threads)
    with crew_of_torchrun() as crew:
        where = _device(device)
        said = LabelOptions.of(switches, labels, tags)
        asked = {"seed": seed, "precision": _precision(precision, where), **said.settings()}
        asked |= {} if reach is None else {"reach": reach}
        adopted = open_run(codec_run) if codec_run else None
        begun = open_run(from_run) if from_run else None
        sizes = _sizes(bands, window, n_fft, hop)
        config = _configure(_base(adopted, begun, sizes) | asked, overrides)
        music = Corpus.open(corpus)
        labelled = said.read(music)
        if not resume and crew.leads:
            _prepare(out, config)
        with shown_progress("loops", what="analysing", err=False) as analysed:
            features = open_features(
                music,
                config.analysis,
                labels=labelled,
                n_workers=torch.get_num_threads(),
                on_progress=analysed,
            )
        networks = Networks.build(config, features.n_slots).to(where)
        with shown_training(hidden=not crew.leads) as shown, _told_when_interrupted(out):
            budget = Budget(steps, minutes)

            def report(stage: str, done: float, figures: dict[str, float]) -> None:
                step = trainer.progress.step
                shown.report(Reached(stage, step, done, trainer.done_of_run(done), figures))

            trainer = Trainer(
                out, networks, features, config, budget=budget, report=report, crew=crew
            )
            _begin(trainer, resume, adopted, begun)
            origins = read_origins(out)
            trainer.train()
            if crew.leads:
                shown.begin("examining the panel")
                _finish(out, networks, music, config, origins)
                shown.begin("writing previews")
                _preview(out, networks, music, features, config)
    if crew.leads:
        say(f"{out / 'model.pt'} written; next: switchboard export {out} --out model.onnx")


def _begin(
    trainer: "Trainer", resume: bool, adopted: "FinishedRun | None", begun: "FinishedRun | None"
) -> None:
    """Start where the command line says."""
    if resume:
        trainer.resume()
    elif adopted:
        trainer.adopt(adopted)
    elif begun:
        trainer.train_further(begun)


@contextmanager
def _told_when_interrupted(out: Path) -> Iterator[None]:
    """Say what is left of a training that Ctrl-C ends."""
    try:
        yield
    except KeyboardInterrupt:
        if (out / "model.pt").is_file():
            kept = f"{out / 'model.pt'} is whole"
        elif (out / "checkpoint.pt").is_file():
            kept = f"{out / 'checkpoint.pt'} is whole: go on with --resume"
        else:
            kept = "there was no checkpoint yet: start again"
        click.echo(f"\nswitchboard: interrupted; {kept}", err=True)
        raise


@dataclass(frozen=True)
class LabelOptions:
    """What the owner says of the music, if switches are to be made of that."""

    switches: str
    names: tuple[str, ...] = ()
    tags: "Mapping[str, frozenset[str]] | None" = None

    @classmethod
    def of(cls, switches: str, labels: str | None, tags: Path | None) -> "LabelOptions":
        """Read the options."""
        from training.switch_axes.labels import read_tags, tag_names

        if (switches == "labels") != bool(labels or tags):
            raise click.UsageError(
                "--switches labels goes with --labels NAME,... or --tags FILE, or both"
            )
        table = read_tags(tags) if tags else None
        names = tuple(labels.split(",")) if labels else tag_names(table or {})
        return cls(switches, names, table)

    def settings(self) -> dict[str, Any]:
        """Say it as settings of a run."""
        said: dict[str, Any] = {"switches": self.switches}
        if self.switches == "labels":
            said |= {"labels": ",".join(self.names), "n_switches": len(self.names)}
        return said

    def read(self, corpus: "Corpus") -> "NDArray[np.float32] | None":
        """Find it in a corpus, (n_loops, n_names)."""
        from training.switch_axes.labels import factors, tagged

        if self.switches != "labels":
            return None
        if self.tags is not None:
            return tagged(corpus, self.tags, self.names)
        return factors(corpus, self.names)


def _sizes(
    bands: str | None, window: str | None, n_fft: int | None, hop: int | None
) -> dict[str, Any]:
    """Bands and window that were asked for, as settings of a run."""
    from training.features.analysis import Analysis

    analysis = Analysis.shaped(bands or "warped", n_fft or 1_024, hop, window or "hann")
    return {"analysis": analysis.to_dict()}


def _device(name: str) -> "torch.device":
    import torch

    from training.run.config import TrainingError
    from training.run.distributed import own_accelerator

    if name == "cuda" and not torch.cuda.is_available():
        raise TrainingError("--device cuda: no CUDA device found; use --device cpu or auto")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return own_accelerator() if name == "cuda" else torch.device(name)


def _precision(name: str, where: "torch.device") -> str:
    if name == "auto":
        return "bfloat16" if where.type == "cuda" else "float32"
    return name


def _configure(settings: dict[str, Any], overrides: tuple[str, ...]) -> "Config":
    from training.run.config import Config

    raw = Config().to_dict() | settings
    for item in overrides:
        _override(raw, item)
    return Config.from_dict(raw)


def _base(
    adopted: "FinishedRun | None",
    begun: "FinishedRun | None",
    sizes: dict[str, Any],
) -> dict[str, Any]:
    """Settings that come with another run, or with the bands and window that were asked for."""
    if begun:
        return begun.config.to_dict() | {"continues": True}
    return _codec_settings(adopted) if adopted else sizes


def _codec_settings(run: "FinishedRun") -> dict[str, Any]:
    """Make settings that fit a finished codec, with no share of the budget for it."""
    from training.run.config import CODEC_SETTINGS

    settings = run.config.to_dict()
    return {name: settings[name] for name in CODEC_SETTINGS} | {"codec_share": 0.0}


def _override(raw: dict[str, Any], item: str) -> None:
    from training.run.config import TrainingError

    path, _, text = item.partition("=")
    *groups, name = path.split(".")
    target: Any = raw
    for group in groups:
        target = target.get(group) if isinstance(target, dict) else None
    default = target.get(name) if isinstance(target, dict) else None
    if default is None or isinstance(default, dict):
        raise TrainingError(f"--set {item}: no such setting; see training.run.config.Config")
    try:
        target[name] = type(default)(text)
    except ValueError as error:
        wanted = type(default).__name__
        raise TrainingError(f"--set {item}: found {text!r}, expected {wanted}") from error


def _prepare(out: Path, config: "Config") -> None:
    from training.run.config import TrainingError
    from training.run.run_folder import save_json

    for name in ("checkpoint.pt", "model.pt"):
        if (out / name).exists():
            raise TrainingError(
                f"{out}: a run is there already ({name}); go on with --resume, or choose "
                "another --out"
            )
    try:
        out.mkdir(parents=True, exist_ok=True)
        save_json(out / "config.json", config.to_dict())
    except OSError as error:
        if isinstance(error, SwitchboardError):
            raise
        raise TrainingError(f"{out}: cannot be written ({error.strerror}); see --out") from error


def _finish(
    out: Path,
    networks: "Networks",
    corpus: "Corpus",
    config: "Config",
    origins: dict[str, Any],
) -> None:
    import torch

    from training.run.provenance import commit, machine
    from training.run.run_folder import FinishedRun, save_run
    from training.run.switch_report import measure_switches

    labels = networks.axes.names()
    provenance = {
        "corpus": corpus.provenance_summary(),
        "training": config.to_dict(),
        "commit": commit(),
        "trained_on": machine(networks.codec.mean.device),
        "panel": measure_switches(networks, config).to_dict(),
        # A plain text: its own class would need trust to be loaded.
        "torch": str(torch.__version__),
        **origins,
    }
    networks.to(torch.device("cpu"))
    n_slots = SLOTS_PER_BEAT * corpus.beats_per_loop
    save_run(out, FinishedRun(config, n_slots, corpus.tempo_bpm, networks, labels, provenance))


def _preview(
    out: Path, networks: "Networks", corpus: "Corpus", features: "Features", config: "Config"
) -> None:
    from training.run.preview import draw_curves, write_previews

    write_previews(out / "preview", networks, corpus, features, config)
    draw_curves(out)
