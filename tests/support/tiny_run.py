"""A small training, for the tests of the workstation: sizes, a toy corpus, a finished run."""

import numpy as np
import torch
from click.testing import CliRunner

from training.commands.train import train
from training.corpus.generator.corpus_writer import write_studio_corpus
from training.features.analysis import Analysis
from training.features.dataset import Features
from training.features.descriptors import NAMES
from training.run.config import Config
from training.run.networks import Networks
from training.run.run_folder import FinishedRun, open_run
from training.run.trainer import Budget, Trainer

ANALYSIS = Analysis(
    n_fft=256, hop_length=64, n_bands=32, n_linear=24, frames_per_slot=4, n_guided=8
)
CONFIG = Config(
    n_codes=4,
    width=16,
    n_channels=24,
    hidden=32,
    composer_width=16,
    composer_layers=1,
    reader_width=16,
    n_switches=3,
    n_variation=4,
    codec_loops=3,
    codec_slots=24,
    composer_loops=6,
    analysis=ANALYSIS,
)
N_SLOTS = 8
# The shortest corpus with a loop held out.
CORPUS_MINUTES = 4.2


def options(config=CONFIG):
    """The options of `train` that make a configuration of the default one, on any processor."""
    default = Config().to_dict()
    groups = [("", config.to_dict(), default)]
    groups.append(("analysis.", config.to_dict()["analysis"], default["analysis"]))
    settings = [
        part
        for prefix, values, usual in groups
        for name, value in values.items()
        if value != usual[name] and not isinstance(value, dict)
        for part in ("--set", f"{prefix}{name}={value}")
    ]
    # By itself it is chosen by the processor.
    return ["--precision", config.precision, *settings]


def networks(config=CONFIG, n_slots=N_SLOTS):
    """Fresh networks, ready to compute."""
    built = Networks.build(config, n_slots)
    for network in vars(built).values():
        network.eval()
    return built


def untrained(config):
    """A run of fresh networks, with the statistics that the switch axes need."""
    made = networks(config, N_SLOTS)
    rng = torch.Generator().manual_seed(1)
    described = torch.randn(100, len(NAMES), generator=rng)
    made.axes.fit(described, (torch.randn(100, 3, generator=rng) > 0).float())
    made.axes.fit_latent(torch.randn(100, 7, generator=rng), described)
    with torch.no_grad():
        made.composer.latent.weight *= 30
        made.codec.mean.copy_(torch.linspace(-1, 1, config.analysis.n_bands))
    return FinishedRun(config, N_SLOTS, 80.0, made, made.axes.names(), {"corpus": {}})


def toy_features(n_loops=12, n_held_out=2, seed=0):
    """Loops in which one of three notes, or none, sounds in every slot."""
    rng = np.random.default_rng(seed)
    per_slot = ANALYSIS.frames_per_slot
    log_bands = np.full((n_loops, N_SLOTS * per_slot, ANALYSIS.n_bands), ANALYSIS.log_floor)
    for loop in range(n_loops):
        for slot, note in enumerate(rng.integers(0, 4, N_SLOTS)):
            if note < 3:
                log_bands[loop, slot * per_slot : (slot + 1) * per_slot, 4 + 8 * note] = 2.0
    numbers = np.arange(n_loops)
    return Features(
        log_bands=log_bands.astype(np.float16),
        advance=rng.integers(-128, 128, (*log_bands.shape[:2], ANALYSIS.n_guided), np.int8),
        offsets=np.linspace(0, 0.9, n_loops, dtype=np.float32),
        train=numbers[n_held_out:],
        held_out=numbers[:n_held_out],
        n_slots=N_SLOTS,
        labels=np.zeros((n_loops, 0), np.float32),
        references=numbers,
    )


def studio_corpus(directory):
    """A studio corpus of 21 loops."""
    write_studio_corpus(directory, seed=5, minutes=CORPUS_MINUTES)
    return directory


def invoke(corpus, out, *more):
    """Run `switchboard train` with the tiny sizes."""
    arguments = [str(corpus), "--out", str(out), "--device", "cpu", "--threads", "1"]
    return CliRunner().invoke(train, [*arguments, *options(), *more])


def finished(tmp_path_factory):
    """Train a few steps on the studio, once a session; returns the corpus and the run."""
    directory = tmp_path_factory.getbasetemp() / "workstation"
    corpus, out = directory / "corpus", directory / "run"
    if not out.exists():
        result = invoke(studio_corpus(corpus), out, "--steps", "10")
        assert result.exit_code == 0, result.output
    return corpus, out


def trained(directory, config, n_steps, **more):
    """Train on toy features in this process; returns the trainer."""
    directory.mkdir(exist_ok=True)
    trainer = Trainer(
        directory,
        Networks.build(config, N_SLOTS),
        toy_features(),
        config,
        budget=Budget(n_steps, None),
        report=lambda *_: None,
        **more,
    )
    trainer.train()
    return trainer


def weights(source):
    """All weights by name, of networks or of a run's folder."""
    networks = source if isinstance(source, Networks) else open_run(source).networks
    return {
        f"{part}.{name}": tensor.clone()
        for part, state in networks.state().items()
        for name, tensor in state.items()
    }


def same_bits(a, b):
    """Return whether two sets of weights are the same to the last bit."""
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
