"""Model files made to do harm: each keeps the contract as far as its own trick allows."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
from onnx import AttributeProto, ModelProto, TensorProto, helper, numpy_helper

from tests.support import tiny_model as tiny

SIZES = tiny.Sizes()
_node = helper.make_node


def whole() -> ModelProto:
    """The good tiny model, to be spoilt."""
    model = tiny.make_graph(SIZES)
    for key, text in tiny.describe(SIZES).to_metadata().items():
        model.metadata_props.add(key=key, value=text)
    return model


def disturbed(*nodes: object, **constants: np.ndarray) -> ModelProto:
    """The good model, to whose output ``disturbance``, which these nodes make, is added."""
    model = whole()
    model.graph.node[-1].output[0] = "undisturbed"
    model.graph.node.extend(nodes)
    model.graph.node.append(_node("Add", ["undisturbed", "disturbance"], ["log_magnitude"]))
    for name, value in constants.items():
        model.graph.initializer.append(numpy_helper.from_array(value, name))
    return model


def nested_ifs(depth: int) -> ModelProto:
    """An ``If`` in an ``If`` in an ``If``."""
    value = helper.make_tensor_value_info("inner", TensorProto.FLOAT, [])
    branch = helper.make_graph([_node("Identity", ["floor"], ["inner"])], "b", [], [value])
    for _ in range(depth):
        node = _node(
            "If", ["switches_are_numbers"], ["inner"], then_branch=branch, else_branch=branch
        )
        branch = helper.make_graph([node], "b", [], [value])
    outer = branch.node[0]
    outer.output[0] = "deep"
    return disturbed(outer, _node("Sub", ["deep", "deep"], ["disturbance"]))


def nested_messages(depth: int) -> bytes:
    """A model of nothing but graphs in attributes of nodes of graphs, by hand."""
    inner = b""
    for number in (7, *(1, 5, 6) * depth)[::-1]:
        inner = bytes([number << 3 | 2]) + _varint(len(inner)) + inner
    return inner


def _varint(value: int) -> bytes:
    low = [value >> 7 * place & 0x7F for place in range(10)]
    while len(low) > 1 and low[-1] == 0:
        low.pop()
    return bytes([*(b | 0x80 for b in low[:-1]), low[-1]])


def looping() -> ModelProto:
    iteration, going, value = (
        helper.make_tensor_value_info(name, kind, [])
        for name, kind in (
            ("i", TensorProto.INT64),
            ("on", TensorProto.BOOL),
            ("v", TensorProto.FLOAT),
        )
    )
    same = [_node("Identity", ["on"], ["on_out"]), _node("Identity", ["v"], ["v_out"])]
    outputs = [
        helper.make_tensor_value_info("on_out", TensorProto.BOOL, []),
        helper.make_tensor_value_info("v_out", TensorProto.FLOAT, []),
    ]
    body = helper.make_graph(same, "body", [iteration, going, value], outputs)
    loop = _node("Loop", ["n_turns", "", "floor"], ["looped"], body=body)
    zero = _node("Sub", ["looped", "floor"], ["disturbance"])
    return disturbed(loop, zero, n_turns=np.array(10**15))


def foreign_operator() -> ModelProto:
    model = disturbed(_node("Whatever", ["floor"], ["disturbance"], domain="com.evil"))
    model.opset_import.append(helper.make_opsetid("com.evil", 1))
    return model


def foreign_domain_alone() -> ModelProto:
    model = whole()
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return model


def function_of_its_own() -> ModelProto:
    model = whole()
    body = [_node("Identity", ["x"], ["y"])]
    opset = [helper.make_opsetid("", 18)]
    model.functions.append(helper.make_function("", "Same", ["x"], ["y"], body, opset))
    return model


def external_data() -> ModelProto:
    model = whole()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    return model


def external_location_alone() -> ModelProto:
    model = whole()
    model.graph.initializer[0].data_location = TensorProto.EXTERNAL
    return model


def sparse_constant() -> ModelProto:
    model = whole()
    values = numpy_helper.from_array(np.ones(1, np.float32), "sparse")
    indices = numpy_helper.from_array(np.zeros(1, np.int64), "at")
    sparse = helper.make_sparse_tensor(values, indices, [2**40])
    model.graph.sparse_initializer.append(sparse)
    return model


def random_output() -> ModelProto:
    return disturbed(_node("RandomUniform", [], ["disturbance"], shape=[1], high=1e-6))


def two_graphs() -> ModelProto:
    return whole().SerializeToString() + looping().SerializeToString()


def many_nodes() -> ModelProto:
    names = ["floor", *(f"n{i}" for i in range(5000))]
    chain = [_node("Neg", [a], [b]) for a, b in pairwise(names)]
    return disturbed(*chain, _node("Sub", [names[-1], names[-1]], ["disturbance"]))


def huge_dims() -> ModelProto:
    model = whole()
    tensor = next(t for t in model.graph.initializer if t.name == "partials")
    tensor.dims[:] = [2**31, 2**31]
    return model


def huge_dims_without_data() -> ModelProto:
    model = whole()
    tensor = next(t for t in model.graph.initializer if t.name == "partials")
    tensor.ClearField("raw_data")
    tensor.dims[:] = [2**20, 2**10]
    return model


def negative_dims() -> ModelProto:
    model = whole()
    model.graph.initializer[0].dims[:] = [-1, -(2**40)]
    return model


def many_axes() -> ModelProto:
    model = whole()
    model.graph.initializer[0].dims[:] = [2**62] * 50_000
    return model


def text_constant() -> ModelProto:
    model = whole()
    model.graph.initializer.append(helper.make_tensor("text", TensorProto.STRING, [1], [b"x"]))
    return model


def constant_bomb() -> ModelProto:
    """Eight bytes that become a quarter of a terabyte where constants are folded."""
    return disturbed(
        _node("ConstantOfShape", ["bomb_shape"], ["bomb"]),
        _node("ReduceSum", ["bomb"], ["disturbance"], keepdims=0),
        bomb_shape=np.array([2**36], np.int64),
    )


def overflowing_bomb() -> ModelProto:
    return disturbed(
        _node("ConstantOfShape", ["bomb_shape"], ["bomb"]),
        _node("ReduceSum", ["bomb"], ["disturbance"], keepdims=0),
        bomb_shape=np.array([2**31, 2**31, 2], np.int64),
    )


def tiled_bomb() -> ModelProto:
    return disturbed(
        _node("Tile", ["partials", "repeats"], ["tiled"]),
        _node("ReduceMax", ["tiled"], ["most"], keepdims=0),
        _node("Sub", ["most", "most"], ["disturbance"]),
        repeats=np.array([2**14, 2**14], np.int64),
    )


def expanded_bomb() -> ModelProto:
    return disturbed(
        _node("Expand", ["position", "wide"], ["expanded"]),
        _node("ReduceMax", ["expanded"], ["most"], keepdims=0),
        _node("Sub", ["most", "most"], ["disturbance"]),
        wide=np.array([2**30, 1], np.int64),
    )


def doubling_bomb() -> ModelProto:
    """Forty small nodes, each twice as long as the one before."""
    names = ["position", *(f"n{i}" for i in range(40))]
    doublings = [_node("Concat", [a, a], [b], axis=0) for a, b in pairwise(names)]
    last = [
        _node("ReduceMax", [names[-1]], ["most"], keepdims=0),
        _node("Sub", ["most", "most"], ["disturbance"]),
    ]
    return disturbed(*doublings, *last)


def slow_bomb() -> ModelProto:
    """Just what the limit allows, again and again, so that all of it is really used."""
    return disturbed(
        _node("ReduceSum", ["position"], ["seed"], keepdims=0),
        _node("Expand", ["seed", "long"], ["first"]),
        _node("Sqrt", ["first"], ["second"]),
        _node("Add", ["first", "second"], ["third"]),
        _node("Concat", ["first", "second", "third"], ["all"], axis=0),
        _node("ReduceMax", ["all"], ["most"], keepdims=0),
        _node("Sub", ["most", "most"], ["disturbance"]),
        long=np.array([24 * 2**20], np.int64),
    )


def wide_work(n_numbers: int) -> ModelProto:
    """Three tensors of so many numbers, within what an examination may take in all."""
    return disturbed(
        _node("ReduceSum", ["position"], ["seed"], keepdims=0),
        _node("Expand", ["seed", "long"], ["first"]),
        _node("Sqrt", ["first"], ["second"]),
        _node("Add", ["first", "second"], ["third"]),
        _node("ReduceMax", ["third"], ["most"], keepdims=0),
        _node("Sub", ["most", "most"], ["disturbance"]),
        long=np.array([n_numbers], np.int64),
    )


def range_bomb() -> ModelProto:
    return disturbed(
        _node("Range", ["start", "limit", "step"], ["long"]),
        _node("ReduceMax", ["long"], ["most"], keepdims=0),
        _node("Sub", ["most", "most"], ["none"]),
        _node("Cast", ["none"], ["disturbance"], to=TensorProto.FLOAT),
        start=np.array(0, np.int64),
        limit=np.array(2**40, np.int64),
        step=np.array(1, np.int64),
    )


def endless_work() -> ModelProto:
    return long_work(n_products=3000, side=1024)


def long_work(n_products: int, side: int) -> ModelProto:
    """Products of matrices that the file only names: little memory, much work."""
    names = ["square", *(f"n{i}" for i in range(n_products))]
    products = [_node("MatMul", [a, "square"], [b]) for a, b in pairwise(names)]
    # From an input, so that nothing can be folded.
    start = [
        _node("Sub", ["position", "position"], ["zeros"]),
        _node("ReduceSum", ["zeros"], ["zero"], keepdims=0),
        _node("Expand", ["zero", "side"], ["square"]),
    ]
    last = [
        _node("ReduceMax", [names[-1]], ["most"], keepdims=0),
        _node("Sub", ["most", "most"], ["disturbance"]),
    ]
    return disturbed(*start, *products, *last, side=np.array([side, side], np.int64))


def nan_weights() -> ModelProto:
    return weighted("partials", np.nan)


def weighted(name: str, factor: float) -> ModelProto:
    """One constant of the good model times a factor."""
    model = whole()
    tensor = next(t for t in model.graph.initializer if t.name == name)
    tensor.CopyFrom(
        numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(factor), name)
    )
    return model


def spoilt_states(value: float) -> ModelProto:
    """Good in the golden vector's state; where the last switch is on, the score is `value`."""
    model = whole()
    door = next(n for n in model.graph.node if n.op_type == "If")
    branch = next(a.g for a in door.attribute if a.name == "then_branch")
    last = branch.node[-1]
    plain = "spoilt_plain"
    last.output[0] = plain
    add = [
        _node("Gather", ["switches", "only"], ["one_switch"]),
        _node("Cast", ["one_switch"], ["is_on"], to=TensorProto.BOOL),
        _node("Where", ["is_on", "spoilt_value", plain], ["composed"]),
    ]
    branch.node.extend(add)
    # The golden vector has switches 0, 1, 0.
    for name, array in (
        ("only", np.array(2, np.int64)),
        ("spoilt_value", np.array(value, np.float32)),
    ):
        model.graph.initializer.append(numpy_helper.from_array(array, name))
    return model


