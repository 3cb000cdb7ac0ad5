"""``checkpoint.pt``: what it must hold, and whether an optimiser's state fits the networks."""

from collections.abc import Mapping
from typing import Any

import torch

from training.corpus.format import is_positive, is_whole
from training.run.stages import STAGES


def _is_progress(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and value.keys() == {"stage", "step", "seconds"}
        and is_whole(value["stage"], 0)
        and value["stage"] <= len(STAGES)
        and is_whole(value["step"], 0)
        and (value["seconds"] == 0 or is_positive(value["seconds"]))
    )


# Contents of `checkpoint.pt`: name → a test of the value, and a description.
CHECKPOINT: Mapping[str, tuple[Any, str]] = {
    "config": (lambda value: isinstance(value, Mapping), "the settings of the run"),
    "networks": (lambda value: isinstance(value, Mapping), "weights"),
    "progress": (_is_progress, "stage, step and seconds"),
    "optimiser": (
        lambda value: value is None or isinstance(value, dict),
        "the optimiser's state, or none",
    ),
}


def check_fits_parameters(optimiser: torch.optim.Optimizer) -> None:
    """Compare shapes and values of the optimiser's state with the parameters.

    Raises
    ------
    TypeError, ValueError
        If one does not fit.
    """
    for group in optimiser.param_groups:
        for name, default in optimiser.defaults.items():
            if type(group[name]) is not type(default) and name != "lr":
                raise TypeError(name)
        for parameter in group["params"]:
            known = optimiser.state[parameter]
            for name in ("exp_avg", "exp_avg_sq") if known else ():
                if known[name].shape != parameter.shape or not known[name].isfinite().all():
                    raise ValueError(name)
            if known and not float(known["step"]) >= 0:
                raise ValueError("step")
