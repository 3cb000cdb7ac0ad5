"""The two halves of the contract as one torch module, and that module as ONNX."""

import logging
import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import onnx
import torch
from onnx import (
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    ValueInfoProto,
    helper,
    numpy_helper,
)
from torch import Tensor, nn

from device.model.contract import SLOTS_PER_BEAT
from training.networks.frame_decoder import BinScatter
from training.run.run_folder import FinishedRun

OPSET = 20
# The newest file format that onnxruntime 1.19, the oldest on a device, can read.
IR_VERSION = 10
# The digits. Where the compose half is one part, they are no part of the contract, but an output
# before release, for comparing torch with onnxruntime.
CODES = "codes"
COMPOSITION = "composition"
# The last one only where the compose half is in two parts.
_INPUTS = ("switches", "variation", "score_in", "position", "composition_in")
# Each output of the compose half, and the input that must be numbers for it to be computed.
_GUARDS = {"score": "switches", COMPOSITION: "variation"}
# Of the render half; the second one only where bins are guided.
DRAWN = ("log_magnitude", "phase_advance")


def n_codes(run: FinishedRun) -> int:
    """The contract's number of that name: 0 unless the composer knows no switches."""
    has_parts = run.networks.codec.n_factors > 0 and run.config.n_variation > 0
    return run.config.n_codes if has_parts else 0


class ComposeHalf(nn.Module):
    """Switches (n_switches,) and variation (n_variation,) → score and the digits behind it.

    Attributes
    ----------
    has_parts : bool
        Whether the digits are those of the variation alone.
    """

    def __init__(self, run: FinishedRun) -> None:
        super().__init__()
        self.axes = run.networks.axes
        self.composer = run.networks.composer
        self.writer = run.networks.codec.writer
        self.has_parts = n_codes(run) > 0
        self.half_levels = run.config.n_levels // 2

    def forward(self, switches: Tensor, variation: Tensor) -> tuple[Tensor, Tensor]:
        """Compose one loop: (n_slots, n_channels), (n_slots, n_codes)."""
        digits = self.digits(switches, variation)
        return self.score(switches, digits), digits

    def digits(self, switches: Tensor, variation: Tensor) -> Tensor:
        """The first part: whole numbers around 0, (n_slots, n_codes)."""
        if self.has_parts:
            # The composer ignores them, and the graph may not even read them.
            switches = variation.new_zeros(switches.shape)
        latent = self.axes.latent(switches[None], variation[None])
        classes = self.composer.code_indices(latent, variation[None])
        digits: Tensor = classes[0].to(torch.float32) - self.half_levels
        return digits

    def score(self, switches: Tensor, digits: Tensor) -> Tensor:
        """The second part: (n_slots, n_channels)."""
        rows: Tensor = self.writer(digits[None], switches[None])
        return rows[0]

    def margin(self, switches: Tensor, variation: Tensor) -> float:
        """How clearly the closest decision of arg max was taken."""
        latent = self.axes.latent(switches[None], variation[None])
        of_prior = self.axes.prior.margin(variation[None])
        return min(of_prior, self.composer.margin(latent, variation[None]))


class RenderHalf(nn.Module):
    """Score (n_slots, n_channels) and position (n_frames,) in beats → what `DRAWN` names."""

    def __init__(self, run: FinishedRun) -> None:
        super().__init__()
        self.n_slots = run.n_slots
        self.renderer = run.networks.codec.renderer
        self.to_bins = _ToBins(run)
        analysis = run.config.analysis
        share = torch.from_numpy(analysis.scatter)
        self.scatter = BinScatter(run.config.n_channels, share, analysis.floor)

    def forward(self, score: Tensor, position: Tensor) -> tuple[Tensor, Tensor]:
        """Each frame from the row of its slot: (n_frames, n_bins), (n_frames, 2 * n_guided)."""
        steps = position * SLOTS_PER_BEAT
        slot = steps.floor()
        rows = score[slot.long() % self.n_slots]
        bands, advance = self.renderer.draw(rows, steps - slot)
        return self.scatter(self.to_bins(bands), rows, steps - slot), advance


