"""The stages of a run, one after the other: the codec, then the composer on its codes.

Every batch depends on (seed, stage, step) alone.
"""

from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from training.features.dataset import Features, references_among
from training.features.descriptors import describe
from training.features.harmony import pitch_classes
from training.features.onsets import onset_patterns
from training.networks.composer import (
    Posterior,
    composer_loss,
    disagreement,
    frozen,
    separate_position,
)
from training.networks.discriminator import HIDDEN, discriminator_loss, generator_loss
from training.run.codec_stage import CodecStage
from training.run.config import Config
from training.run.describe_codes import FRAMES_PER_SLOT, describe_corpus, draw_codes
from training.run.distributed import SINGLE_PROCESS, ProcessGroup
from training.run.networks import Networks

_BATCH = 64
_ENCODED_AT_ONCE = 16  # loops
# Of the magnitude: loud bins count more, and quiet partials still count.
ADVANCE_EXPONENT = 0.7
# Share of the loops of which the composer is to predict all codes: it begins with none.
ALL_UNKNOWN = 0.4


class Stage(Protocol):
    """One part of a training."""

    name: str
    parameters: list[nn.Parameter]
    peak_rate: float
    uses_all: bool  # whether every step's loss depends on all parameters

    def begin(self) -> None:
        """Compute what the first step needs."""
        ...

    def read(self, step: int) -> Any:
        """Read the process's shard of a batch; another thread than that of `loss` calls it."""
        ...

    def loss(self, batch: Any, progress: float) -> tuple[Tensor, dict[str, float]]:
        """Compute the loss of what `read` returned, and the figures to log."""
        ...

    def evaluate(self) -> dict[str, float]:
        """Compute figures on held-out loops, empty if there are none."""
        ...

    def finish(self) -> None:
        """Compute what needs the finished weights."""
        ...


