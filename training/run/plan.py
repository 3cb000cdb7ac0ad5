"""What a training will need, found before it starts: memory, disk, hours and processes.

Some loops of the corpus are analysed and a few steps of both stages are taken, with batches of the
real size, so the figures are those of this machine as busy as it is now. For several processes one
of them is timed: its shard of the batch, without the time that the exchange of gradients takes.
"""

import io
import resource
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor, nn

from device.model.contract import SLOTS_PER_BEAT
from training.corpus.format import TRAIN
from training.corpus.reader import Corpus
from training.features.dataset import (
    Features,
    analyse_loop,
    analysis_files,
    references_among,
    references_of,
)
from training.run.config import Config
from training.run.describe_codes import compose, describe_corpus
from training.run.distributed import Loss, ProcessGroup
from training.run.networks import Networks
from training.run.preview import N_PREVIEWS
from training.run.stages import encode_corpus
from training.run.switch_report import n_loops_measured
from training.run.trainer import REPORT_STEPS, Budget, Trainer, most_processes
from training.run.training_log import Progress

_N_ANALYSED = 8  # loops
# Of each stage; the first ones are slower and do not count.
_N_STEPS, _N_WARM_UP = 8, 3
# Of curves.csv, of one report.
_ROWS, _ROW_BYTES = 11, 40


@dataclass(frozen=True)
class _Rehearsal(ProcessGroup):
    """The first process of a group whose other members are not there."""

    def total_of(self, tensor: Tensor) -> Tensor:
        return tensor * self.size

    def wrap_loss(
        self, loss: Loss, parameters: Sequence[nn.Parameter], *, uses_all: bool = True
    ) -> Loss:
        del parameters, uses_all
        return loss

    def broadcast(self, tensors: Iterable[Tensor]) -> None:
        del tensors

    def exchange(self, whole: Tensor, n_at_once: int) -> None:
        del whole, n_at_once


@dataclass(frozen=True)
class Cost:
    """Cost of a training with some number of processes.

    Attributes
    ----------
    n_processes : int
    step_seconds : (float, float)
        One step of the codec, one of the composer.
    n_steps : (int, int)
        Of both stages.
    seconds : float
        From the start to the finished run.
    memory, gpu_memory : int
        Bytes, of one process; 0 where there is no GPU.
    """

    n_processes: int
    step_seconds: tuple[float, float]
    n_steps: tuple[int, int]
    seconds: float
    memory: int
    gpu_memory: int


@dataclass(frozen=True)
class Plan:
    """What a training will need.

    Attributes
    ----------
    n_loops, n_train : int
        Of the corpus, and those trained on.
    n_weights : int
    features_bytes, missing_bytes : int
        Analysis of the corpus, and what of it is still to be written.
    checkpoint_bytes : int
        The largest; there are two while one is replaced.
    finished_bytes : int
        Folder of the finished run, without its page.
    gradient_bytes : int
        That every process exchanges with the others in a step of the larger stage.
    most_processes : int
        A batch has no more parts.
    costs : tuple of Cost
        With 1, 2, 4 … processes.
    """

    n_loops: int
    n_train: int
    n_weights: int
    features_bytes: int
    missing_bytes: int
    checkpoint_bytes: int
    finished_bytes: int
    gradient_bytes: int
    most_processes: int
    costs: tuple[Cost, ...]