class BoxGraph(nn.Module):
    """Both halves side by side, the compose half in its parts; they share no node."""

    def __init__(self, run: FinishedRun) -> None:
        super().__init__()
        self.compose = ComposeHalf(run)
        self.render = RenderHalf(run)

    def forward(
        self,
        switches: Tensor,
        variation: Tensor,
        score_in: Tensor,
        position: Tensor,
        composition_in: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """In the order of the contract, the digits last."""
        digits = self.compose.digits(switches, variation)
        score = self.compose.score(switches, digits if composition_in is None else composition_in)
        log_magnitude, advance = self.render(score_in, position)
        drawn = (log_magnitude, advance) if advance.shape[1] else (log_magnitude,)
        return score, *drawn, digits


class _ToBins(nn.Module):
    """Normalisation and bands → bins, both linear, at once: (n_frames, n_bands) → (…, n_bins).

    The lowest bands may be bins, which are scaled alone: a matrix for them would be nearly all
    zeros, 300 kB of them in a model with the default bands.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, run: FinishedRun) -> None:
        super().__init__()
        codec, expansion = run.networks.codec, torch.from_numpy(run.config.analysis.expansion)
        n_bins, n_bands = expansion.shape
        is_own_band = (expansion == torch.eye(n_bins, n_bands)).all(dim=1)
        self.n_single = int(is_own_band.int().cumprod(dim=0).sum())
        self.register_buffer("mean", codec.mean[: self.n_single])
        self.register_buffer("std", codec.std)
        if self.n_single == n_bins:
            return
        rest = expansion[self.n_single :]
        self.first = int((rest != 0).any(dim=0).int().argmax())
        self.wide = nn.Linear(n_bands - self.first, len(rest))
        with torch.no_grad():
            self.wide.weight.copy_((rest * codec.std)[:, self.first :])
            self.wide.bias.copy_(rest @ codec.mean)

    def forward(self, bands: Tensor) -> Tensor:
        """In natural logs."""
        single: Tensor = bands[:, : self.n_single] * self.std + self.mean
        if not hasattr(self, "wide"):
            return single
        wide: Tensor = self.wide(bands[:, self.first :])
        return torch.cat([single, wide], dim=1) if self.n_single else wide


def to_onnx(run: FinishedRun, graph: BoxGraph) -> ModelProto:
    """Trace the graph; the digits are its last output, `CODES` or `COMPOSITION`."""
    config = run.config
    example = [
        torch.zeros(config.n_switches),
        torch.zeros(config.n_variation),
        torch.zeros(run.n_slots, config.n_channels),
        torch.arange(4) / 16,
    ]
    digits = CODES
    if graph.compose.has_parts:
        example.append(torch.zeros(run.n_slots, config.n_codes))
        digits = COMPOSITION
    names = _INPUTS[: len(example)]
    dynamic = {"position": {0: torch.export.Dim("n_frames", min=1)}}
    with _quiet_exporter():
        program = torch.onnx.export(
            graph,
            tuple(example),
            input_names=list(names),
            output_names=["score", *DRAWN[: 1 + bool(config.analysis.n_guided)], digits],
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
            dynamic_shapes={name: dynamic.get(name) for name in names},
        )
    assert program is not None
    model: ModelProto = program.model_proto
    return model


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Suppress the exporter's messages about torchvision and deprecated parts of torch."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*LeafSpec", category=FutureWarning)
            yield
    finally:
        logger.setLevel(before)


def to_device_graph(model: ModelProto) -> ModelProto:
    """Make the graph of the contract: each part of the compose half behind an ``If``.

    Where it is one part, the digits are inside. Outputs stay the same to the bit.
    """
    shipped = ModelProto()
    shipped.CopyFrom(model)
    kept = [output for output in shipped.graph.output if output.name != CODES]
    del shipped.graph.output[:]
    shipped.graph.output.extend(kept)
    _wrap_in_ifs(shipped.graph)
    _share_constants(shipped.graph)
    _strip_exporter_metadata(shipped)
    shipped.ir_version = min(shipped.ir_version, IR_VERSION)
    onnx.checker.check_model(shipped, full_check=True)
    return shipped


def _wrap_in_ifs(graph: GraphProto) -> None:
    """Move all nodes behind each output of the compose half into an ``If``, see `_GUARDS`.

    onnxruntime computes every node of a graph, whatever outputs are fetched. Behind the ``If``, the
    compose half costs a drawn block nothing: the device feeds it NaN and the branch is not taken.
    """
    behind = {output.name: _ancestors(graph, [output.name]) for output in graph.output}
    guarded = [output for output in graph.output if output.name in _GUARDS]
    inside: set[str] = set()
    ifs: list[NodeProto] = []
    for output in guarded:
        # A branch can read values from outside: nodes that several outputs need stay there.
        others = set().union(*(nodes for name, nodes in behind.items() if name != output.name))
        own = behind[output.name] - others
        ifs += _behind_if(output, [node for node in graph.node if node.output[0] in own])
        inside |= own
    needed = set().union(*behind.values())
    outside = [node for node in graph.node if node.output[0] in needed - inside]
    del graph.node[:]
    graph.node.extend([*outside, *ifs])
    # Types of intermediate values were noted for the outer graph; they are in the branches now.
    del graph.value_info[:]


def _behind_if(output: ValueInfoProto, nodes: Sequence[NodeProto]) -> list[NodeProto]:
    """Nodes that compute an output as a branch that is taken only if no number of a guard is NaN.

    Otherwise the output is zeros.
    """
    name, guard = output.name, _GUARDS[output.name]
    shape = [size.dim_value for size in output.type.tensor_type.shape.dim]
    for node in nodes:
        node.output[:] = [_inner(n) if n == name else n for n in node.output]
    then_nodes = [*nodes, helper.make_node("Identity", [_inner(name)], ["composed"])]
    composed = helper.make_tensor_value_info("composed", TensorProto.FLOAT, shape)
    idle = helper.make_tensor_value_info("idle", TensorProto.FLOAT, shape)
    size = helper.make_tensor("size", TensorProto.INT64, [len(shape)], shape)
    else_nodes = [
        helper.make_node("Constant", [], ["idle_shape"], value=size),
        helper.make_node("ConstantOfShape", ["idle_shape"], ["idle"]),
    ]
    return [
        helper.make_node("ReduceSum", [guard], [f"{guard}_sum"], keepdims=0),
        helper.make_node("Equal", [f"{guard}_sum"] * 2, [f"{guard}_are_numbers"]),
        helper.make_node(
            "If",
            [f"{guard}_are_numbers"],
            [name],
            then_branch=helper.make_graph(then_nodes, "compose", [], [composed]),
            else_branch=helper.make_graph(else_nodes, "rest", [], [idle]),
        ),
    ]


def _share_constants(graph: GraphProto) -> None:
    """Keep one of equal constants: onnxruntime computes once what has the same inputs.

    Both noise textures of a renderer have the same waves.
    """
    kept: dict[tuple[Any, ...], TensorProto] = {}
    renamed = {}
    for tensor in graph.initializer:
        content = tensor.data_type, *tensor.dims, numpy_helper.to_array(tensor).tobytes()
        renamed[tensor.name] = kept.setdefault(content, tensor).name
    for node in _nodes(graph):
        node.input[:] = [renamed.get(name, name) for name in node.input]
    constants = list(kept.values())
    del graph.initializer[:]
    graph.initializer.extend(constants)


def _strip_exporter_metadata(model: ModelProto) -> None:
    """Remove the exporter's notes: source lines of this machine on every node, a third of a MiB."""
    graph = model.graph
    del graph.metadata_props[:]
    described: Iterable[Any] = [
        *_nodes(graph),
        *graph.input,
        *graph.output,
        *graph.value_info,
        *graph.initializer,
    ]
    for part in described:
        del part.metadata_props[:]
        part.ClearField("doc_string")


@dataclass(frozen=True)
class Weights:
    """How many numbers one half of a graph holds, and how large they are."""

    n: int
    n_bytes: int


def weights(graph: GraphProto, *output_names: str) -> Weights:
    """Count the constants that some outputs depend on."""
    read = {name for node in nodes_behind(graph, *output_names) for name in node.input}
    tensors = [tensor for tensor in graph.initializer if tensor.name in read]
    n_bytes = [tensor.ByteSize() for tensor in tensors]
    return Weights(sum(math.prod(tensor.dims) for tensor in tensors), sum(n_bytes))


def composing(graph: GraphProto) -> list[str]:
    """Names of the outputs of the compose half, one for each part."""
    return [output.name for output in graph.output if output.name in _GUARDS]


def nodes_behind(graph: GraphProto, *output_names: str) -> list[NodeProto]:
    """List the nodes that some outputs depend on, in their order."""
    behind = _ancestors(graph, output_names)
    return [node for node in graph.node if node.output[0] in behind]


def _nodes(graph: GraphProto) -> Iterator[NodeProto]:
    """Walk through all nodes, those of branches too."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _nodes(attribute.g)


def _inner(name: str) -> str:
    return f"{name}_behind_door"


def _ancestors(graph: GraphProto, output_names: Iterable[str]) -> set[str]:
    """Find the first output of every node that some outputs depend on."""
    producers = {name: node for node in graph.node for name in node.output}
    ancestors: set[str] = set()
    pending = list(output_names)
    while pending:
        node = producers.get(pending.pop())
        if node is not None and node.output[0] not in ancestors:
            ancestors.add(node.output[0])
            pending.extend(node.input)
    return ancestors