class ComposerStage:
    """Trains posterior encoder and composer on the codes of loops, and on descriptors of states.

    Of versions of compositions, on the codes of the references; their states are not described.
    """

    name = "composer"

    def __init__(
        self,
        networks: Networks,
        code_indices: Tensor,
        features: Features,
        config: Config,
        process_group: ProcessGroup = SINGLE_PROCESS,
    ) -> None:
        self.networks = networks
        self.axes, self.composer = networks.axes, networks.composer
        self.posterior_encoder = networks.posterior_encoder
        self.discriminator = networks.discriminator
        self.code_indices = code_indices
        self.in_training = torch.from_numpy(features.train).to(code_indices.device)
        # Versions have the codes of their references.
        self.train, self.held_out = (
            torch.from_numpy(references_among(loops, features.references)).to(code_indices.device)
            for loops in (features.train, features.held_out)
        )
        self.labels = torch.from_numpy(features.labels).to(code_indices.device)
        self.config = config
        self.process_group = process_group
        self.peak_rate = config.composer_rate
        self.uses_all = config.panel_every == 1 or not self.axes.predicts_descriptors
        trained = [self.posterior_encoder, self.composer]
        if self.axes.predicts_descriptors:
            trained.append(self.discriminator)
        self.parameters = [weight for network in trained for weight in network.parameters()]
        self.described = describe_corpus(
            networks, code_indices, config, process_group, factors=self.labels
        )

    def begin(self) -> None:
        """Fit the axes of the switches to the training loops."""
        self.axes.fit(self.described[self.in_training], self.labels[self.in_training])

    def read(self, step: int) -> tuple[np.random.Generator, bool]:
        """The random numbers of a step and whether it draws states: all codes are in memory."""
        every = self.config.panel_every
        # The last of so many, for the curves show every fiftieth step.
        draws_states = self.axes.predicts_descriptors and step % every == every - 1
        return np.random.default_rng([self.config.seed, 2, step]), draws_states

    def loss(
        self, batch: tuple[np.random.Generator, bool], progress: float
    ) -> tuple[Tensor, dict[str, float]]:
        """Encode a batch and reconstruct it; compose states and compare their descriptors."""
        rng, draws_states = batch
        loops, parts = self._lower_bound(rng)
        every = self.config.panel_every
        if draws_states:
            codes, of_states = self._state_losses(rng, self.process_group)
            parts |= of_states | self._discriminator_losses(rng, self.code_indices[loops], codes)
        # Most is phased in over the first third: the full divergence at once empties the
        # variation, and an untrained composer gets no useful gradient from the descriptors.
        ramp = 1.0 if self.config.continues else min(1.0, 3 * progress)
        of_panel = ramp * every
        # The names are those of curves.csv.
        weights = {
            "cross_entropy": 1.0,
            "divergence": ramp * self.config.divergence_weight,
            "aim": of_panel * self.config.aim_weight,
            "echo": of_panel * self.config.variation_reconstruction_weight,
            "harmony": of_panel * self.config.harmony_weight,
            "rhythm": of_panel * self.config.rhythm_weight,
            "agreement": of_panel * self.config.agreement_weight,
            "judging": every,
            "persuasion": of_panel * self.config.critic_weight,
        }
        loss = torch.stack([weights[name] * part for name, part in parts.items()]).sum()
        return loss, {name: part.item() for name, part in parts.items()}

    @property
    def _n_loops(self) -> int:
        return min(self.config.composer_loops, len(self.train))

    def _lower_bound(self, rng: np.random.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Random loops, and the two parts of the lower bound on them."""
        size = self._n_loops
        chosen, noise = rng.choice(len(self.train), size, replace=False), self._noise(rng, size)
        own, weight = self.process_group.shard(size), self.process_group.shard_weight(size)
        loops = self.train[self._tensor(chosen[own])]
        unknown = self._unknown(rng, size)[own]
        posterior, logits = self._recompose(loops, noise[own], unknown)
        bound = composer_loss(logits, self.code_indices[loops].long(), posterior, unknown)
        return loops, {name: part * weight for name, part in vars(bound).items()}

    def _unknown(self, rng: np.random.Generator, size: int) -> Tensor:
        """Which codes of a batch are to be predicted: of some loops all, else a random part."""
        shares = np.where(rng.random(size) < ALL_UNKNOWN, 1.0, rng.random(size))
        if self.config.n_rounds == 1:
            shares[:] = 1.0
        drawn = rng.random((size, *self.code_indices.shape[1:]))
        return self._tensor(drawn <= shares[:, None, None])

    def _recompose(
        self, loops: Tensor, noise: Tensor | None, unknown: Tensor | None = None
    ) -> tuple[Posterior, Tensor]:
        code_indices, known = self.code_indices[loops].long(), None
        posterior = self._infer(loops)
        variation = posterior.mean if noise is None else posterior.sample(noise)
        if unknown is not None:
            known = F.one_hot(code_indices, self.config.n_levels) * ~unknown[..., None]
            known = known.to(variation)
        latent = torch.cat([self._position(loops), variation], dim=1)
        return posterior, self.composer(latent, known)

    def _infer(self, loops: Tensor) -> Posterior:
        known = self._known(self._position(loops))
        posterior: Posterior = self.posterior_encoder(self.code_indices[loops].long(), known)
        return posterior

    def _position(self, loops: Tensor) -> Tensor:
        return self.axes.project(self.described[loops], self.labels[loops])

    def _known(self, position: Tensor) -> Tensor:
        """What the composer gets of a position: factors are the score decoder's."""
        return position[:, self.composer.n_factors :]

    def _state_losses(
        self, rng: np.random.Generator, process_group: ProcessGroup
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Random states: their codes, and the losses that compare them, by name."""
        n_variations, n_states = self._n_drawn
        bits = rng.integers(0, 2, (n_variations, n_states, self.config.n_switches))
        noise, variation, loops = self._variations(rng, n_variations)
        shift = float(rng.random())
        own = process_group.padded_shard(n_variations)
        weight = process_group.shard_weight(n_variations)
        states = self._tensor(bits[own].astype(np.float32)).flatten(0, 1)
        noise, variation = (
            each[own].repeat_interleave(n_states, dim=0) for each in (noise, variation)
        )
        codes = self.composer.compose(self.axes.inferred_latent(states, variation), noise)
        with frozen(self.networks.codec, self.posterior_encoder):
            position = self._known(self.axes.switch_position(states))
            inferred = self.posterior_encoder.encode(codes, position).mean
            echo = (inferred - variation).square().sum(dim=1).mean()
            # Factors are the score decoder's: these codes do not depend on states.
            if self.composer.n_factors:
                return codes, {"echo": echo * weight}
            drawn = draw_codes(self.networks, codes, self.config, shift=shift)
        described = self.axes.standardise(
            describe(drawn, self.config.analysis, frames_per_slot=FRAMES_PER_SLOT)
        )
        own_loops = None if loops is None else loops[own]
        expected = self._expected_descriptors(states, own_loops)
        aim = (described - expected).square().mean()
        kept = self._kept(codes, drawn)
        of_loops = {} if own_loops is None else self._kept_of_loops(own_loops, shift)
        parts = {"aim": aim, "echo": echo} | {
            name: disagreement(each, n_states, of_loops.get(name)) for name, each in kept.items()
        }
        return codes, {name: part * weight for name, part in parts.items()}

    @torch.no_grad()
    def _expected_descriptors(self, states: Tensor, loops: Tensor | None) -> Tensor:
        """What the switches stand for, and apart from that what the loop of the variation has."""
        expected = self.axes.predict_descriptors(self.axes.switch_position(states))
        if loops is None:
            return expected
        of_loops = self.axes.standardise(self.described[loops])
        rest = of_loops - self.axes.predict_descriptors(self._position(loops))
        return expected + rest.repeat_interleave(len(states) // len(loops), dim=0)

    @property
    def _n_drawn(self) -> tuple[int, int]:
        """Variations in a batch, and states of each; where codes do not depend on states, one."""
        n_variations, n_states = self.config.panel_variations, self.config.panel_states
        return (n_variations * n_states, 1) if self.composer.n_factors else (n_variations, n_states)

    def _kept(self, codes: Tensor, drawn: Tensor) -> dict[str, Tensor]:
        """What a flip is to keep, as unit vectors, by the name of its loss."""
        analysis, grid = self.config.analysis, {"frames_per_slot": FRAMES_PER_SLOT}
        return {
            "harmony": pitch_classes(drawn, analysis, **grid),
            "rhythm": onset_patterns(drawn, analysis, **grid),
            "agreement": codes.flatten(1, 2),
        }

    @torch.no_grad()
    def _kept_of_loops(self, loops: Tensor, shift: float) -> dict[str, Tensor]:
        """The same of loops as the codec decodes them."""
        codes = F.one_hot(self.code_indices[loops].long(), self.config.n_levels).float()
        return self._kept(codes, draw_codes(self.networks, codes, self.config, shift=shift))

    def _variations(
        self, rng: np.random.Generator, size: int
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Noise, as many variations, and the loops that these were inferred from.

        Where the axes have no prior of inferred ones, the noise is the variations.
        """
        noise = self._noise(rng, size)
        if not self.axes.prior.size:
            return noise, noise, None
        loops = self.train[self._tensor(rng.integers(len(self.train), size=size))]
        with torch.no_grad():
            posterior = self._infer(loops)
            return noise, posterior.sample(self._noise(rng, size)), loops

    def _discriminator_losses(
        self, rng: np.random.Generator, code_indices: Tensor, composed: Tensor
    ) -> dict[str, Tensor]:
        """Losses of the discriminator, and of the composer against it."""
        music = F.one_hot(code_indices.long(), self.config.n_levels).to(composed)
        group, (n_variations, n_states) = self.process_group, self._n_drawn
        weight, of_loops = group.shard_weight(n_variations), group.shard_weight(self._n_loops)
        of_music = self._shown(rng, self._n_loops, 1, music)
        of_composed = self._shown(rng, n_variations, n_states, composed)
        score_of_music, features_of_music = self.discriminator(music, of_music)
        score, _ = self.discriminator(composed.detach(), of_composed)
        low_for_music, high_for_composed = discriminator_loss(score_of_music, score)
        judging = low_for_music * of_loops + high_for_composed * weight
        mean_of_music = group.mean(features_of_music.detach().mean(dim=(0, 1)), of_loops)
        with frozen(self.discriminator):
            better_score, features = self.discriminator(composed, of_composed)
            mean = group.mean(features.mean(dim=(0, 1)), weight)
            persuasion = generator_loss(better_score * weight, mean, mean_of_music)
        return {"judging": judging, "persuasion": persuasion}

    def _shown(self, rng: np.random.Generator, n: int, n_each: int, own: Tensor) -> Tensor:
        """Which codes of this process's shard of `n` items, `n_each` loops each, are not masked."""
        hidden = rng.random((n * n_each, *own.shape[1:3])) < HIDDEN
        parts = hidden.reshape(n, n_each, *own.shape[1:3])[self.process_group.padded_shard(n)]
        return self._tensor(~parts.reshape(-1, *own.shape[1:3])[: len(own)])

    def _noise(self, rng: np.random.Generator, size: int) -> Tensor:
        noise = rng.standard_normal((size, self.axes.n_inferred))
        return self._tensor(noise.astype(np.float32))

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(array).to(self.code_indices.device)

    def evaluate(self) -> dict[str, float]:
        """Cross-entropy and share of right codes on held-out loops; always the same states."""
        figures = {}
        if self.axes.predicts_descriptors and not self.composer.n_factors:
            _, parts = self._state_losses(
                np.random.default_rng([self.config.seed, 3]), SINGLE_PROCESS
            )
            for name in ("aim", "harmony", "rhythm", "agreement"):
                figures[f"panel_{name}"] = parts[name].item()
        if len(self.held_out):
            loops = self.held_out[:128]
            posterior, logits = self._recompose(loops, None)
            code_indices = self.code_indices[loops].long()
            nats = composer_loss(logits, code_indices, posterior).cross_entropy.item()
            right = (logits.argmax(dim=-1) == code_indices).float().mean().item()
            figures |= {"held_out_nats": nats, "held_out_right": right}
        return figures

    @torch.no_grad()
    def finish(self) -> None:
        """Fit what needs the variations that the finished posterior encoder infers."""
        position, inferred = self._position(self.train), self._infer_all(self.train).mean
        if self.axes.predicts_descriptors:
            known = self._known(position)
            separate_position(self.composer, self.posterior_encoder, known, inferred)
            self._fit_prior()
        else:
            latent = torch.cat([position, inferred], dim=1)
            self.axes.fit_latent(latent, self.described[self.train])

    @torch.no_grad()
    def _fit_prior(self) -> None:
        """Show the prior as many inferred variations as it has room for, of loops in any order."""
        if size := self.axes.prior.size:
            rng = np.random.default_rng([self.config.seed, 4])
            chosen = self._tensor(rng.permutation(len(self.train))[:size])
            inferred = self._infer_all(self.train[chosen])
            self.axes.prior.fit(inferred.mean, inferred.log_variance)

    def _infer_all(self, loops: Tensor) -> Posterior:
        encoded = [self._infer(part) for part in torch.split(loops, _BATCH)]
        return Posterior(
            mean=torch.cat([each.mean for each in encoded]),
            log_variance=torch.cat([each.log_variance for each in encoded]),
        )


@torch.no_grad()
def encode_corpus(
    networks: Networks,
    features: Features,
    config: Config,
    process_group: ProcessGroup = SINGLE_PROCESS,
) -> Tensor:
    """Code indices of every slot, (n_loops, n_slots, n_codes), uint8, on the codec's device.

    A version has the codes of its reference. Every process encodes its shard of the references,
    and reads no others.
    """
    device = networks.codec.mean.device
    half = config.n_levels // 2

    loops, version_of = np.unique(features.references, return_inverse=True)

    def encode(items: slice) -> Tensor:
        part = torch.from_numpy(features.log_bands[loops[items]].astype(np.float32))
        offset = torch.from_numpy(features.offsets[loops[items]]).to(device)
        codes = networks.codec.encode(part.to(device), offset)
        return (codes.round() + half).to(torch.uint8)

    shape = (len(loops), features.n_slots, config.n_codes)
    whole = torch.zeros(shape, dtype=torch.uint8, device=device)
    encoded = process_group.fill(whole, _ENCODED_AT_ONCE, encode)
    return encoded[torch.from_numpy(version_of).to(device)]


STAGES = (CodecStage.name, ComposerStage.name)