def make_plan(
    corpus: Corpus,
    budget: Budget,
    device: torch.device,
    config_for: Callable[[int], Config],
    *,
    most: int,
) -> Plan:
    """Analyse some loops, take some steps, and add up.

    Parameters
    ----------
    config_for : callable
        Number of processes → settings of the run.
    most : int
        Plan for so many processes, or as many as a batch has parts for.

    Raises
    ------
    TrainingError
        If networks of these sizes do not fit into memory.
    """
    config, train = config_for(1), corpus.indices(TRAIN)
    n_train, n_references = len(train), len(references_among(train, references_of(corpus)))
    files = analysis_files(corpus, config.analysis)
    features_bytes = sum(n_bytes for _, n_bytes in files)
    missing = sum(n_bytes for path, n_bytes in files if not path.exists())
    features, analysing_each = _sample(corpus, config)
    analysing = analysing_each * len(corpus) / torch.get_num_threads() if missing else 0.0
    powers_of_two = (2**power for power in range(most.bit_length()))
    sizes = [n for n in powers_of_two if n <= most_processes(config_for(n), n_references)]
    # The largest shards last: the peak of memory is that of the process so far.
    trials = [_Trial(config_for(n), features, device, n) for n in reversed(sizes)]
    whole = trials[-1]
    report_bytes = _ROWS * _ROW_BYTES * sum(whole.n_steps(budget)) // REPORT_STEPS
    seconds_each = corpus.beats_per_loop * 60 / corpus.tempo_bpm
    # Every held-out loop twice, and switch states, in 16 bits.
    n_sounds = 2 * min(N_PREVIEWS, len(corpus) - n_train) + N_PREVIEWS
    preview_bytes = round(n_sounds * 2 * seconds_each * corpus.sample_rate)
    return Plan(
        n_loops=len(corpus),
        n_train=n_train,
        n_weights=whole.n_weights,
        features_bytes=features_bytes,
        missing_bytes=missing,
        checkpoint_bytes=whole.checkpoint_bytes,
        finished_bytes=2 * whole.networks_bytes + preview_bytes + report_bytes,
        gradient_bytes=whole.gradient_bytes,
        most_processes=most_processes(config, n_references),
        costs=tuple(trial.cost(budget, len(corpus), analysing) for trial in reversed(trials)),
    )


def _sample(corpus: Corpus, config: Config) -> tuple[Features, float]:
    """Some loops, each of which stands for many, and the seconds that the analysis of one takes."""
    began = time.perf_counter()
    chosen = np.unique(np.linspace(0, len(corpus) - 1, _N_ANALYSED).astype(int))
    analysed = [analyse_loop(corpus, config.analysis, int(i), 0.5) for i in chosen]
    seconds = (time.perf_counter() - began) / len(chosen)
    log_bands, advance = (np.stack(part) for part in zip(*analysed, strict=True))
    n_train = len(corpus.indices(TRAIN))
    features = Features(
        log_bands=log_bands,
        advance=advance,
        offsets=np.full(len(chosen), 0.5, np.float32),
        train=np.arange(n_train) % len(chosen),
        held_out=np.arange(len(corpus) - n_train) % len(chosen),
        n_slots=SLOTS_PER_BEAT * corpus.beats_per_loop,
        labels=np.zeros((len(chosen), 0), np.float32),
        references=np.arange(len(chosen)),
    )
    return features, seconds


def _in_pairs(features: Features, n_factors: int) -> Features:
    """The same loops as references and another version each, whatever they are."""
    number = np.arange(len(features.log_bands))
    is_reference = (number % 2 == 0)[:, np.newaxis]
    labels = np.broadcast_to(is_reference, (len(number), n_factors)).astype(np.float32)
    return replace(features, labels=labels, references=number - number % 2)


