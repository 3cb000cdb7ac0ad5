"""What a run trains, one after the other: the codec, then the composer on its digits.

Every batch depends on (seed, stage, step) alone.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from training.features.dataset import Features
from training.networks.codec import codec_loss, laplace_nll
from training.networks.composer import Posterior, composer_loss, descriptor_loss, frozen, played
from training.networks.discriminator import HIDDEN, discriminator_loss, generator_loss
from training.networks.modulation_loss import modulation_loss
from training.run.config import STRETCH_SLOTS, Config
from training.run.describe_codes import describe_codes, describe_corpus
from training.run.distributed import SINGLE_PROCESS, ProcessGroup
from training.run.networks import Networks

_BATCH = 64


class Stage(Protocol):
    """One thing to train."""

    name: str
    parameters: list[nn.Parameter]
    peak_rate: float

    def begin(self) -> None:
        """Find out what must be known before the first step."""
        ...

    def loss(self, step: int, progress: float) -> tuple[Tensor, dict[str, float]]:
        """Compute the loss of the process's shard of a batch, and the figures to log."""
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
        self,
        networks: Networks,
        features: Features,
        config: Config,
        process_group: ProcessGroup = SINGLE_PROCESS,
    ) -> None:
        self.codec = networks.codec
        self.features = features
        self.config = config
        self.process_group = process_group
        self.peak_rate = config.codec_rate
        decoder = [*self.codec.writer.parameters(), *self.codec.renderer.parameters()]
        self.parameters = decoder if config.continues else list(self.codec.parameters())
        self.device = self.codec.mean.device

    def begin(self) -> None:
        """Normalise: mean per band and overall spread, from a sample of the training loops."""
        if self.config.continues:
            return
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
        n_drawn = self.config.codec_slots // STRETCH_SLOTS
        which = np.sort(rng.integers(0, size, n_drawn))[self.process_group.shard(n_drawn)]
        start = rng.integers(0, self.features.n_slots, n_drawn)[self.process_group.shard(n_drawn)]
        # Only the loops that this process's stretches are in.
        drawn = self._draw(
            loops[which[0] : which[-1] + 1], self._stretches(which - which[0], start)
        )
        missed, weight = drawn.middle - drawn.target, self.process_group.shard_weight(n_drawn)
        parts = {
            "loss": codec_loss(drawn.middle, drawn.target),
            "spread": laplace_nll(drawn.log_spread, missed),
            "modulation": self.config.modulation_weight * drawn.missed_modulation(len(which)),
        }
        loss = torch.stack(list(parts.values())).sum() * weight
        figures = {**parts, "l1": missed.abs().mean()}
        return loss, {name: (part * weight).item() for name, part in figures.items()}

    def _stretches(self, which: NDArray[np.int64], start: NDArray[np.int64]) -> Tensor:
        """Say which slots of a batch stretches are made of; beyond its end a loop goes on."""
        slots = (start[:, None] + np.arange(STRETCH_SLOTS)) % self.features.n_slots
        chosen = which[:, None] * self.features.n_slots + slots
        return torch.from_numpy(chosen.ravel()).to(self.device)

    def evaluate(self) -> dict[str, float]:
        """Mean absolute error in dB on held-out loops, all slots."""
        loops = self.features.held_out[:8]
        if not len(loops):
            return {}
        every = torch.arange(len(loops) * self.features.n_slots, device=self.device)
        drawn = self._draw(loops, every)
        nepers = (drawn.middle - drawn.target).abs().mean() * self.codec.std
        return {"held_out_db": nepers.item() * 20 / np.log(10)}

    def finish(self) -> None:
        """Nothing is left to find out."""

    def _draw(self, loops: NDArray[np.int64], chosen: Tensor) -> "Drawn":
        per_slot = self.config.analysis.frames_per_slot
        log_bands = torch.from_numpy(self.features.log_bands[loops].astype(np.float32))
        offset = torch.from_numpy(self.features.offsets[loops]).to(self.device)
        log_bands = log_bands.to(self.device, non_blocking=True)
        rows = self.codec.writer(self._encode(log_bands, offset)).flatten(0, 1)[chosen]
        shift = offset.repeat_interleave(self.features.n_slots)[chosen]
        phase = (torch.arange(per_slot, device=self.device) + shift[:, None]) / per_slot
        rows, renderer = rows.repeat_interleave(per_slot, dim=0), self.codec.renderer
        middle, log_spread = (found.float() for found in renderer.predict(rows, phase.flatten()))
        # The spread only watches here, too.
        sounding = renderer.add_noise_texture(
            middle, log_spread.detach(), renderer.grain(rows, phase.flatten())
        )
        target = self.codec.normalise(log_bands).view(-1, per_slot, log_bands.shape[-1])[chosen]
        return Drawn(
            middle=middle.view_as(target),
            log_spread=log_spread.view_as(target),
            sounding=sounding.view_as(target),
            target=target,
        )

    def _encode(self, log_bands: Tensor, offset: Tensor) -> Tensor:
        learning = torch.is_grad_enabled() and not self.config.continues
        with torch.set_grad_enabled(learning):
            return self.codec.encode(log_bands, offset)


