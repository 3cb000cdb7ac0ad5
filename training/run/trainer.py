"""The trainer: first the codec, then the composer on its codes, one budget for both.

Batches depend on their step alone, and checkpoints hold weights, optimiser and counters, so a run
that was killed continues exactly from its latest checkpoint, with any number of processes. Rows of
``curves.csv`` after that checkpoint are dropped: those steps are computed, and logged, again.
"""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from training.features.dataset import Features, references_among
from training.run.checkpoint import CHECKPOINT, check_fits_parameters
from training.run.codec_stage import CodecStage
from training.run.config import (
    CODEC_SETTINGS,
    COMPOSER_SETTINGS,
    STRETCH_SLOTS,
    Config,
    TrainingError,
)
from training.run.distributed import SINGLE_PROCESS, Loss, ProcessGroup
from training.run.networks import Networks
from training.run.prefetch import prefetched
from training.run.run_folder import (
    CODEC_ORIGIN,
    START_ORIGIN,
    FinishedRun,
    check_contents,
    load_saved,
    naming_file,
    save_atomically,
    save_json,
)
from training.run.stages import STAGES, ComposerStage, Stage, encode_corpus
from training.run.termination import Termination, TrainingInterrupted
from training.run.training_log import Progress, StartLog, TrainingLog

CHECKPOINT_SECONDS = 60.0
REPORT_STEPS = 50
WARM_UP_STEPS = 100


@dataclass(frozen=True)
class Budget:
    """How long to train: so many steps, or so many minutes; the other is None."""

    steps: int | None
    minutes: float | None

    def part(self, share: float) -> "Budget":
        """Take a share of it."""
        if self.steps is not None:
            return Budget(max(1, round(self.steps * share)), None)
        assert self.minutes is not None
        return Budget(None, self.minutes * share)

    def progress(self, step: int, seconds: float) -> float:
        """Share that is used up, 0 to 1."""
        if self.steps is not None:
            return step / self.steps
        assert self.minutes is not None
        return seconds / (60 * self.minutes)