class _Trial:
    """A few steps of both stages, as one of several processes takes them, and what they cost."""

    def __init__(
        self, config: Config, features: Features, device: torch.device, n_processes: int
    ) -> None:
        # Labels may be the same in the few loops; how long steps take does not depend on them.
        if config.switches == "versions":
            features = _in_pairs(features, config.n_switches)
        elif config.labels:
            config = replace(config, switches="discovered", labels="")
        self.config = config
        self.n_processes = n_processes
        networks = Networks.build(self.config, features.n_slots).to(device)
        self.networks_bytes = _saved_bytes(networks.state())
        parts = vars(networks).values()
        self.n_weights = sum(weight.numel() for part in parts for weight in part.parameters())
        self.optimiser_bytes = self.gradient_bytes = 0
        with TemporaryDirectory() as directory:
            codec, composer = (
                self._time(Path(directory), networks, features, number) for number in (0, 1)
            )
        self.step_seconds = codec[0], composer[0]
        self.evaluation_seconds = codec[1], composer[1]
        self.checkpoint_bytes = self.networks_bytes + self.optimiser_bytes
        self.encoding, self.composing = self._time_of_loops(networks, features)
        # Of Linux, in KiB.
        self.memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        self.gpu_memory = torch.cuda.max_memory_reserved() if device.type == "cuda" else 0

    def _time(
        self, directory: Path, networks: Networks, features: Features, number: int
    ) -> tuple[float, float]:
        """Seconds of a step and of an evaluation of a stage."""
        moments = []
        trainer = Trainer(
            directory,
            networks,
            features,
            self.config,
            budget=Budget(2 * _N_STEPS, None),
            report=lambda *_: moments.append(time.perf_counter()),
            process_group=_Rehearsal(0, self.n_processes),
        )
        trainer.progress = Progress(stage=number)
        stage = trainer.make_stage(number)
        trainer.train_stage(stage, Budget(_N_STEPS, None))
        self._add_bytes(stage.parameters)
        # An evaluation precedes the last report.
        *steps, last = np.diff(moments)
        step = float(median(steps[_N_WARM_UP:]))
        return step, max(0.0, float(last) - step)

    def _add_bytes(self, parameters: Sequence[nn.Parameter]) -> None:
        gradients = sum(weight.numel() * weight.element_size() for weight in parameters)
        optimiser = torch.optim.AdamW(parameters)
        optimiser.step()
        self.gradient_bytes = max(self.gradient_bytes, gradients)
        self.optimiser_bytes = max(self.optimiser_bytes, _saved_bytes(optimiser.state_dict()))

    def _time_of_loops(self, networks: Networks, features: Features) -> tuple[float, float]:
        """Seconds to encode and describe one loop, and to compose and describe one."""
        began = time.perf_counter()
        code_indices = encode_corpus(networks, features, self.config)
        describe_corpus(networks, code_indices, self.config).cpu()
        encoded = time.perf_counter()
        bits = torch.zeros(_N_ANALYSED, self.config.n_switches)
        variation = torch.zeros(_N_ANALYSED, self.config.n_variation)
        composed = compose(networks, bits, variation)
        # Waits for the GPU.
        describe_corpus(networks, composed, self.config).cpu()
        composing = (time.perf_counter() - encoded) / _N_ANALYSED
        n_loops: int = len(features.log_bands)
        return (encoded - began) / n_loops, composing

    def n_steps(self, budget: Budget) -> tuple[int, int]:
        """Steps of both stages that the budget allows."""
        shares = (self.config.codec_share, 1 - self.config.codec_share)
        codec, composer = (
            self._steps(budget.part(share), number) if share else 0
            for number, share in enumerate(shares)
        )
        return codec, composer

    def _steps(self, budget: Budget, number: int) -> int:
        if budget.steps is not None:
            return budget.steps
        assert budget.minutes is not None
        evaluation = self.evaluation_seconds[number] / REPORT_STEPS
        return max(1, round(60 * budget.minutes / (self.step_seconds[number] + evaluation)))

    def cost(self, budget: Budget, n_loops: int, analysing: float) -> Cost:
        """Add up the whole run; `analysing` is the time that the analysis of the corpus takes."""
        n_steps = self.n_steps(budget)
        per_step = [
            step + evaluation / REPORT_STEPS
            for step, evaluation in zip(self.step_seconds, self.evaluation_seconds, strict=True)
        ]
        training = sum(n * seconds for n, seconds in zip(n_steps, per_step, strict=True))
        encoding = self.encoding * n_loops / self.n_processes
        measuring = self.composing * n_loops_measured(self.config)
        return Cost(
            n_processes=self.n_processes,
            step_seconds=self.step_seconds,
            n_steps=n_steps,
            seconds=analysing + training + encoding + measuring,
            memory=self.memory,
            gpu_memory=self.gpu_memory,
        )


def _saved_bytes(content: object) -> int:
    packed = io.BytesIO()
    torch.save(content, packed)
    return len(packed.getvalue())
