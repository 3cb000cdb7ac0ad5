"""The first stage of a run: the codec learns to reconstruct loops.

Where loops are versions of compositions, it learns to draw them from the codes of their references.

Every batch depends on (seed, stage, step) alone.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.features.dataset import Features, references_among
from training.networks.codec import advance_loss, codec_loss, laplace_nll
from training.networks.modulation_loss import modulation_loss
from training.run.config import STRETCH_SLOTS, Config, TrainingError
from training.run.distributed import SINGLE_PROCESS, ProcessGroup
from training.run.networks import Networks


class CodecStage:
    """Trains encoder, score decoder and frame decoder to reconstruct loops."""

    name = "codec"
    uses_all = True

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
        n_references = len(references_among(features.train, features.references))
        if config.n_factors and n_references == len(features.train):
            raise TrainingError(
                "found no composition with a reference and another version, expected some; make "
                "the corpus with switchboard corpus studio --versions 4"
            )

    def begin(self) -> None:
        """Normalise: mean per band and overall spread, from a sample of the training loops."""
        if self.config.continues:
            return
        some = self.features.train[:: max(1, len(self.features.train) // 200)]
        sample = torch.from_numpy(self.features.log_bands[some][:, ::8].astype(np.float32))
        self.codec.mean.copy_(sample.mean(dim=(0, 1)))
        # In a silent corpus the spread is 0.
        self.codec.std.copy_(sample.std().clamp_min(1e-3))

    def read(self, step: int) -> "CodecBatch":
        """Choose loops, and stretches of them; read the loops that this process's are in."""
        rng = np.random.default_rng([self.config.seed, 1, step])
        size = min(self.config.codec_loops, len(self.features.train))
        loops = np.sort(rng.choice(self.features.train, size, replace=False))
        n_drawn = self.config.codec_slots // STRETCH_SLOTS
        which = np.sort(rng.integers(0, size, n_drawn))[self.process_group.shard(n_drawn)]
        start = rng.integers(0, self.features.n_slots, n_drawn)[self.process_group.shard(n_drawn)]
        # A loop wraps round at its end.
        slots = (start[:, None] + np.arange(STRETCH_SLOTS)) % self.features.n_slots
        # Only the loops that this process's stretches are in.
        own = loops[which[0] : which[-1] + 1]
        chosen = (which - which[0])[:, None] * self.features.n_slots + slots
        return self._read(own, chosen.ravel(), len(which))

    def loss(self, batch: "CodecBatch", progress: float) -> tuple[Tensor, dict[str, float]]:
        """Encode whole loops, draw some of their slots."""
        del progress
        drawn, n_drawn = self._draw(batch), self.config.codec_slots // STRETCH_SLOTS
        error, weight = drawn.middle - drawn.target, self.process_group.shard_weight(n_drawn)
        parts = {
            "loss": codec_loss(drawn.middle, drawn.target),
            "spread": laplace_nll(drawn.log_spread, error),
            "modulation": self.config.modulation_weight * drawn.modulation_error(batch.n_stretches),
        }
        if self.config.analysis.n_guided:
            parts["advance"] = self.config.advance_weight * drawn.advance_error()
        loss = torch.stack(list(parts.values())).sum() * weight
        figures = {**parts, "l1": error.abs().mean()}
        return loss, {name: (part * weight).item() for name, part in figures.items()}

    def evaluate(self) -> dict[str, float]:
        """Mean error and the bias of the worst band on held-out loops, all slots, in dB."""
        loops = self.features.held_out[:8]
        if not len(loops):
            return {}
        drawn = self._draw(self._read(loops, np.arange(len(loops) * self.features.n_slots), 1))
        nepers = (drawn.middle - drawn.target).abs().mean() * self.codec.std
        bias = (drawn.middle - drawn.target).mean(dim=(0, 1)).abs().max() * self.codec.std
        figures = {
            "held_out_db": nepers.item() * 20 / np.log(10),
            "held_out_bias_db": bias.item() * 20 / np.log(10),
        }
        if self.config.analysis.n_guided:
            figures["held_out_advance"] = drawn.advance_error().item()
        return figures

    def finish(self) -> None:
        """Nothing to do."""

    def _read(
        self, loops: NDArray[np.int64], chosen: NDArray[np.int64], n_stretches: int
    ) -> "CodecBatch":
        def tensor(array: NDArray[Any]) -> Tensor:
            made = torch.from_numpy(array)
            # Only from pinned memory does a copy to the GPU not wait.
            return made.pin_memory() if self.device.type == "cuda" else made

        def read(numbers: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
            log_bands = self.features.log_bands[numbers].astype(np.float32)
            return tensor(log_bands), tensor(self.features.offsets[numbers])

        log_bands, offset = read(loops)
        references = self.features.references[loops]
        is_own = np.array_equal(references, loops)
        heard, heard_offset = (log_bands, offset) if is_own else read(references)
        return CodecBatch(
            heard=heard,
            heard_offset=heard_offset,
            factors=tensor(self.features.labels[loops]),
            log_bands=log_bands,
            offset=offset,
            advance=tensor(self.features.advance[loops]),
            chosen=tensor(chosen),
            n_stretches=n_stretches,
        )

    def _draw(self, batch: "CodecBatch") -> "Drawn":
        per_slot = self.config.analysis.frames_per_slot
        heard, heard_offset, factors, log_bands, offset, advance, chosen = (
            getattr(batch, name).to(self.device, non_blocking=True) for name in _TENSORS
        )
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.config.continues):
            codes = self.codec.encode(heard, heard_offset)
        rows = self.codec.writer(codes, factors).flatten(0, 1)[chosen]
        shift = offset.repeat_interleave(self.features.n_slots)[chosen]
        phase = (torch.arange(per_slot, device=self.device) + shift[:, None]) / per_slot
        rows, renderer = rows.repeat_interleave(per_slot, dim=0), self.codec.renderer
        predicted = renderer.predict(rows, phase.flatten())
        middle, log_spread = predicted.middle.float(), predicted.log_spread.float()
        # No gradient to the spread here, either.
        sounding = renderer.add_noise_texture(
            middle, log_spread.detach(), renderer.grain(rows, phase.flatten())
        )
        log_bands = log_bands.view(-1, per_slot, log_bands.shape[-1])[chosen]
        target = self.codec.normalise(log_bands)
        n_guided = self.config.analysis.n_guided
        return Drawn(
            middle=middle.view_as(target),
            log_spread=log_spread.view_as(target),
            sounding=sounding.view_as(target),
            target=target,
            advance=predicted.advance,
            true_advance=advance.view(-1, per_slot, n_guided)[chosen].flatten(0, 1),
            weight=self.config.analysis.advance_weight(log_bands.flatten(0, 1)),
        )


