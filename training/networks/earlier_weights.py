"""Weights of earlier versions."""

from typing import Any

import torch
from torch import Tensor, nn


def accept_without(network: nn.Module, name: str) -> None:
    """Load weights in which a parameter or buffer is missing as if it were zero."""
    shape = network.state_dict()[name].shape

    def accept(_: nn.Module, state: dict[str, Tensor], prefix: str, *__: Any) -> None:
        state.setdefault(f"{prefix}{name}", torch.zeros(shape))

    # torch leaves it unannotated.
    network.register_load_state_dict_pre_hook(accept)  # type: ignore[no-untyped-call]
