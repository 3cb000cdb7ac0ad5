"""Whether onnxruntime computes what torch computes, for every switch state."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from onnx import ModelProto

from device.errors import SwitchboardError
from device.model.contract import SLOTS_PER_BEAT
from device.model.network import Network
from device.switches.state_sampling import all_states, random_states
from export.model.graph import CODES, COMPOSITION, DRAWN, BoxGraph, composing
from training.run.run_folder import FinishedRun

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
    largest_advance_difference : float
        Of the parts of phase advances drawn from the same score.
    """

    n_states: int
    code_agreement: float
    largest_difference: float
    largest_advance_difference: float = 0.0

    def check(self) -> None:
        """Refuse what is not the same.

        Raises
        ------
        ExportError
        """
        # Written so that NaN fails.
        if not self.code_agreement >= SMALLEST_AGREEMENT:
            raise ExportError(
                f"parity of compose: found {self.code_agreement:.4%} of the codes equal, expected "
                f"at least {SMALLEST_AGREEMENT:.1%}; no file was written"
            )
        if not self.largest_difference <= LARGEST_DIFFERENCE:
            raise ExportError(
                f"parity of render: found a difference of {self.largest_difference:.2e} nepers, "
                f"expected at most {LARGEST_DIFFERENCE:.0e}; no file was written"
            )
        if not self.largest_advance_difference <= LARGEST_DIFFERENCE:
            raise ExportError(
                "parity of render: found a difference of "
                f"{self.largest_advance_difference:.2e} of phase advances, expected at most "
                f"{LARGEST_DIFFERENCE:.0e}; no file was written"
            )


class TracedGraph:
    """A graph before it is written, in onnxruntime on one thread, with its digits as an output.

    Parameters
    ----------
    model : ModelProto
        With the output `CODES` or `COMPOSITION`.
    """

    def __init__(self, model: ModelProto) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        providers = ["CPUExecutionProvider"]
        self._session = ort.InferenceSession(model.SerializeToString(), options, providers)
        self._has_parts = COMPOSITION in composing(model.graph)
        # The half whose output is not fetched is computed all the same, from these.
        self._idle = {
            node.name: np.zeros([n if isinstance(n, int) else 1 for n in node.shape], np.float32)
            for node in self._session.get_inputs()
        }

    def compose(
        self, switches: NDArray[np.float32], variation: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Score (n_slots, n_channels) and the digits behind it (n_slots, n_digits)."""
        feeds = {**self._idle, "switches": switches, "variation": variation}
        if self._has_parts:
            (digits,) = self._session.run([COMPOSITION], feeds)
            (score,) = self._session.run(["score"], {**feeds, "composition_in": digits})
        else:
            score, digits = self._session.run(["score", CODES], feeds)
        return score, digits

    def draw(
        self, score: NDArray[np.float32], position: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Log magnitudes (n_frames, n_bins) and phase advance (n_frames, 2 * n_guided)."""
        feeds = {**self._idle, "score_in": score, "position": position}
        names = [node.name for node in self._session.get_outputs() if node.name in DRAWN]
        frames, *advance = self._session.run(names, feeds)
        return frames, advance[0] if advance else frames[:, :0]


@dataclass(frozen=True)
class ParityInput:
    """Input of both sides: a switch state, a variation and positions in beats."""

    switches: NDArray[np.float32]
    variation: NDArray[np.float32]
    position: NDArray[np.float32]


def parity_inputs(n_switches: int, n_variation: int, n_beats: float) -> Iterator[ParityInput]:
    """An input for every switch state, or for a random sample where there are too many.

    The same inputs at every call.
    """
    rng = np.random.default_rng(0)
    for switches in states(n_switches, rng):
        variation = rng.standard_normal(n_variation).astype(np.float32)
        position = np.sort(rng.uniform(0, n_beats, _N_POSITIONS)).astype(np.float32)
        yield ParityInput(switches, variation, position)


@torch.no_grad()
def measure(run: FinishedRun, graph: BoxGraph, traced: TracedGraph) -> Parity:
    """Run torch and onnxruntime side by side."""
    n_equal = n_digits = 0
    differences: list[tuple[float, ...]] = []
    config, n_beats = run.config, run.n_slots / SLOTS_PER_BEAT
    for each in parity_inputs(config.n_switches, config.n_variation, n_beats):
        switches, variation = torch.from_numpy(each.switches), torch.from_numpy(each.variation)
        score, digits = graph.compose(switches, variation)
        drawn = graph.render(score, torch.from_numpy(each.position))
        _, codes = traced.compose(each.switches, each.variation)
        n_equal += int((codes == digits.numpy()).sum())
        n_digits += codes.size
        traced_drawn = traced.draw(score.numpy(), each.position)
        differences.append(
            tuple(_largest(a - b.numpy()) for a, b in zip(traced_drawn, drawn, strict=True))
        )
    largest = np.max(differences, axis=0).tolist()
    return Parity(len(differences), n_equal / n_digits, *largest)


def confirm(traced: TracedGraph, network: Network) -> None:
    """Compare a file with the graph it was made of, on the inputs of `measure`.

    Raises
    ------
    ExportError
        If they differ.
    """
    card = network.card
    for each in parity_inputs(card.n_switches, card.n_variation, card.beats_per_loop):
        score, _ = traced.compose(each.switches, each.variation)
        drawn = zip(
            network.render(score, each.position), traced.draw(score, each.position), strict=True
        )
        composed = network.compose(each.switches, each.variation)
        difference = np.max([_largest(composed - score), *(_largest(a - b) for a, b in drawn)])
        if not difference <= LARGEST_DIFFERENCE:
            raise ExportError(
                f"parity of the file: found a difference of {difference:.2e} from the graph it was "
                f"made of, expected at most {LARGEST_DIFFERENCE:.0e}; no file was written"
            )


def _largest(difference: NDArray[np.float32]) -> float:
    # Unlike Python's max, numpy's returns NaN if there is one.
    return float(np.abs(difference).max(initial=0.0))


def states(n_switches: int, rng: np.random.Generator) -> Iterator[NDArray[np.float32]]:
    """Every switch state, or a random sample where there are too many."""
    if 2**n_switches <= MOST_STATES:
        sample = all_states(n_switches)
    else:
        sample = random_states(n_switches, MOST_STATES, rng)
    for bits in sample:
        yield np.array(bits, np.float32)