class Trainer:
    """Runs stages one after another, with checkpoints.

    Parameters
    ----------
    directory : Path
        The run.
    budget : Budget
        For all stages together.
    report : callable
        Called after every step with (stage name, progress 0…1, figures).
    clock : callable
        Seconds, monotonic.
    process_group : ProcessGroup
        The processes that train together; only the leader writes and reports.
    termination : Termination
        After its signal the step is finished and saved, in all processes.
    checkpoint_seconds : float
        Time between checkpoints; `CHECKPOINT_SECONDS` if left out.
    """

    def __init__(
        self,
        directory: Path,
        networks: Networks,
        features: Features,
        config: Config,
        *,
        budget: Budget,
        report: Callable[[str, float, dict[str, float]], None],
        clock: Callable[[], float] = time.monotonic,
        process_group: ProcessGroup = SINGLE_PROCESS,
        termination: Termination | None = None,
        checkpoint_seconds: float | None = None,
    ) -> None:
        self.directory = directory
        self.networks = networks
        self.features = features
        self.config = config
        self.budget = budget
        self.report = report
        self.clock = clock
        self.process_group = process_group
        self.termination = termination or Termination()
        self.checkpoint_seconds = checkpoint_seconds or CHECKPOINT_SECONDS
        # The composer is trained on references, and all loops without versions are some.
        references = references_among(features.train, features.references)
        most = most_processes(config, len(references))
        if process_group.size > most:
            raise TrainingError(
                f"found {process_group.size} processes, expected {most} at most: a batch has "
                "no more parts (codec_slots, composer_loops, loops to train on)"
            )
        self.progress = Progress()
        self.curves = TrainingLog(directory / "curves.csv")
        self._optimiser_state: dict[str, Any] | None = None

    @property
    def checkpoint_path(self) -> Path:
        """Path of the latest state."""
        return self.directory / "checkpoint.pt"

    def resume(self) -> None:
        """Load the latest checkpoint.

        Raises
        ------
        TrainingError
            If there is none, or it cannot be read, or was made with other settings.
        """
        saved = self.process_group.broadcast_object(self._latest)
        with naming_file(self.checkpoint_path):
            check_contents(saved, CHECKPOINT)
            before = Config.from_dict(saved["config"])
        self._check_same_settings(before)
        with naming_file(self.checkpoint_path):
            self.networks.load(saved["networks"])
        self.progress = Progress(**saved["progress"])
        self._optimiser_state = saved["optimiser"]

    def _latest(self) -> dict[str, Any]:
        if not self.checkpoint_path.is_file():
            raise TrainingError(
                f"{self.directory}: no checkpoint.pt found to resume; leave --resume out"
            )
        return load_saved(self.checkpoint_path)

    def start_with_codec(self, run: FinishedRun) -> None:
        """Begin with the codec of a finished run.

        Raises
        ------
        TrainingError
            If the settings need another codec.
        """
        self._check_fits(run, CODEC_SETTINGS, "--codec")
        self.networks.codec.load_state_dict(run.networks.codec.state_dict())
        self._begin_with(run, CODEC_ORIGIN, stage=STAGES.index(ComposerStage.name))

    def start_from(self, run: FinishedRun) -> None:
        """Begin with all networks of a finished run.

        Raises
        ------
        TrainingError
            If the settings need other networks.
        """
        self._check_fits(run, CODEC_SETTINGS + COMPOSER_SETTINGS, "--from")
        self.networks.load(run.networks.state())
        skipped = STAGES.index(ComposerStage.name) if self.config.codec_share == 0 else 0
        self._begin_with(run, START_ORIGIN, stage=skipped)

    def _check_fits(self, run: FinishedRun, names: tuple[str, ...], option: str) -> None:
        for name in names:
            of_run, requested = getattr(run.config, name), getattr(self.config, name)
            if of_run != requested:
                # The only one that is no setting by itself.
                shown = "factors of --switches versions:" if name == "n_factors" else name
                raise TrainingError(
                    f"{option}: found a run with {shown} {of_run}, requested {requested}; "
                    f"request the same, or train without {option}"
                )

    def _begin_with(self, run: FinishedRun, origin: str, *, stage: int) -> None:
        self.progress = Progress(stage=stage)
        if self.process_group.is_leader:
            save_json(self.directory / origin, run.provenance)
        self._save(None)

    def _check_same_settings(self, before: Config) -> None:
        made_with = before.to_dict()
        for name, requested in self.config.to_dict().items():
            if made_with[name] != requested:
                raise TrainingError(
                    f"{self.directory}: the checkpoint was made with {name} {made_with[name]}, "
                    f"requested {requested}; give the same settings, or another --out"
                )

    def train(self) -> None:
        """Run, or finish, all stages.

        Raises
        ------
        TrainingError
            If a gradient is not finite.
        """
        if self.process_group.is_leader:
            self.curves.cut(self.progress)
            StartLog(self.directory / "starts.csv").append(self.progress, self.process_group.size)
        for number, share in enumerate(self._shares):
            if number == self.progress.stage:
                if share == 0:
                    raise TrainingError(
                        "setting codec_share: found 0 and no codec to begin with, expected more "
                        "than 0; or take a codec with --codec RUN"
                    )
                stage = self.make_stage(number)
                with self.termination.deferred():
                    self.train_stage(stage, self.budget.part(share))
                    stage.finish()
                    self.progress = Progress(stage=number + 1)
                    self._optimiser_state = None
                    self._save(None)

    @property
    def _shares(self) -> tuple[float, float]:
        """Parts of the budget that stages get."""
        return self.config.codec_share, 1 - self.config.codec_share

    def done_of_run(self, done: float) -> float:
        """Share of the whole budget that is used up, from the share `done` of the current stage."""
        stage = self.progress.stage
        return sum(self._shares[:stage]) + self._shares[stage] * done

    def make_stage(self, number: int) -> Stage:
        """Make a stage, which for the composer encodes and describes the corpus."""
        stage: Stage
        if number == 0:
            stage = CodecStage(self.networks, self.features, self.config, self.process_group)
        else:
            code_indices = encode_corpus(
                self.networks, self.features, self.config, self.process_group
            )
            with self._precision():
                stage = ComposerStage(
                    self.networks, code_indices, self.features, self.config, self.process_group
                )
        if self.progress.step == 0:
            stage.begin()
        # All processes have computed this, but on different machines not to the bit.
        self.process_group.broadcast(
            t for state in self.networks.state().values() for t in state.values()
        )
        return stage

    def train_stage(self, stage: Stage, budget: Budget) -> None:
        """Take the steps of a stage that its budget has left.

        Raises
        ------
        TrainingError
            If a gradient is not finite.
        TrainingInterrupted
            After a signal, with the state saved.
        """
        optimiser = torch.optim.AdamW(stage.parameters, stage.peak_rate, weight_decay=0.01)
        if self._optimiser_state is not None:
            self._restore(optimiser, self._optimiser_state)
        loss = self.process_group.wrap_loss(stage.loss, stage.parameters, uses_all=stage.uses_all)
        at = self.progress
        started, saved = self.clock() - at.seconds, self.clock()
        with prefetched(stage.read, at.step) as batches:
            while (done := budget.progress(at.step, at.seconds)) < 1:
                rate = stage.peak_rate * _schedule(at.step, done)
                figures = self._step(stage, loss, optimiser, rate, next(batches), done)
                at.step += 1
                figures, is_to_end = self._together(figures, started)
                self._log(stage, figures, budget.progress(at.step, at.seconds))
                if is_to_end or self.clock() - saved > self.checkpoint_seconds:
                    self._save(optimiser)
                    saved = self.clock()
                if is_to_end:
                    raise TrainingInterrupted("SIGTERM ended the training")

    def _together(self, figures: dict[str, float], started: float) -> tuple[dict[str, float], bool]:
        """Agree on figures, time and end: else one process could stop while others wait for it."""
        group = self.process_group
        seconds = self.clock() - started if group.is_leader else 0.0
        own = [*figures.values(), seconds, float(self.termination.is_requested)]
        *sums, self.progress.seconds, n_asked = group.totals(own)
        means = [total / group.size for total in sums]
        return dict(zip(figures, means, strict=True)), n_asked > 0

    def _log(self, stage: Stage, figures: dict[str, float], reached: float) -> None:
        """Report a step, and evaluate and log some of them; the leader alone."""
        if not self.process_group.is_leader:
            return
        if reached >= 1 or self.progress.step % REPORT_STEPS == 0:
            with torch.no_grad():
                figures_and_scores = {**figures, **stage.evaluate()}
            self.curves.append(stage.name, self.progress, figures_and_scores)
        self.report(stage.name, reached, figures)

    def _restore(self, optimiser: torch.optim.Optimizer, state: dict[str, Any]) -> None:
        try:
            optimiser.load_state_dict(state)
            check_fits_parameters(optimiser)
        except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise TrainingError(
                f"{self.checkpoint_path}: found an optimiser that does not fit the networks, "
                "expected that of this run; bring back a copy, or train again"
            ) from error

    def _step(
        self,
        stage: Stage,
        joined: Loss,
        optimiser: torch.optim.Optimizer,
        rate: float,
        batch: Any,
        done: float,
    ) -> dict[str, float]:
        for group in optimiser.param_groups:
            group["lr"] = rate
        with self._precision(), self._attention():
            loss, figures = joined(batch, done)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
        norm = nn.utils.clip_grad_norm_(stage.parameters, 1.0)
        if not norm.isfinite():
            # Before the weights change: the checkpoint is still good.
            raise TrainingError(
                f"{self.directory}: step {self.progress.step} of the {stage.name} found a gradient "
                f"of {norm.item()}, expected a number; train again with a smaller {stage.name}_rate"
            )
        optimiser.step()
        return figures

    def _precision(self) -> AbstractContextManager[Any]:
        if self.config.precision == "bfloat16":
            return torch.autocast(self.networks.codec.mean.device.type, dtype=torch.bfloat16)
        return nullcontext()

    def _attention(self) -> AbstractContextManager[Any]:
        """On a processor, attention in plain operations: torch's fused one takes longer."""
        if self.networks.codec.mean.device.type == "cpu":
            return sdpa_kernel(SDPBackend.MATH)
        return nullcontext()

    def _save(self, optimiser: torch.optim.Optimizer | None) -> None:
        if not self.process_group.is_leader:
            return
        content = {
            "config": self.config.to_dict(),
            "networks": self.networks.state(),
            "progress": vars(self.progress),
            "optimiser": None if optimiser is None else optimiser.state_dict(),
        }
        save_atomically(self.checkpoint_path, content)


def most_processes(config: Config, n_references: int) -> int:
    """Most processes that a batch has parts for, of so many references to train on."""
    return min(config.codec_slots // STRETCH_SLOTS, config.composer_loops, n_references)


def _schedule(step: int, done: float) -> float:
    """Share of the peak rate: a linear warm-up, then a cosine down to a fiftieth."""
    cosine = 0.5 * (1 + float(np.cos(np.pi * min(done, 1.0))))
    return min(1.0, (step + 1) / WARM_UP_STEPS) * max(0.02, cosine)