def deep_json() -> ModelProto:
    return with_metadata(provenance="[" * 500_000 + "]" * 500_000)


def wide_json() -> ModelProto:
    return with_metadata(provenance='{"a": [' + "[]," * 4_000_000 + "[]]}")


def with_metadata(**texts: str) -> ModelProto:
    model = whole()
    for entry in model.metadata_props:
        entry.value = texts.get(entry.key, entry.value)
    return model


def twice_the_same_key() -> ModelProto:
    model = whole()
    model.metadata_props.add(key="title", value="Another")
    return model


def many_fields() -> bytes:
    return b"\x08\x01" * 8_000_000


def graph_in_a_wrong_place() -> ModelProto:
    model = whole()
    branch = helper.make_graph([], "b", [], [])
    node = model.graph.node[0]
    node.attribute.append(helper.make_attribute("body", branch))
    return model


def graphs_in_a_list() -> ModelProto:
    model = whole()
    attribute = AttributeProto(name="branches", type=AttributeProto.GRAPHS)
    attribute.graphs.append(helper.make_graph([], "b", [], []))
    model.graph.node[0].attribute.append(attribute)
    return model


def write(made: ModelProto | bytes, path: Path) -> Path:
    path.write_bytes(made if isinstance(made, bytes) else made.SerializeToString())
    return path


