"""All networks of a run, built from its configuration."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from training.networks.codec import Codec
from training.networks.composer import Composer, PosteriorEncoder
from training.networks.discriminator import Discriminator
from training.run.config import _SHOWN, LABELLED, Config, TrainingError
from training.switch_axes.axes import Axes
from training.switch_axes.discovered import DiscoveredAxes
from training.switch_axes.labels import LabelledAxes
from training.switch_axes.principal_components import ComponentAxes

# Names in checkpoints and finished runs, where they differ from the attributes.
_SAVED_NAMES = {"posterior_encoder": "reader", "discriminator": "critic"}


@dataclass
class Networks:
    """The networks of a run, and the axes between them and the switches."""

    codec: Codec
    composer: Composer
    posterior_encoder: PosteriorEncoder
    axes: Axes
    discriminator: Discriminator

    @classmethod
    def build(cls, config: Config, n_slots: int) -> Self:
        """Fresh networks, initialised from the run's seed.

        Raises
        ------
        TrainingError
            If networks of these sizes do not fit into memory.
        """
        try:
            return cls._build(config, n_slots)
        except (MemoryError, RuntimeError) as error:
            # torch's own text has several lines.
            raise TrainingError(
                f"found no memory for networks of these sizes ({str(error).splitlines()[0]}); "
                "choose smaller ones"
            ) from error

    @classmethod
    def _build(cls, config: Config, n_slots: int) -> Self:
        torch.manual_seed(config.seed)
        code = {"n_codes": config.n_codes, "n_levels": config.n_levels}
        codec = Codec(
            n_bands=config.analysis.n_bands,
            frames_per_slot=config.analysis.frames_per_slot,
            width=config.width,
            n_channels=config.n_channels,
            hidden=config.hidden,
            n_guided=config.analysis.n_guided,
            advance_hidden=config.advance_hidden,
            encoder_blocks=config.encoder_blocks,
            n_factors=config.n_factors,
            **code,
        )
        composer = Composer(
            n_slots=n_slots,
            width=config.composer_width,
            n_layers=config.composer_layers,
            n_latent=config.n_switches + config.n_variation,
            n_variation=config.n_variation,
            n_rounds=config.n_rounds,
            temperature=config.temperature,
            n_factors=config.n_factors,
            **code,
        )
        axes = _axes(config)
        posterior_encoder = PosteriorEncoder(
            n_slots=n_slots,
            n_inferred=axes.n_inferred,
            # What the composer gets beside it.
            n_known=config.n_switches + config.n_variation - axes.n_inferred - config.n_factors,
            width=config.reader_width,
            **code,
        )
        discriminator = Discriminator(n_slots=n_slots, width=config.reader_width, **code)
        return cls(codec, composer, posterior_encoder, axes, discriminator)

    def to(self, device: torch.device) -> Self:
        """Move all to a device."""
        for network in vars(self).values():
            network.to(device)
        return self

    def _by_saved_name(self) -> Iterator[tuple[str, nn.Module]]:
        for name, network in vars(self).items():
            yield _SAVED_NAMES.get(name, name), network

    def state(self) -> dict[str, dict[str, Tensor]]:
        """All weights."""
        return {name: network.state_dict() for name, network in self._by_saved_name()}

    def load(self, state: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Load weights that `state` returned.

        Raises
        ------
        TrainingError
            If they are of another version, or no numbers.
        """
        for name, network in self._by_saved_name():
            if not isinstance(state, Mapping) or name not in state:
                raise TrainingError(f"weights of another version: found no {name}; train again")
            weights = state[name]
            if not isinstance(weights, Mapping) or not all(map(torch.is_tensor, weights.values())):
                raise TrainingError(f"weights of {name}: found none, expected tensors; train again")
            try:
                network.load_state_dict(weights)
            except RuntimeError as error:
                # torch lists every one of them, each on a line.
                reason = " ".join(str(error).split())
                raise TrainingError(
                    f"weights of another version: {name}: {reason[:_SHOWN]}; train again"
                ) from error
            for part, tensor in network.state_dict().items():
                if not tensor.isfinite().all():
                    raise TrainingError(
                        f"weights of {name}: found {part} with what is no finite number; bring "
                        "back a copy, or train again"
                    )


def _axes(config: Config) -> Axes:
    """The axes that the switches of a run move along."""
    n_variation, switch_range = config.n_variation, config.switch_range
    if config.switches == "components":
        return ComponentAxes(config.n_switches, n_variation, switch_range=switch_range)
    if config.switches in LABELLED:
        return LabelledAxes(
            config.label_names, n_variation, switch_range=switch_range, prior_size=config.prior_size
        )
    return DiscoveredAxes(
        config.n_switches, n_variation, switch_range=switch_range, prior_size=config.prior_size
    )
