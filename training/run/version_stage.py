"""Training of the composer on versions of compositions, see `training.networks.composer`.

A batch is compositions. Of each, the reference is reconstructed as any loop is, and another version
is predicted from the codes of the reference and the factors that it has.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from training.features.dataset import Features
from training.networks.composer import composer_loss, frozen
from training.run.config import Config, TrainingError
from training.run.distributed import SINGLE_PROCESS, ProcessGroup
from training.run.networks import Networks
from training.run.stages import ComposerStage

_LARGEST_EVALUATION = 128  # compositions
# Share of the reference's codes that are replaced by random ones: those that are composed have
# mistakes, too.
_WRONG = 0.05


class VersionStage(ComposerStage):
    """Trains posterior encoder and composer on pairs of a reference and another version."""

    def __init__(
        self,
        networks: Networks,
        code_indices: Tensor,
        features: Features,
        config: Config,
        process_group: ProcessGroup = SINGLE_PROCESS,
    ) -> None:
        super().__init__(networks, code_indices, features, config, process_group)
        self.pairs = versions_of_references(features, features.train)
        self.held_out_pairs = versions_of_references(features, features.held_out)
        if not self.pairs:
            raise TrainingError(
                "found no composition with a reference and another version, expected some; make "
                "the corpus with switchboard corpus studio --versions 4"
            )
        self.varied = self._tensor(np.array([reference for reference, _ in self.pairs]))

    @property
    def _n_loops(self) -> int:
        return min(self.config.composer_loops, len(self.pairs))

    def _lower_bound(self, rng: np.random.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Random compositions: the lower bound on references, and the nats of a version each."""
        size = self._n_loops
        chosen, noise = rng.choice(len(self.pairs), size, replace=False), self._noise(rng, size)
        unknown, which = self._unknown(rng, size), rng.random(size)
        is_wrong = rng.random((size, *self.code_indices.shape[1:])) < _WRONG
        wrong = rng.integers(0, self.config.n_levels, is_wrong.shape)
        own, weight = self.process_group.shard(size), self.process_group.shard_weight(size)
        references, versions = self._drawn(self.pairs, chosen[own], which[own])
        posterior, logits = self._recompose(references, noise[own], unknown[own])
        true = self.code_indices[references].long()
        parts = vars(composer_loss(logits, true, posterior, unknown[own]))
        shown = torch.where(self._tensor(is_wrong[own]), self._tensor(wrong[own]), true)
        predicted = self._arrange(shown, versions, posterior.sample(noise[own]))
        parts |= {"arrangement": self._nats(predicted, versions)}
        return references, {name: part * weight for name, part in parts.items()}

    def _drawn(
        self,
        pairs: list[tuple[int, NDArray[np.int64]]],
        chosen: NDArray[Any],
        which: NDArray[np.float64],
    ) -> tuple[Tensor, Tensor]:
        """The references of compositions, and one version of each: (n,), (n,) numbers of loops."""
        some = [pairs[number] for number in chosen]
        versions = [
            others[int(at * len(others))] for (_, others), at in zip(some, which, strict=True)
        ]
        references = np.array([reference for reference, _ in some])
        return self._tensor(references), self._tensor(np.array(versions))

    def _arrange(self, reference: Tensor, versions: Tensor, variation: Tensor) -> Tensor:
        known = F.one_hot(reference, self.config.n_levels).to(variation)
        logits: Tensor = self.composer(self._latent(versions, variation), reference=known)
        return logits

    def _nats(self, logits: Tensor, loops: Tensor) -> Tensor:
        code_indices = self.code_indices[loops].long()
        nats = F.cross_entropy(logits.float().flatten(0, 2), code_indices.flatten())
        return nats * code_indices[0].numel()

    def _state_losses(
        self, rng: np.random.Generator, process_group: ProcessGroup
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """References of random variations: their codes, and the error of the variations."""
        n_variations, n_each = self.config.panel_variations, self.config.panel_states
        own = process_group.padded_shard(n_variations)
        weight = process_group.shard_weight(n_variations)
        noise, variation = (
            all_of_them.view(n_variations, n_each, -1)[own].flatten(0, 1)
            for all_of_them in self._variations(rng, n_variations * n_each)
        )
        states = torch.ones(len(variation), self.config.n_switches).to(variation)
        latent = self.axes.inferred_latent(states, variation)
        codes = self.composer.compose_reference(latent, noise)
        with frozen(self.posterior_encoder):
            inferred = self.posterior_encoder.encode(codes).mean
        echo = (inferred - variation).square().sum(dim=1).mean()
        return codes, {"echo": echo * weight}

    def evaluate(self) -> dict[str, float]:
        """Figures on held-out compositions: of references, and of a version each."""
        pairs = self.held_out_pairs[:_LARGEST_EVALUATION]
        if not pairs:
            return {}
        references, versions = self._drawn(pairs, np.arange(len(pairs)), np.zeros(len(pairs)))
        posterior, logits = self._recompose(references, None)
        true = self.code_indices[references].long()
        arranged = self._arrange(true, versions, posterior.mean)
        right = arranged.argmax(dim=-1) == self.code_indices[versions].long()
        return {
            "held_out_nats": composer_loss(logits, true, posterior).cross_entropy.item(),
            "held_out_right": (logits.argmax(dim=-1) == true).float().mean().item(),
            "held_out_arranged": right.float().mean().item(),
            "held_out_arrangement_nats": self._nats(arranged, versions).item(),
        }


def versions_of_references(
    features: Features, loops: NDArray[np.int64]
) -> list[tuple[int, NDArray[np.int64]]]:
    """For each composition with a reference among `loops`: its number, and its other versions."""
    compositions = features.compositions[loops]
    is_reference = features.labels[loops].all(axis=1) & (compositions >= 0)
    pairs = []
    for reference in loops[is_reference]:
        same = loops[compositions == features.compositions[reference]]
        others = same[same > reference]
        # A version with all factors on is the reference once more.
        if len(others) and reference == same.min():
            pairs.append((int(reference), others))
    return pairs