# Who makes it, the check that refuses it, and what it says.
MALICIOUS: dict[str, tuple[Callable[[], ModelProto | bytes], str, str]] = {
    "loop": (looping, "graph", "operator 'Loop'"),
    "foreign operator": (foreign_operator, "graph", "domain 'com.evil'"),
    "foreign domain": (foreign_domain_alone, "graph", "domain 'com.microsoft'"),
    "function": (function_of_its_own, "graph", "functions of its own"),
    "other file": (external_data, "graph", "another file"),
    "other file in name": (external_location_alone, "graph", "another file"),
    "sparse": (sparse_constant, "graph", "sparse"),
    "random": (random_output, "graph", "RandomUniform"),
    "two graphs": (two_graphs, "graph", "2 graphs"),
    "graph in a wrong place": (graph_in_a_wrong_place, "graph", "a graph in 'body'"),
    "graphs in a list": (graphs_in_a_list, "graph", "a list of graphs"),
    "three Ifs deep": (lambda: nested_ifs(3), "graph", "deep in each other"),
    "thirty Ifs deep": (lambda: nested_messages(30), "graph", "deep in each other"),
    "endlessly deep": (lambda: nested_messages(10_000), "graph", "deep in each other"),
    "many nodes": (many_nodes, "graph", "nodes, expected 4,000"),
    "many fields": (many_fields, "graph", "more than 100,000 fields"),
    "huge dims": (huge_dims, "graph", "bytes of a constant"),
    "huge dims without data": (huge_dims_without_data, "graph", "constants of 4,29"),
    "negative dims": (negative_dims, "graph", "axes of 0 and more"),
    "many axes": (many_axes, "graph", "axes of 0 and more"),
    "text": (text_constant, "graph", "texts"),
    "key twice": (twice_the_same_key, "graph", "key twice"),
    "deep JSON": (deep_json, "metadata", "not JSON"),
    "wide JSON": (wide_json, "graph", "bytes of metadata"),
    "constant bomb": (constant_bomb, "golden vector", ""),
    "overflowing bomb": (overflowing_bomb, "golden vector", ""),
    "tiled bomb": (tiled_bomb, "golden vector", ""),
    "expanded bomb": (expanded_bomb, "golden vector", ""),
    "doubling bomb": (doubling_bomb, "golden vector", ""),
    "slow bomb": (slow_bomb, "golden vector", ""),
    "range bomb": (range_bomb, "golden vector", ""),
    "endless work": (endless_work, "golden vector", "too much to compute"),
    "NaN weights": (nan_weights, "golden vector", "difference of nan"),
    "NaN in a state": (lambda: spoilt_states(np.nan), "sound", "state 001: found numbers that"),
    "loud in a state": (lambda: spoilt_states(1e6), "sound", "dB, expected 0 dB at most"),
}
