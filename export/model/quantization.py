"""The render half in int8: a quarter of the weights, kept only if the difference is inaudible.

Only the render half is rounded. The device computes it for every block, and rounding changes its
magnitudes slightly. The compose half decides codes, and a code that changes is another note: int8
changed 0.8 % of the bundled model's codes.
"""

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto

from device.model.network import Network
from export.model.benchmark import Speed
from export.model.graph import DRAWN, nodes_behind
from export.model.parity import ExportError, parity_inputs

# Spectra that cannot be distinguished by ear (Paliwal & Atal 1993): 1 dB apart on average, at most
# 2 % of the frames more than 2 dB and none more than 4 dB.
MOST_MEAN_DB = 1.0
OUTLIER_DB = 2.0
MOST_OUTLIERS = 0.02
MOST_DB = 4.0
# Mean length of the difference of two phase advances. Drawn ones are 0.6 rad from the true ones.
MOST_ADVANCE = 0.1
# What lies this far below the loudest bin of its frame is masked by it.
_MASKED_DB = 60.0


@dataclass(frozen=True)
class Distance:
    """How far the frames of int8 are from those of float32.

    Attributes
    ----------
    n_states : int
    n_other_scores : int
        States whose composition differs, by even one digit.
    mean_db, largest_db : float
        Log-spectral distance of a frame.
    outliers : float
        Share of frames more than `OUTLIER_DB` apart.
    mean_advance : float
        Length of the difference of two vectors of phase advance; 0 where no bins are guided.
    """

    n_states: int
    n_other_scores: int
    mean_db: float
    largest_db: float
    outliers: float
    mean_advance: float = 0.0

    def check(self) -> None:
        """Refuse a difference that might be audible.

        Raises
        ------
        ExportError
        """
        if self.n_other_scores:
            raise _refusal(
                f"other digits in {self.n_other_scores} of {self.n_states} states",
                "the same in all",
            )
        # Written so that NaN fails.
        bounds = {"mean": (self.mean_db, MOST_MEAN_DB), "largest": (self.largest_db, MOST_DB)}
        for name, (distance, most) in bounds.items():
            if not distance <= most:
                measured = f"a {name} log-spectral distance of {distance:.2f} dB"
                raise _refusal(measured, f"at most {most:g} dB")
        if not self.outliers <= MOST_OUTLIERS:
            measured = f"{self.outliers:.1%} of the frames more than {OUTLIER_DB:g} dB away"
            raise _refusal(measured, f"at most {MOST_OUTLIERS:.0%}")
        if not self.mean_advance <= MOST_ADVANCE:
            measured = f"phase advances {self.mean_advance:.2f} apart on average"
            raise _refusal(measured, f"at most {MOST_ADVANCE:g}")


def _refusal(measured: str, expected: str) -> ExportError:
    return ExportError(
        f"int8: found {measured}, expected {expected}; no file was written: export with "
        "--quantize none"
    )


def check_faster(rounded: Speed, plain: Speed) -> None:
    """Refuse int8 if it is not faster.

    Raises
    ------
    ExportError
    """
    if not rounded.frame_ms < plain.frame_ms:
        expected = f"less than the {plain.frame_ms:.4f} ms of float32 on this machine"
        raise _refusal(f"{rounded.frame_ms:.4f} ms a frame", expected)


def to_int8(model: ModelProto) -> ModelProto:
    """Round the weights of the render half's matrix products to int8, a scale for each column.

    What they are multiplied with is rounded while it is computed, by plain operators:
    DynamicQuantizeLinear, MatMulInteger.
    """
    # Takes a second to import, and few exports need it.
    from onnxruntime.quantization import QuantType, quantize_dynamic

    rounded = ModelProto()
    rounded.CopyFrom(model)
    products = [n for n in nodes_behind(rounded.graph, *DRAWN) if n.op_type == "Gemm"]
    # Shapes noted for the weights of a Gemm would contradict the MatMul that it is turned into.
    del rounded.graph.value_info[:]
    with _quiet(), TemporaryDirectory() as folder:
        file = Path(folder) / "int8.onnx"
        quantize_dynamic(
            rounded,
            file,
            op_types_to_quantize=["MatMul"],
            nodes_to_quantize=[f"{node.name}_MatMul" for node in products],
            per_channel=True,
            weight_type=QuantType.QInt8,
            # Seven bits: processors without VNNI add pairs of products in 16 bits, which overflow.
            reduce_range=True,
        )
        rounded = onnx.load(file)
    n_rounded = sum(node.op_type == "MatMulInteger" for node in rounded.graph.node)
    assert n_rounded == len(products) > 0, f"{n_rounded} of {len(products)} products were rounded"
    return rounded


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the quantizer's advice to optimise the graph first: the device does that."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def compare(plain: Network, rounded: Network) -> Distance:
    """Draw the same frames with both, in every switch state or a sample of them."""
    card = plain.card
    n_other, distances, advances = 0, [], [0.0]
    for each in parity_inputs(card.n_switches, card.n_variation, card.beats_per_loop):
        score = plain.compose(each.switches, each.variation)
        n_other += not np.array_equal(score, rounded.compose(each.switches, each.variation))
        drawn = [network.frames(score, each.position) for network in (plain, rounded)]
        magnitudes = (frames[:, : card.n_bins] for frames in drawn)
        # A magnitude at the model's floor is silence.
        distances.append(spectral_distance_db(*magnitudes, silence=math.exp(card.log_floor)))
        if card.n_guided:
            real, imaginary = np.split(np.subtract(*drawn)[:, card.n_bins :], 2, axis=1)
            advances.append(float(np.hypot(real, imaginary).mean()))
    frames = np.concatenate(distances)
    return Distance(
        n_states=len(distances),
        n_other_scores=n_other,
        mean_db=float(frames.mean()),
        largest_db=float(frames.max()),
        outliers=float((frames > OUTLIER_DB).mean()),
        mean_advance=float(np.mean(advances[1:] or advances)),
    )


def spectral_distance_db(
    a: NDArray[np.float32], b: NDArray[np.float32], *, silence: float
) -> NDArray[np.float32]:
    """Root mean square over the bins of the difference in level, frame by frame.

    Parameters
    ----------
    a, b : (n_frames, n_bins)
        Magnitudes. What the loudest bin of `a`'s frame masks counts as being at that threshold.
    silence : float
        The magnitude below which any frame is inaudible.

    Returns
    -------
    (n_frames,), dB
    """
    loudest = a.max(axis=1, keepdims=True)
    threshold = np.maximum(loudest * np.float32(10 ** (-_MASKED_DB / 20)), np.float32(silence))
    levels = (20 * np.log10(np.maximum(magnitude, threshold)) for magnitude in (a, b))
    difference = np.subtract(*levels)
    distance: NDArray[np.float32] = np.sqrt((difference**2).mean(axis=1))
    return distance
