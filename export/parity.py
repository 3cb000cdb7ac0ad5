"""Does onnxruntime compute what torch computes? Asked for every state of the panel."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from onnx import ModelProto

from device.contract import SLOTS_PER_BEAT
from device.errors import SwitchboardError
from export.graph import CODES, BoxGraph
from training.run import FinishedRun

LARGEST_DIFFERENCE = 1e-3
SMALLEST_AGREEMENT = 0.999
MOST_STATES = 1024
_N_POSITIONS = 64


class ExportError(SwitchboardError, ValueError):
    """A run that cannot become a model file."""

    exit_code = 22


@dataclass(frozen=True)
class Parity:
    """How close the two are.

    Attributes
    ----------
    n_states : int
    code_agreement : float
        Share of digits that are the same; ties in arg max are what remains.
    largest_difference : float
        Of log magnitudes drawn from the same score, in nepers.
    """

    n_states: int
    code_agreement: float
    largest_difference: float

    def check(self) -> None:
        """Refuse what is not the same.

        Raises
        ------
        ExportError
        """
        # Both are asked for the good, which a NaN is not.
        if not self.code_agreement >= SMALLEST_AGREEMENT:
            raise ExportError(
                f"parity of compose: found {self.code_agreement:.4%} of the digits equal, expected "
                f"at least {SMALLEST_AGREEMENT:.1%}; no file was written"
            )
        if not self.largest_difference <= LARGEST_DIFFERENCE:
            raise ExportError(
                f"parity of render: found a difference of {self.largest_difference:.2e} nepers, "
                f"expected at most {LARGEST_DIFFERENCE:.0e}; no file was written"
            )


@torch.no_grad()
def measure(run: FinishedRun, graph: BoxGraph, model: ModelProto) -> Parity:
    """Run torch and onnxruntime side by side.

    Parameters
    ----------
    model : ModelProto
        With the output `CODES`.
    """
    session = _session(model)
    rng = np.random.default_rng(0)
    beats = run.n_slots / SLOTS_PER_BEAT
    n_equal = n_digits = 0
    differences: list[float] = []
    for switches in _states(run.config.n_switches, rng):
        variation = rng.standard_normal(run.config.n_variation).astype(np.float32)
        position = np.sort(rng.uniform(0, beats, _N_POSITIONS)).astype(np.float32)
        score, digits = graph.compose(torch.from_numpy(switches), torch.from_numpy(variation))
        drawn = graph.render(score, torch.from_numpy(position)).numpy()
        feeds = {"switches": switches, "variation": variation}
        feeds |= {"score_in": score.numpy(), "position": position}
        codes, frames = session.run([CODES, "log_magnitude"], feeds)
        n_equal += int((codes == digits.numpy()).sum())
        n_digits += codes.size
        differences.append(float(np.abs(frames - drawn).max()))
    # Unlike Python's max, numpy's lets no NaN pass unseen.
    return Parity(len(differences), n_equal / n_digits, float(np.max(differences)))


def _session(model: ModelProto) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    providers = ["CPUExecutionProvider"]
    return ort.InferenceSession(model.SerializeToString(), options, providers)


def _states(n_switches: int, rng: np.random.Generator) -> Iterator[NDArray[np.float32]]:
    """Go through every state of the panel, or a random sample where there are too many."""
    if 2**n_switches <= MOST_STATES:
        for bits in product((0.0, 1.0), repeat=n_switches):
            yield np.array(bits, np.float32)
    else:
        yield from rng.integers(0, 2, (MOST_STATES, n_switches)).astype(np.float32)