@dataclass(frozen=True)
class CodecBatch:
    """Loops, and which of their slots are drawn, on the processor.

    Attributes
    ----------
    heard : (n_loops, n_frames, n_bands), float32
        What is encoded: the references.
    heard_offset : (n_loops,), float32
    factors : (n_loops, n_labels), float32
        Of what is drawn.
    log_bands : (n_loops, n_frames, n_bands), float32
        What is drawn.
    offset : (n_loops,), float32
    advance : (n_loops, n_frames, n_guided), int8
    chosen : (n_slots,), int64
        Slots, counted over all loops.
    n_stretches : int
        The slots are so many stretches, one after another.
    """

    heard: Tensor
    heard_offset: Tensor
    factors: Tensor
    log_bands: Tensor
    offset: Tensor
    advance: Tensor
    chosen: Tensor
    n_stretches: int


_TENSORS = ("heard", "heard_offset", "factors", "log_bands", "offset", "advance", "chosen")


@dataclass(frozen=True)
class Drawn:
    """Decoded slots and their targets, all (n_slots, frames_per_slot, n_bands).

    Attributes
    ----------
    middle, log_spread : Tensor
        Of `FrameDecoder.predict`.
    sounding : Tensor
        With noise texture.
    target : Tensor
    advance : (n_frames, 2 * n_guided)
        Phase advance of the lowest bins.
    true_advance, weight : (n_frames, n_guided)
        In 1/256 of a turn, and how much it counts.
    """

    middle: Tensor
    log_spread: Tensor
    sounding: Tensor
    target: Tensor
    advance: Tensor
    true_advance: Tensor
    weight: Tensor

    def advance_error(self) -> Tensor:
        """`advance_loss` of all frames."""
        return advance_loss(self.advance, self.true_advance, self.weight)

    def modulation_error(self, n_stretches: int) -> Tensor:
        """`modulation_loss` of the slots, which are stretches one after another."""
        shape = (n_stretches, -1, self.target.shape[2])
        return modulation_loss(self.sounding.reshape(shape), self.target.reshape(shape))
