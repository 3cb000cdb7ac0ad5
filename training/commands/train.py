"""`switchboard train`. Heavy imports wait until the verb runs."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from device.commands.number_types import Finite
from device.console import say
from device.model.contract import SLOTS_PER_BEAT, WINDOWS
from training.commands.train_options import LabelOptions, TrainOptions
from training.commands.train_plan import print_plan

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from training.corpus.reader import Corpus
    from training.features.dataset import Features
    from training.reporting.progress import TrainingDisplay
    from training.run.config import Config
    from training.run.distributed import ProcessGroup
    from training.run.networks import Networks
    from training.run.run_folder import FinishedRun
    from training.run.starting import RunState
    from training.run.termination import Termination
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
    help="auto: bfloat16 on CUDA and on processors with AVX512-BF16, float32 elsewhere.",
)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    help="CPU threads; one is fastest while other work runs on the machine.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of weights and batches.")
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
    help="Begin with all networks of a finished run and its settings; its codes do not change.",
)
@click.option(
    "--resume",
    type=click.Choice(["latest", "auto"]),
    is_flag=False,
    flag_value="latest",
    help="Continue from the run's latest checkpoint; auto: begin where there is none, and do "
    "nothing where the run is finished.  [without a value: latest]",
)
@click.option(
    "--checkpoint-every",
    type=Finite(min=0.1),
    default=60,
    show_default=True,
    metavar="SECONDS",
    help="Time between checkpoints; so much work a killed process loses.",
)
@click.option(
    "--batch",
    type=click.Choice(["fixed", "auto"]),
    default="fixed",
    show_default=True,
    help="auto: batches grow with the number of processes, and learning rates with its square "
    "root; a run that is resumed keeps its own.",
)
@click.option(
    "--plan",
    is_flag=True,
    help="Only print what the training will need in memory, disk, hours and processes: a few "
    "steps are timed, and nothing is written.",
)
@click.option(
    "--bands",
    type=click.Choice(["warped", "mel", "linear"]),
    help="Frequency bands of the network's input; a model draws linear bins with any of them.  "
    "[default: warped]",
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
    type=click.Choice(["discovered", "components", "labels", "versions"]),
    default="discovered",
    show_default=True,
    help="Where switches get their meaning: from descriptors of the sound, from the principal "
    "components of a latent, from --labels, or from the versions of a studio corpus.",
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
    help="Distance that a switch moves along its axis either way, in standard deviations.  "
    "[default: 1.5]",
)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="NAME=VALUE",
    help="Change a size or rate of training.run.config.Config, such as width=128 or "
    "analysis.n_bands=96.",
)
def train(**options: Any) -> None:
    """Train codec and composer on CORPUS; the networks end up in OUT/model.pt.

    With several GPUs or machines, let torchrun start it: torchrun --nproc-per-node 4
    $(which switchboard) train CORPUS ...

    SIGTERM saves the state and ends with status 75; --resume auto makes the same command go on.
    """
    requested = TrainOptions(**options)
    import torch

    from training.run.distributed import process_group_of_torchrun
    from training.run.starting import find_state
    from training.run.termination import Termination

    if requested.threads:
        torch.set_num_threads(requested.threads)
    if requested.plan:
        return print_plan(requested)
    out = requested.out
    with (
        Termination() as termination,
        _interruptible(out),
        process_group_of_torchrun() as process_group,
    ):
        state = process_group.broadcast_object(lambda: find_state(out, requested.resume))
        if not state.is_finished:
            _train(requested, state, process_group, termination)
    if process_group.is_leader:
        done = "was finished before" if state.is_finished else "written"
        say(f"{out / 'model.pt'} {done}; next: switchboard export {out} --out model.onnx")


def _train(
    options: TrainOptions,
    state: "RunState",
    process_group: "ProcessGroup",
    termination: "Termination",
) -> None:
    """Read corpus and runs, train, and write the finished run."""
    from training.corpus.reader import Corpus
    from training.reporting.progress import shown_training
    from training.run.networks import Networks
    from training.run.run_folder import open_run
    from training.run.starting import locked_run

    out, device = options.out, options.torch_device()
    label_options = LabelOptions.of(options.switches, options.labels, options.tags)
    codec_run = open_run(options.codec_run) if options.codec_run else None
    initial_run = open_run(options.from_run) if options.from_run else None
    config = options.config(device, label_options, codec_run, initial_run)
    config = options.with_batch(config, state.settings, process_group.size)
    corpus = Corpus.open(options.corpus)
    labels = label_options.read(corpus)
    # What is to be resumed and is not there gets no folder.
    writes = process_group.is_leader and (out.is_dir() or not state.resumes)
    with locked_run(out) if writes else nullcontext():
        if process_group.is_leader and not state.resumes:
            _prepare(out, config)
        features = _analyse(corpus, config, labels)
        networks = Networks.build(config, features.n_slots).to(device)
        with shown_training(hidden=not process_group.is_leader) as display:
            trainer = _trainer(options, networks, features, config, process_group, termination)
            _begin(trainer, state.resumes, codec_run, initial_run)
            _run(trainer, corpus, display)


def _run(trainer: "Trainer", corpus: "Corpus", display: "TrainingDisplay") -> None:
    """Train, and write the finished run; the file of the networks last."""
    from training.reporting.progress import TrainingProgress
    from training.run.page import RunPage
    from training.run.run_folder import read_origins

    # Before the training: a damaged file ends it here and not after hours.
    origins = read_origins(trainer.directory)
    page = RunPage(trainer, corpus.tempo_bpm)

    def report(stage: str, done: float, figures: dict[str, float]) -> None:
        step, done_of_run = trainer.progress.step, trainer.done_of_run(done)
        progress = TrainingProgress(stage, step, done, done_of_run, figures)
        display.report(progress)
        page.refresh_if_due(progress)

    trainer.report = report
    with page.refreshed():
        trainer.train()
    if trainer.process_group.is_leader:
        display.begin("writing previews")
        page.write_finished()
        display.begin("measuring the switches")
        _finish(trainer, corpus, origins)


def _analyse(
    corpus: "Corpus", config: "Config", labels: "NDArray[np.float32] | None"
) -> "Features":
    import torch

    from training.features.dataset import open_features
    from training.reporting.progress import shown_progress

    with shown_progress("loops", what="analysing", err=False) as on_progress:
        return open_features(
            corpus,
            config.analysis,
            labels=labels,
            n_workers=torch.get_num_threads(),
            on_progress=on_progress,
        )


def _trainer(
    options: TrainOptions,
    networks: "Networks",
    features: "Features",
    config: "Config",
    process_group: "ProcessGroup",
    termination: "Termination",
) -> "Trainer":
    from training.run.trainer import Budget, Trainer

    return Trainer(
        options.out,
        networks,
        features,
        config,
        budget=Budget(options.steps, options.minutes),
        report=lambda *_: None,
        process_group=process_group,
        termination=termination,
        checkpoint_seconds=options.checkpoint_every,
    )


def _begin(
    trainer: "Trainer",
    resumes: bool,
    codec_run: "FinishedRun | None",
    initial_run: "FinishedRun | None",
) -> None:
    """Start from the checkpoint, from another run, or from fresh networks."""
    if resumes:
        trainer.resume()
    elif codec_run:
        trainer.start_with_codec(codec_run)
    elif initial_run:
        trainer.start_from(initial_run)


@contextmanager
def _interruptible(out: Path) -> Iterator[None]:
    """Report what remains of a training that Ctrl-C or SIGTERM ends."""
    from training.run.termination import TrainingInterrupted

    try:
        yield
    except KeyboardInterrupt:
        say("", f"switchboard: interrupted; {_kept(out)}", err=True)
        raise
    except TrainingInterrupted as error:
        raise TrainingInterrupted(f"{error}; {_kept(out)}") from None


def _kept(out: Path) -> str:
    if (out / "model.pt").is_file():
        return f"{out / 'model.pt'} is whole"
    if (out / "checkpoint.pt").is_file():
        return f"{out / 'checkpoint.pt'} is whole: go on with --resume"
    return "there was no checkpoint yet: start again"


def _prepare(out: Path, config: "Config") -> None:
    from training.run.config import TrainingError
    from training.run.run_folder import save_json

    for name in ("checkpoint.pt", "model.pt"):
        if (out / name).exists():
            raise TrainingError(
                f"{out}: a run is there already ({name}); go on with --resume, or choose "
                "another --out"
            )
    save_json(out / "config.json", config.to_dict())


def _finish(trainer: "Trainer", corpus: "Corpus", origins: dict[str, Any]) -> None:
    import torch

    from training.run.provenance import commit, machine
    from training.run.run_folder import FinishedRun, save_run
    from training.run.switch_report import measure_switches

    out, networks, config = trainer.directory, trainer.networks, trainer.config
    labels = networks.axes.names()
    provenance = {
        "corpus": corpus.provenance_summary(),
        "training": config.to_dict(),
        "commit": commit(),
        "trained_on": machine(networks.codec.mean.device),
        "panel": measure_switches(networks, config).to_dict(),
        # A plain text: loading torch's own class would need a full unpickler.
        "torch": str(torch.__version__),
        **origins,
    }
    networks.to(torch.device("cpu"))
    n_slots = SLOTS_PER_BEAT * corpus.beats_per_loop
    save_run(out, FinishedRun(config, n_slots, corpus.tempo_bpm, networks, labels, provenance))
