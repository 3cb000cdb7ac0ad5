"""The trainer: first the codec, then the composer on its digits, one budget for both.

Every batch depends on (seed, stage, step) alone and checkpoints hold weights, optimiser and
counters, so a run that was killed goes on exactly where its latest checkpoint stood. What it had
written down after that checkpoint is forgotten, for it will be done, and written down, again.
"""

import csv
import io
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from training.codec import codec_loss, spread_loss
from training.composer import Reading, aim_loss, composer_loss, frozen, played
from training.crew import ALONE, Crew, Loss
from training.critic import HIDDEN, judging_loss, persuasion_loss
from training.features import Features
from training.hearing import hear, hear_corpus
from training.run import (
    CODEC_ORIGIN,
    CODEC_SETTINGS,
    Config,
    FinishedRun,
    Networks,
    TrainingError,
    load_saved,
    replaced,
    save_atomically,
    save_json,
)

CHECKPOINT_SECONDS = 60.0
REPORT_STEPS = 50
WARM_UP_STEPS = 100
_BATCH = 64


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
        """Say how much is used up, from 0 at the start to 1."""
        if self.steps is not None:
            return step / self.steps
        assert self.minutes is not None
        return seconds / (60 * self.minutes)


class Stage(Protocol):
    """One thing to train."""

    name: str
    parameters: list[nn.Parameter]
    peak_rate: float

    def begin(self) -> None:
        """Find out what must be known before the first step."""
        ...

    def loss(self, step: int, progress: float) -> tuple[Tensor, dict[str, float]]:
        """Compute the loss of the crew's part of a batch, and what to write down of it."""
        ...

    def evaluate(self) -> dict[str, float]:
        """Compute figures on held-out loops, empty if there are none."""
        ...

    def finish(self) -> None:
        """Find out what can be known after the last step."""
        ...


