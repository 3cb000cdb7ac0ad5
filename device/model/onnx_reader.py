"""What an ONNX file is made of, read without running any of it.

onnxruntime is written for trusted files. So a candidate is first read here, where wrong data raise
an exception: what a model of ours never needs is refused before onnxruntime opens the file
(references to other files, operators of other domains, loops, functions, sizes that contradict the
bytes). The fields are those of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto. Standard
library alone.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from device.errors import ForbiddenGraph, ModelUnreadable
from device.files import read_regular
from device.model.contract import MAX_MODEL_BYTES, MOST_METADATA_BYTES, Tensor, check_file
from device.model.protobuf import DamagedMessage, ForbiddenField, Message, MessageReader, Schema

# The bundled model has 2,862 fields and 216 nodes.
_MOST_FIELDS = 100_000
_MOST_NODES = 4_000
# Two `If` in each other: every graph is three messages below the one around it, and the longest
# way down inside one, to the size of an output's axis, is five more.
_MOST_DEPTH = 12
_MOST_AXES = 8
# All constants together, as their shapes declare them.
_MOST_CONSTANT_BYTES = 2 * MAX_MODEL_BYTES

_SCHEMA: Schema = {
    "model": {
        1: ("ir_version", "number"),
        2: ("producer_name", "bytes"),
        3: ("producer_version", "bytes"),
        4: ("domain", "bytes"),
        5: ("model_version", "number"),
        6: ("doc_string", "bytes"),
        7: ("graph", "graph"),
        8: ("opset_import", "opset"),
        14: ("metadata_props", "entry"),
    },
    "opset": {1: ("domain", "bytes"), 2: ("version", "number")},
    "entry": {1: ("key", "bytes"), 2: ("value", "bytes")},
    "graph": {
        1: ("node", "node"),
        2: ("name", "bytes"),
        5: ("initializer", "tensor"),
        10: ("doc_string", "bytes"),
        11: ("input", "value"),
        12: ("output", "value"),
        13: ("value_info", "value"),
        16: ("metadata_props", "entry"),
    },
    "node": {
        1: ("input", "bytes"),
        2: ("output", "bytes"),
        3: ("name", "bytes"),
        4: ("op_type", "bytes"),
        5: ("attribute", "attribute"),
        6: ("doc_string", "bytes"),
        7: ("domain", "bytes"),
        9: ("metadata_props", "entry"),
    },
    "attribute": {
        1: ("name", "bytes"),
        2: ("f", "float"),
        3: ("i", "number"),
        4: ("s", "bytes"),
        5: ("t", "tensor"),
        6: ("g", "graph"),
        7: ("floats", "floats"),
        8: ("ints", "varints"),
        9: ("strings", "bytes"),
        13: ("doc_string", "bytes"),
        20: ("type", "number"),
    },
    "tensor": {
        1: ("dims", "numbers"),
        2: ("data_type", "number"),
        4: ("float_data", "floats"),
        5: ("int32_data", "varints"),
        7: ("int64_data", "varints"),
        8: ("name", "bytes"),
        9: ("raw_data", "bytes"),
        10: ("double_data", "doubles"),
        12: ("doc_string", "bytes"),
        14: ("data_location", "number"),
        16: ("metadata_props", "entry"),
    },
    "value": {
        1: ("name", "bytes"),
        2: ("type", "type"),
        3: ("doc_string", "bytes"),
        4: ("metadata_props", "entry"),
    },
    "type": {1: ("tensor_type", "tensor_type"), 6: ("denotation", "bytes")},
    "tensor_type": {1: ("elem_type", "number"), 2: ("shape", "shape")},
    "shape": {1: ("dim", "dim")},
    "dim": {1: ("dim_value", "number"), 2: ("dim_param", "bytes"), 3: ("denotation", "bytes")},
}

# What the schema leaves out on purpose, by name; everything else it leaves out by number.
_NEVER = {
    ("model", 20): "training steps",
    ("model", 25): "functions of its own",
    ("graph", 15): "a sparse constant",
    ("node", 8): "an overloaded operator",
    ("attribute", 10): "a list of constants",
    ("attribute", 11): "a list of graphs",
    ("attribute", 21): "a reference to a function's attribute",
    ("attribute", 22): "a sparse constant",
    ("tensor", 3): "a constant in pieces",
    ("tensor", 6): "a constant of texts",
    ("tensor", 13): "a constant in another file",
}

# TensorProto.DataType: name and bytes an element has in memory.
_ELEMENTS = {
    1: ("float32", 4),
    2: ("uint8", 1),
    3: ("int8", 1),
    6: ("int32", 4),
    7: ("int64", 8),
    9: ("bool", 1),
    10: ("float16", 2),
    11: ("float64", 8),
}

# What may be computed: nothing that loops, draws random numbers, reads text or keeps a state.
_PLAIN_OPERATORS = """
Abs Acos Acosh Add And Asin Asinh Atan Atanh BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor
Cast CastLike Ceil Celu Clip Cos Cosh CumSum Div Elu Equal Erf Exp Floor Gelu Greater
GreaterOrEqual HardSigmoid HardSwish Hardmax Identity IsInf IsNaN LeakyRelu Less LessOrEqual Log
LogSoftmax Max Mean Min Mish Mod Mul Neg Not Or PRelu Pow Reciprocal Relu Round Selu Shrink
Sigmoid Sign Sin Sinh Softmax Softplus Softsign Sqrt Sub Sum Swish Tan Tanh ThresholdedRelu
Where Xor
Conv ConvInteger ConvTranspose DequantizeLinear DynamicQuantizeLinear Einsum GRU Gemm LSTM
MatMul MatMulInteger QLinearConv QLinearMatMul QuantizeLinear RNN
AveragePool BatchNormalization GlobalAveragePool GlobalMaxPool GroupNormalization
InstanceNormalization LayerNormalization LpNormalization MaxPool MeanVarianceNormalization
RMSNormalization
ArgMax ArgMin ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin
ReduceProd ReduceSum ReduceSumSquare TopK
Concat Constant ConstantOfShape DepthToSpace Expand EyeLike Flatten Gather GatherElements
GatherND OneHot Pad Range Reshape Resize ScatterElements ScatterND Shape Size Slice SpaceToDepth
Split Squeeze Tile Transpose Trilu Unsqueeze
If
"""
_OPERATORS = frozenset(_PLAIN_OPERATORS.split())
_PLAIN_DOMAINS = ("", "ai.onnx")
_BRANCHES = {"then_branch", "else_branch"}


@dataclass(frozen=True)
class OnnxFile:
    """A file whose graph is plain.

    Attributes
    ----------
    metadata : dict
        Its ``metadata_props``.
    tensors : tuple of Tensor
        The graph's inputs, then its outputs.
    n_nodes : int
        Those of branches counted too.
    """

    metadata: dict[str, str]
    tensors: tuple[Tensor, ...]
    n_nodes: int


def read_onnx_file(path: Path) -> OnnxFile:
    """Read an untrusted file.

    Raises
    ------
    ModelNotFound, ModelTooLarge
    ModelUnreadable
        If it is not an ONNX file, or a damaged one.
    ForbiddenGraph
        If it contains what a model of ours never needs.
    """
    check_file(path)
    reader = MessageReader(_SCHEMA, most_fields=_MOST_FIELDS, most_depth=_MOST_DEPTH)
    try:
        return _checked(reader.read("model", read_regular(path, MAX_MODEL_BYTES)))
    except (DamagedMessage, UnicodeDecodeError) as error:
        raise ModelUnreadable(
            f"{path}: not an ONNX file ({error}); expected a file written by `switchboard export`: "
            "copy or export it again"
        ) from error
    except ForbiddenField as error:
        field = _NEVER.get((error.kind, error.number), str(error))
        raise _forbidden(field, "what a plain model needs") from error


def _checked(model: Message) -> OnnxFile:
    graphs = model.get("graph", [])
    if len(graphs) != 1:
        raise DamagedMessage(f"{len(graphs)} graphs")
    for opset in model.get("opset_import", []):
        _check_domain(opset)
    nodes = list(_nodes(graphs[0]))
    if len(nodes) > _MOST_NODES:
        raise _forbidden(f"{len(nodes):,} nodes", f"{_MOST_NODES:,} at most")
    for node in nodes:
        _check_node(node)
    _check_constants(graphs[0], nodes)
    values = graphs[0].get("input", []) + graphs[0].get("output", [])
    return OnnxFile(_metadata(model), tuple(map(_tensor, values)), len(nodes))


def _nodes(graph: Message) -> Iterator[Message]:
    for node in graph.get("node", []):
        yield node
        for attribute in node.get("attribute", []):
            for branch in attribute.get("g", []):
                yield from _nodes(branch)


def _graphs(graph: Message, nodes: list[Message]) -> Iterator[Message]:
    yield graph
    for node in nodes:
        for attribute in node.get("attribute", []):
            yield from attribute.get("g", [])


def _check_node(node: Message) -> None:
    _check_domain(node)
    operators = {_text(name) for name in node.get("op_type", [b""])}
    if not operators <= _OPERATORS:
        raise _forbidden(f"the operator {min(operators - _OPERATORS)[:40]!r}", "plain ones")
    for attribute in node.get("attribute", []):
        if "g" in attribute and not ({_name(attribute)} <= _BRANCHES and operators == {"If"}):
            raise _forbidden(f"a graph in {_name(attribute)[:40]!r}", "graphs in branches of an If")


def _check_domain(part: Message) -> None:
    for domain in map(_text, part.get("domain", [])):
        if domain not in _PLAIN_DOMAINS:
            raise _forbidden(f"operators of the domain {domain[:40]!r}", "those of ONNX itself")


def _check_constants(graph: Message, nodes: list[Message]) -> None:
    constants = [c for g in _graphs(graph, nodes) for c in g.get("initializer", [])]
    for node in nodes:
        for attribute in node.get("attribute", []):
            constants += attribute.get("t", [])
    total = sum(map(_n_constant_bytes, constants))
    if total > _MOST_CONSTANT_BYTES:
        raise _forbidden(f"constants of {total:,} bytes", f"{_MOST_CONSTANT_BYTES:,} at most")


def _n_constant_bytes(tensor: Message) -> int:
    """The size that its shape declares, checked against its bytes."""
    if any(tensor.get("data_location", [])):
        raise _forbidden("a constant in another file", "one file")
    element = _last(tensor, "data_type", 0)
    if element not in _ELEMENTS:
        raise _forbidden(f"a constant of element type {element}", "plain numbers")
    dims = tensor.get("dims", [])
    if len(dims) > _MOST_AXES or any(size < 0 for size in dims):
        raise _forbidden(f"a constant of shape {dims[:_MOST_AXES]}", "axes of 0 and more, a few")
    n_bytes = math.prod(dims) * _ELEMENTS[element][1]
    raw = tensor.get("raw_data")
    if raw is not None and len(raw[-1]) != n_bytes:
        raise _forbidden(f"{len(raw[-1]):,} bytes of a constant", f"{n_bytes:,} as its shape says")
    return n_bytes


def _metadata(model: Message) -> dict[str, str]:
    entries = [(_text(_last(e, "key", b"")), e) for e in model.get("metadata_props", [])]
    metadata = {key: _text(_last(entry, "value", b"")) for key, entry in entries}
    if len(metadata) != len(entries):
        raise _forbidden("a metadata key twice", "each once")
    n_bytes = sum(len(_last(entry, "value", b"")) for _, entry in entries)
    if n_bytes > MOST_METADATA_BYTES:
        raise _forbidden(f"{n_bytes:,} bytes of metadata", f"{MOST_METADATA_BYTES:,} at most")
    return metadata


def _tensor(value: Message) -> Tensor:
    kind = _last(_last(value, "type", {}), "tensor_type", {})
    element = _last(kind, "elem_type", 0)
    name, _ = _ELEMENTS.get(element, (f"element type {element}", 0))
    shape = tuple(_last(dim, "dim_value", None) for dim in _last(kind, "shape", {}).get("dim", []))
    return Tensor(_name(value), name, shape)


def _last(message: Message, name: str, default: Any) -> Any:
    """The value of a field that should occur once; of several the last counts, as in protobuf."""
    return message[name][-1] if name in message else default


def _name(part: Message) -> str:
    return _text(_last(part, "name", b""))


def _text(data: bytes | memoryview) -> str:
    return bytes(data).decode("utf-8")


def _forbidden(found: str, expected: str) -> ForbiddenGraph:
    return ForbiddenGraph(
        f"model graph: found {found}, expected {expected}; "
        "export the model again with `switchboard export`"
    )