@dataclass(frozen=True)
class Drawn:
    """Slots as they were drawn and as they should be, all (n_slots, frames_per_slot, n_bands).

    Attributes
    ----------
    middle, log_spread : Tensor
        Of `FrameDecoder.predict`.
    sounding : Tensor
        With grain.
    target : Tensor
    """

    middle: Tensor
    log_spread: Tensor
    sounding: Tensor
    target: Tensor

    def missed_modulation(self, n_stretches: int) -> Tensor:
        """How far they are from moving as much as they should; one stretch lies after another."""
        shape = (n_stretches, -1, self.target.shape[2])
        return modulation_loss(self.sounding.reshape(shape), self.target.reshape(shape))


class ComposerStage:
    """Trains reader and composer on the digits of all loops, and on what panels sound like."""

    name = "composer"

    def __init__(
        self,
        networks: Networks,
        classes: Tensor,
        features: Features,
        config: Config,
        process_group: ProcessGroup = SINGLE_PROCESS,
    ) -> None:
        self.networks = networks
        self.axes, self.reader, self.composer = networks.axes, networks.reader, networks.composer
        self.critic = networks.critic
        self.classes = classes
        self.train = torch.from_numpy(features.train).to(classes.device)
        self.held_out = torch.from_numpy(features.held_out).to(classes.device)
        self.labels = torch.from_numpy(features.labels).to(classes.device)
        self.config = config
        self.process_group = process_group
        self.peak_rate = config.composer_rate
        taught = [self.reader, self.composer]
        if self.axes.is_aimed:
            taught.append(self.critic)
        self.parameters = [weight for network in taught for weight in network.parameters()]
        self.described = describe_corpus(networks, classes, config)

    def begin(self) -> None:
        """Learn what the switches mean from the training loops, so far as they tell."""
        self.axes.fit(self.described[self.train], self.labels[self.train])

    def loss(self, step: int, progress: float) -> tuple[Tensor, dict[str, float]]:
        """Read a batch and compose it again; compose panel states and hear them."""
        rng = np.random.default_rng([self.config.seed, 2, step])
        loops, parts = self._lower_bound(rng)
        if self.axes.is_aimed:
            digits, heard = self._panel(rng, self.process_group)
            parts |= heard | self._criticise(rng, self.classes[loops], digits)
        # Most is phased in over the first third: a divergence asked for at once empties the
        # variation, and a composer that has only just begun has nothing to aim with.
        asked = 1.0 if self.config.continues else min(1.0, 3 * progress)
        prices = {
            "cross_entropy": 1.0,
            "divergence": asked * self.config.divergence_weight,
            "aim": asked * self.config.aim_weight,
            "echo": asked * self.config.variation_reconstruction_weight,
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
        mine, weight = self.process_group.shard(size), self.process_group.shard_weight(size)
        loops = self.train[self._tensor(chosen[mine])]
        reading, logits = self._recompose(loops, noise[mine])
        parts = composer_loss(logits, self.classes[loops].long(), reading)
        return loops, {name: part * weight for name, part in vars(parts).items()}

    def _recompose(self, loops: Tensor, noise: Tensor | None) -> tuple[Posterior, Tensor]:
        reading = self.reader(self.classes[loops].long())
        variation = reading.mean if noise is None else reading.sample(noise)
        return reading, self.composer(self._latent(loops, variation))

    def _latent(self, loops: Tensor, variation: Tensor) -> Tensor:
        position = self.axes.project(self.described[loops], self.labels[loops])
        return torch.cat([position, variation], dim=1)

    def _panel(
        self, rng: np.random.Generator, process_group: ProcessGroup
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Random states: their digits, how far off they sound, how their variations are read."""
        n_states, n_variations = self.config.panel_states, self._n_variations(process_group)
        bits = rng.integers(0, 2, (n_variations, n_states, self.config.n_switches))
        variation, shift = self._noise(rng, n_variations), float(rng.random())
        mine, weight = process_group.shard(n_variations), process_group.shard_weight(n_variations)
        states = self._tensor(bits[mine].astype(np.float32)).flatten(0, 1)
        variation = variation[mine].repeat_interleave(n_states, dim=0)
        digits = played(self.composer(self.axes.latent(states, variation)))
        with frozen(self.networks.codec, self.reader):
            described = describe_codes(self.networks, digits, self.config, shift=shift)
            read = self.reader.read(digits).mean
        expected = self.axes.predict_descriptors(self.axes.switch_position(states))
        aim = descriptor_loss(self.axes.standardise(described), expected, n_states)
        echo = (read - variation).square().sum(dim=1).mean()
        return digits, {"aim": aim * weight, "echo": echo * weight}

    def _n_variations(self, process_group: ProcessGroup) -> int:
        # At least one for each process.
        return max(self.config.panel_variations, process_group.size)

    def _criticise(
        self, rng: np.random.Generator, classes: Tensor, composed: Tensor
    ) -> dict[str, Tensor]:
        """Let the critic learn, and say what it thinks of what was composed."""
        music = F.one_hot(classes.long(), self.config.n_levels).to(composed)
        n_variations = self._n_variations(self.process_group)
        of_music = self._shown(rng, self._n_loops, 1, music)
        of_composed = self._shown(rng, n_variations, self.config.panel_states, composed)
        score_of_music, reasons_of_music = self.critic(music, of_music)
        score, _ = self.critic(composed.detach(), of_composed)
        judging = discriminator_loss(score_of_music, score)
        with frozen(self.critic):
            better, reasons = self.critic(composed, of_composed)
            persuasion = generator_loss(better, reasons, reasons_of_music.detach())
        weight = self.process_group.shard_weight(n_variations)
        return {"judging": judging * weight, "persuasion": persuasion * weight}

    def _shown(self, rng: np.random.Generator, n: int, n_each: int, mine: Tensor) -> Tensor:
        """Which codes of this process's shard of `n` items, `n_each` loops each, are not masked."""
        hidden = rng.random((n * n_each, *mine.shape[1:3])) < HIDDEN
        parts = hidden.reshape(n, n_each, *mine.shape[1:3])[self.process_group.shard(n)]
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
            _, panel = self._panel(np.random.default_rng([self.config.seed, 3]), SINGLE_PROCESS)
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
        self.axes.fit_latent(self._latent(self.train, read), self.described[self.train])


def encode_corpus(networks: Networks, features: Features, config: Config) -> Tensor:
    """Class numbers of every slot, (n_loops, n_slots, n_codes), uint8, on the codec's device."""
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