class CodecStage:
    """Trains encoder, score writer and frame renderer to give loops back."""

    name = "codec"

    def __init__(
        self, networks: Networks, features: Features, config: Config, crew: Crew = ALONE
    ) -> None:
        self.codec = networks.codec
        self.features = features
        self.config = config
        self.crew = crew
        self.peak_rate = config.codec_rate
        self.parameters = list(self.codec.parameters())
        self.device = self.codec.mean.device

    def begin(self) -> None:
        """Normalise: mean per band and overall spread, from a sample of the training loops."""
        some = self.features.train[:: max(1, len(self.features.train) // 200)]
        sample = torch.from_numpy(self.features.log_bands[some][:, ::8].astype(np.float32))
        self.codec.mean.copy_(sample.mean(dim=(0, 1)))
        # Where all is silence there is nothing to divide by.
        self.codec.std.copy_(sample.std().clamp_min(1e-3))

    def loss(self, step: int, progress: float) -> tuple[Tensor, dict[str, float]]:
        """Encode whole loops, draw some of their slots."""
        del progress
        rng = np.random.default_rng([self.config.seed, 1, step])
        size = min(self.config.codec_loops, len(self.features.train))
        loops = np.sort(rng.choice(self.features.train, size, replace=False))
        n_slots = self.features.n_slots
        n_drawn = min(self.config.codec_slots, size * n_slots)
        chosen = np.sort(rng.choice(size * n_slots, n_drawn, replace=False))
        chosen = chosen[self.crew.part(n_drawn)]
        # Of the loops, those that the crew's part of the slots is in.
        first, last = chosen[0] // n_slots, chosen[-1] // n_slots
        mine = torch.from_numpy(chosen - first * n_slots).to(self.device)
        drawn, log_spread, target = self._draw(loops[first : last + 1], mine)
        missed, weight = drawn - target, self.crew.weight(n_drawn)
        loss, spread = codec_loss(drawn, target) * weight, spread_loss(log_spread, missed) * weight
        l1 = missed.abs().mean() * weight
        figures = {"loss": loss.item(), "l1": l1.item(), "spread": spread.item()}
        return loss + spread, figures

    def evaluate(self) -> dict[str, float]:
        """Mean absolute error in dB on held-out loops, all slots."""
        loops = self.features.held_out[:8]
        if not len(loops):
            return {}
        every = torch.arange(len(loops) * self.features.n_slots, device=self.device)
        drawn, _, target = self._draw(loops, every)
        nepers = (drawn - target).abs().mean() * self.codec.std
        return {"held_out_db": nepers.item() * 20 / np.log(10)}

    def finish(self) -> None:
        """Nothing is left to find out."""

    def _draw(self, loops: NDArray[np.int64], chosen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        per_slot = self.config.analysis.frames_per_slot
        log_bands = torch.from_numpy(self.features.log_bands[loops].astype(np.float32))
        offset = torch.from_numpy(self.features.offsets[loops]).to(self.device)
        log_bands = log_bands.to(self.device, non_blocking=True)
        rows = self.codec.writer(self.codec.encode(log_bands, offset)).flatten(0, 1)[chosen]
        shift = offset.repeat_interleave(self.features.n_slots)[chosen]
        phase = (torch.arange(per_slot, device=self.device) + shift[:, None]) / per_slot
        rows = rows.repeat_interleave(per_slot, dim=0)
        drawn, log_spread = self.codec.renderer.expect(rows, phase.flatten())
        slots = self.codec.normalise(log_bands).view(-1, per_slot, log_bands.shape[-1])
        target = slots[chosen]
        return drawn.float().view_as(target), log_spread.float().view_as(target), target


class ComposerStage:
    """Trains reader and composer on the digits of all loops, and on what panels sound like."""

    name = "composer"

    def __init__(
        self,
        networks: Networks,
        classes: Tensor,
        features: Features,
        config: Config,
        crew: Crew = ALONE,
    ) -> None:
        self.networks = networks
        self.axes, self.reader, self.composer = networks.axes, networks.reader, networks.composer
        self.critic = networks.critic
        self.classes = classes
        self.train = torch.from_numpy(features.train).to(classes.device)
        self.held_out = torch.from_numpy(features.held_out).to(classes.device)
        self.labels = torch.from_numpy(features.labels).to(classes.device)
        self.config = config
        self.crew = crew
        self.peak_rate = config.composer_rate
        taught = [self.reader, self.composer]
        if self.axes.is_aimed:
            taught.append(self.critic)
        self.parameters = [weight for network in taught for weight in network.parameters()]
        self.described = hear_corpus(networks, classes, config)

    def begin(self) -> None:
        """Learn what the switches mean from the training loops, so far as they tell."""
        self.axes.fit(self.described[self.train], self.labels[self.train])

    def loss(self, step: int, progress: float) -> tuple[Tensor, dict[str, float]]:
        """Read a batch and compose it again; compose panel states and hear them."""
        rng = np.random.default_rng([self.config.seed, 2, step])
        loops, parts = self._lower_bound(rng)
        if self.axes.is_aimed:
            digits, heard = self._panel(rng, self.crew)
            parts |= heard | self._criticise(rng, self.classes[loops], digits)
        # Most is phased in over the first third: a divergence asked for at once empties the
        # variation, and a composer that has only just begun has nothing to aim with.
        asked = min(1.0, 3 * progress)
        prices = {
            "cross_entropy": 1.0,
            "divergence": asked * self.config.divergence_weight,
            "aim": asked * self.config.aim_weight,
            "echo": asked * self.config.echo_weight,
            "judging": 1.0,
            "persuasion": asked * self.config.critic_weight,
        }
        loss = torch.stack([prices[name] * part for name, part in parts.items()]).sum()
        return loss, {name: part.item() for name, part in parts.items()}

    @property
    def _n_loops(self) -> int:
        return min(self.config.composer_loops, len(self.train))

    def _lower_bound(self, rng: np.random.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Random loops, read and composed again: which, and how well."""
        size = self._n_loops
        chosen, noise = rng.choice(len(self.train), size, replace=False), self._noise(rng, size)
        mine, weight = self.crew.part(size), self.crew.weight(size)
        loops = self.train[self._tensor(chosen[mine])]
        reading, logits = self._recompose(loops, noise[mine])
        parts = composer_loss(logits, self.classes[loops].long(), reading)
        return loops, {name: part * weight for name, part in vars(parts).items()}

    def _recompose(self, loops: Tensor, noise: Tensor | None) -> tuple[Reading, Tensor]:
        reading = self.reader(self.classes[loops].long())
        variation = reading.mean if noise is None else reading.sample(noise)
        return reading, self.composer(self._latent(loops, variation))

    def _latent(self, loops: Tensor, variation: Tensor) -> Tensor:
        position = self.axes.locate(self.described[loops], self.labels[loops])
        return torch.cat([position, variation], dim=1)

    def _panel(self, rng: np.random.Generator, crew: Crew) -> tuple[Tensor, dict[str, Tensor]]:
        """Random states: their digits, how far off they sound, how their variations are read."""
        n_states, n_variations = self.config.panel_states, self._n_variations(crew)
        bits = rng.integers(0, 2, (n_variations, n_states, self.config.n_switches))
        variation, shift = self._noise(rng, n_variations), float(rng.random())
        mine, weight = crew.part(n_variations), crew.weight(n_variations)
        states = self._tensor(bits[mine].astype(np.float32)).flatten(0, 1)
        variation = variation[mine].repeat_interleave(n_states, dim=0)
        digits = played(self.composer(self.axes.latent(states, variation)))
        with frozen(self.networks.codec, self.reader):
            described = hear(self.networks, digits, self.config, shift=shift)
            read = self.reader.read(digits).mean
        expected = self.axes.expect(self.axes.corner(states))
        aim = aim_loss(self.axes.standardise(described), expected, n_states)
        echo = (read - variation).square().sum(dim=1).mean()
        return digits, {"aim": aim * weight, "echo": echo * weight}

    def _n_variations(self, crew: Crew) -> int:
        # A large crew has one for everybody.
        return max(self.config.panel_variations, crew.size)

    def _criticise(
        self, rng: np.random.Generator, classes: Tensor, composed: Tensor
    ) -> dict[str, Tensor]:
        """Let the critic learn, and say what it thinks of what was composed."""
        music = F.one_hot(classes.long(), self.config.n_levels).to(composed)
        n_variations = self._n_variations(self.crew)
        of_music = self._shown(rng, self._n_loops, 1, music)
        of_composed = self._shown(rng, n_variations, self.config.panel_states, composed)
        score_of_music, reasons_of_music = self.critic(music, of_music)
        score, _ = self.critic(composed.detach(), of_composed)
        judging = judging_loss(score_of_music, score)
        with frozen(self.critic):
            better, reasons = self.critic(composed, of_composed)
            persuasion = persuasion_loss(better, reasons, reasons_of_music.detach())
        weight = self.crew.weight(n_variations)
        return {"judging": judging * weight, "persuasion": persuasion * weight}

    def _shown(self, rng: np.random.Generator, n: int, n_each: int, mine: Tensor) -> Tensor:
        """Which digits of the crew's part of `n` things, `n_each` loops each, the critic sees."""
        hidden = rng.random((n * n_each, *mine.shape[1:3])) < HIDDEN
        parts = hidden.reshape(n, n_each, *mine.shape[1:3])[self.crew.part(n)]
        return self._tensor(~parts.reshape(-1, *mine.shape[1:3])[: len(mine)])

    def _noise(self, rng: np.random.Generator, size: int) -> Tensor:
        noise = rng.standard_normal((size, self.axes.n_read))
        return self._tensor(noise.astype(np.float32))

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(array).to(self.classes.device)

    def evaluate(self) -> dict[str, float]:
        """Cross-entropy and share of right digits on held-out loops; the panel, always the same."""
        figures = {}
        if self.axes.is_aimed:
            _, panel = self._panel(np.random.default_rng([self.config.seed, 3]), ALONE)
            figures["panel_aim"] = panel["aim"].item()
        if len(self.held_out):
            loops = self.held_out[:128]
            reading, logits = self._recompose(loops, None)
            classes = self.classes[loops].long()
            nats = composer_loss(logits, classes, reading).cross_entropy.item()
            right = (logits.argmax(dim=-1) == classes).float().mean().item()
            figures |= {"held_out_nats": nats, "held_out_right": right}
        return figures

    @torch.no_grad()
    def finish(self) -> None:
        """Let axes that are found in finished latents know those of the training loops."""
        if self.axes.is_aimed:
            return
        batches = torch.split(self.train, _BATCH)
        read = torch.cat([self.reader(self.classes[loops].long()).mean for loops in batches])
        self.axes.settle(self._latent(self.train, read), self.described[self.train])


def encode_corpus(networks: Networks, features: Features, config: Config) -> Tensor:
    """Class numbers of every slot, (n_loops, n_slots, n_digits), uint8, on the codec's device."""
    device = networks.codec.mean.device
    half = config.n_levels // 2
    found = []
    with torch.no_grad():
        for start in range(0, len(features.log_bands), 16):
            part = features.log_bands[start : start + 16].astype(np.float32)
            offset = torch.from_numpy(features.offsets[start : start + 16]).to(device)
            digits = networks.codec.encode(torch.from_numpy(part).to(device), offset)
            found.append((digits.round() + half).to(torch.uint8))
    return torch.cat(found)


STAGES = (CodecStage.name, ComposerStage.name)


@dataclass
class Progress:
    """Where a run stands; saved with every checkpoint. `stage` counts those that are done."""

    stage: int = 0
    step: int = 0
    seconds: float = 0.0


class Curves:
    """``curves.csv``, what was written down of a run: one row per stage, step and figure."""

    COLUMNS = ("stage", "step", "seconds", "figure", "value")

    def __init__(self, path: Path) -> None:
        self.path = path

    def cut(self, at: Progress) -> None:
        """Keep what was written down until a moment, nothing for a run that begins."""
        kept = [row for row in self._rows() if _moment(row) <= (at.stage, at.step)]
        text = io.StringIO(newline="")
        csv.writer(text).writerows([self.COLUMNS, *(row.values() for row in kept)])
        with replaced(self.path) as file:
            file.write(text.getvalue().encode())

    def append(self, stage: str, at: Progress, figures: Mapping[str, float]) -> None:
        """Write figures down."""
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(
                [stage, at.step, f"{at.seconds:.1f}", name, f"{value:.5g}"]
                for name, value in figures.items()
            )

    def _rows(self) -> Iterator[dict[str, str]]:
        if self.path.is_file():
            with self.path.open(newline="", encoding="utf-8") as file:
                # A killed run may have left half a row.
                yield from (row for row in csv.DictReader(file) if None not in row.values())


def _moment(row: Mapping[str, str]) -> tuple[int, int]:
    return STAGES.index(row["stage"]), int(row["step"])


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
    crew : Crew
        Who trains; all but the leader neither write nor report.
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
        crew: Crew = ALONE,
    ) -> None:
        self.directory = directory
        self.networks = networks
        self.features = features
        self.config = config
        self.budget = budget
        self.report = report
        self.clock = clock
        self.crew = crew
        most = min(config.codec_slots, config.composer_loops, len(features.train))
        if crew.size > most:
            raise TrainingError(
                f"found {crew.size} processes, expected {most} at most: a batch has no more parts "
                "(codec_slots, composer_loops, loops to train on)"
            )
        self.progress = Progress()
        self.curves = Curves(directory / "curves.csv")
        self._optimiser_state: dict[str, Any] | None = None

    @property
    def checkpoint_path(self) -> Path:
        """Where the latest state is."""
        return self.directory / "checkpoint.pt"

    def resume(self) -> None:
        """Take over the latest checkpoint.

        Raises
        ------
        TrainingError
            If there is none, or it cannot be read, or was made with other settings.
        """
        saved = self.crew.from_leader(self._latest)
        self._check_same_settings(saved["config"])
        self.networks.load(saved["networks"])
        self.progress = Progress(**saved["progress"])
        self._optimiser_state = saved["optimiser"]

    def _latest(self) -> dict[str, Any]:
        if not self.checkpoint_path.is_file():
            raise TrainingError(
                f"{self.directory}: no checkpoint.pt found to resume; leave --resume out"
            )
        return load_saved(self.checkpoint_path)

    def adopt(self, run: FinishedRun) -> None:
        """Begin with the codec of a finished run.

        Raises
        ------
        TrainingError
            If the settings ask for another codec.
        """
        for name in CODEC_SETTINGS:
            found, asked = getattr(run.config, name), getattr(self.config, name)
            if found != asked:
                raise TrainingError(
                    f"--codec: found a codec with {name} {found}, asked for {asked}; leave out "
                    f"--set {name}, or train another codec"
                )
        self.networks.codec.load_state_dict(run.networks.codec.state_dict())
        self.progress = Progress(stage=STAGES.index(ComposerStage.name))
        if self.crew.leads:
            save_json(self.directory / CODEC_ORIGIN, run.provenance)
        self._save(None)

    def _check_same_settings(self, before: Mapping[str, Any]) -> None:
        made_with = Config.from_dict(before).to_dict()
        for name, asked in self.config.to_dict().items():
            if made_with[name] != asked:
                raise TrainingError(
                    f"{self.directory}: the checkpoint was made with {name} {made_with[name]}, "
                    f"asked for {asked}; give the same settings, or another --out"
                )

    def train(self) -> None:
        """Run, or finish, all stages.

        Raises
        ------
        TrainingError
            If a gradient is not finite.
        """
        if self.crew.leads:
            self.curves.cut(self.progress)
        shares = (self.config.codec_share, 1 - self.config.codec_share)
        for number, share in enumerate(shares):
            if number == self.progress.stage:
                if share == 0:
                    raise TrainingError(
                        "setting codec_share: found 0 and no codec to begin with, expected more "
                        "than 0; or take a codec with --codec RUN"
                    )
                stage = self._stage(number)
                self._train_stage(stage, self.budget.part(share))
                stage.finish()
                self.progress = Progress(stage=number + 1)
                self._optimiser_state = None
                self._save(None)

    def _stage(self, number: int) -> Stage:
        stage: Stage
        if number == 0:
            stage = CodecStage(self.networks, self.features, self.config, self.crew)
        else:
            classes = encode_corpus(self.networks, self.features, self.config)
            with self._precision():
                stage = ComposerStage(self.networks, classes, self.features, self.config, self.crew)
        if self.progress.step == 0:
            stage.begin()
        # All have computed this, but on unlike machines not to the bit.
        self.crew.follow(t for state in self.networks.state().values() for t in state.values())
        return stage

    def _train_stage(self, stage: Stage, budget: Budget) -> None:
        optimiser = torch.optim.AdamW(stage.parameters, stage.peak_rate, weight_decay=0.01)
        if self._optimiser_state is not None:
            optimiser.load_state_dict(self._optimiser_state)
        loss = self.crew.join(stage.loss, stage.parameters)
        at = self.progress
        started, saved = self.clock() - at.seconds, self.clock()
        while (done := budget.progress(at.step, at.seconds)) < 1:
            rate = stage.peak_rate * _schedule(at.step, done)
            figures = self._step(stage, loss, optimiser, rate, done)
            at.step += 1
            # One clock for all, or one would stop while another waits for its gradients.
            at.seconds = self.crew.from_leader(lambda: self.clock() - started)
            reached = budget.progress(at.step, at.seconds)
            if self.crew.leads:
                if reached >= 1 or at.step % REPORT_STEPS == 0:
                    self._write_down(stage, figures)
                self.report(stage.name, reached, figures)
            if self.clock() - saved > CHECKPOINT_SECONDS:
                self._save(optimiser)
                saved = self.clock()

    def _step(
        self,
        stage: Stage,
        joined: Loss,
        optimiser: torch.optim.Optimizer,
        rate: float,
        done: float,
    ) -> dict[str, float]:
        for group in optimiser.param_groups:
            group["lr"] = rate
        with self._precision():
            loss, figures = joined(self.progress.step, done)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
        norm = nn.utils.clip_grad_norm_(stage.parameters, 1.0)
        if not norm.isfinite():
            # Before the weights take harm: the checkpoint is still a good one.
            raise TrainingError(
                f"{self.directory}: step {self.progress.step} of the {stage.name} found a gradient "
                f"of {norm.item()}, expected a number; train again with a smaller {stage.name}_rate"
            )
        optimiser.step()
        return self.crew.average(figures)

    def _precision(self) -> AbstractContextManager[Any]:
        if self.config.precision == "bfloat16":
            return torch.autocast(self.networks.codec.mean.device.type, dtype=torch.bfloat16)
        return nullcontext()

    def _write_down(self, stage: Stage, figures: dict[str, float]) -> None:
        with torch.no_grad():
            self.curves.append(stage.name, self.progress, {**figures, **stage.evaluate()})

    def _save(self, optimiser: torch.optim.Optimizer | None) -> None:
        if not self.crew.leads:
            return
        content = {
            "config": self.config.to_dict(),
            "networks": self.networks.state(),
            "progress": vars(self.progress),
            "optimiser": None if optimiser is None else optimiser.state_dict(),
        }
        save_atomically(self.checkpoint_path, content)


def _schedule(step: int, done: float) -> float:
    """Warm up, then down to a fiftieth along a cosine."""
    cosine = 0.5 * (1 + float(np.cos(np.pi * min(done, 1.0))))
    return min(1.0, (step + 1) / WARM_UP_STEPS) * max(0.02, cosine)
