"""`switchboard train`. Heavy imports wait until the verb runs."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from device.commands.ranges import Finite
from device.contract import SLOTS_PER_BEAT

if TYPE_CHECKING:
    import torch

    from training.analysis import Analysis
    from training.corpus import Corpus
    from training.features import Features
    from training.run import Config, Networks


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
@click.option("--resume", is_flag=True, help="Go on from the run's latest checkpoint.")
@click.option(
    "--bands",
    type=click.Choice(["warped", "mel", "linear"]),
    default="warped",
    show_default=True,
    help="What the network sees; the model it becomes always draws linear bins.",
)
@click.option(
    "--n-fft", type=click.IntRange(min=128), default=1024, show_default=True, help="Window, samples."
)
@click.option("--hop", type=click.IntRange(min=16), help="Samples; a quarter of the window if not given.")
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="NAME=VALUE",
    help="Change a size or rate of training.run.Config, such as width=128 or analysis.n_bands=96.",
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
    resume: bool,
    bands: str,
    n_fft: int,
    hop: int | None,
    overrides: tuple[str, ...],
) -> None:
    """Train codec and composer on CORPUS; the networks end up in OUT/model.pt."""
    if (minutes is None) == (steps is None):
        raise click.UsageError("give either --minutes or --steps")
    import torch

    from training.analysis import Analysis
    from training.corpus import Corpus
    from training.features import open_features
    from training.run import Networks
    from training.trainer import Budget, Trainer

    if threads:
        torch.set_num_threads(threads)
    where = _device(device)
    analysis = Analysis.shaped(bands, n_fft, hop)
    config = _configure(seed, _precision(precision, where), analysis, overrides)
    music = Corpus.open(corpus)
    if not resume:
        _prepare(out, config)
    features = open_features(music, config.analysis, n_workers=torch.get_num_threads())
    networks = Networks.build(config, features.n_slots).to(where)
    with _Bar() as bar:
        budget = Budget(steps, minutes)
        trainer = Trainer(out, networks, features, config, budget=budget, report=bar.report)
        if resume:
            trainer.resume()
        trainer.train()
    _finish(out, networks, music, config)
    _preview(out, networks, music, features, config)
    click.echo(f"{out / 'model.pt'} written; next: switchboard export {out} --out model.onnx")


def _device(name: str) -> "torch.device":
    import torch

    from training.run import TrainingError

    if name == "cuda" and not torch.cuda.is_available():
        raise TrainingError("--device cuda: no CUDA device found; use --device cpu or auto")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def _precision(name: str, where: "torch.device") -> str:
    if name == "auto":
        return "bfloat16" if where.type == "cuda" else "float32"
    return name


def _configure(
    seed: int, precision: str, analysis: "Analysis", overrides: tuple[str, ...]
) -> "Config":
    from training.run import Config

    raw = Config(seed=seed, precision=precision).to_dict() | {"analysis": analysis.to_dict()}
    for item in overrides:
        _override(raw, item)
    return Config.from_dict(raw)


def _override(raw: dict[str, Any], item: str) -> None:
    from training.run import TrainingError

    path, _, text = item.partition("=")
    *groups, name = path.split(".")
    target: Any = raw
    for group in groups:
        target = target.get(group) if isinstance(target, dict) else None
    default = target.get(name) if isinstance(target, dict) else None
    if default is None or isinstance(default, dict):
        raise TrainingError(f"--set {item}: no such setting; see training.run.Config")
    try:
        target[name] = type(default)(text)
    except ValueError as error:
        wanted = type(default).__name__
        raise TrainingError(f"--set {item}: found {text!r}, expected {wanted}") from error


def _prepare(out: Path, config: "Config") -> None:
    from training.run import TrainingError, save_json

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
        raise TrainingError(f"{out}: cannot be written ({error.strerror}); see --out") from error


def _finish(out: Path, networks: "Networks", corpus: "Corpus", config: "Config") -> None:
    import torch

    from training.axes import name
    from training.origin import commit, machine
    from training.panel import examine
    from training.run import FinishedRun, save_run

    labels = name(networks.axes.effect)
    provenance = {
        "corpus": corpus.provenance_summary(),
        "training": config.to_dict(),
        "commit": commit(),
        "trained_on": machine(networks.codec.mean.device),
        "panel": examine(networks, config).to_dict(),
        # A plain text: its own class would need trust to be loaded.
        "torch": str(torch.__version__),
    }
    networks.to(torch.device("cpu"))
    n_slots = SLOTS_PER_BEAT * corpus.beats_per_loop
    save_run(out, FinishedRun(config, n_slots, corpus.tempo_bpm, networks, labels, provenance))


def _preview(
    out: Path, networks: "Networks", corpus: "Corpus", features: "Features", config: "Config"
) -> None:
    from training.preview import draw_curves, write_previews

    write_previews(out / "preview", networks, corpus, features, config)
    draw_curves(out)


class _Bar:
    """A calm progress bar with the latest figures and the time left."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress = Progress(
            TextColumn("{task.description:9}"),
            BarColumn(),
            TextColumn("{task.percentage:5.1f} %"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[rate]} {task.fields[figures]}"),
            refresh_per_second=1,
        )
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> "_Bar":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def report(self, stage: str, done: float, figures: dict[str, float]) -> None:
        if stage not in self._tasks:
            self._tasks[stage] = self._progress.add_task(stage, total=1.0, rate="", figures="")
        task = self._progress.tasks[self._tasks[stage]]
        text = "  ".join(f"{name} {value:.3g}" for name, value in list(figures.items())[:2])
        n_steps = task.fields.get("n_steps", 0) + 1
        rate = f"{n_steps / task.elapsed:.1f} steps/s" if task.elapsed else ""
        self._progress.update(
            task.id, completed=min(done, 1.0), figures=text, rate=rate, n_steps=n_steps
        )
