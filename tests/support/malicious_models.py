"""Malicious model files: each follows the contract except for one trick."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from tests.support.malicious_graphs import (
    deep_json,
    disturbed,
    external_data,
    external_location_alone,
    foreign_domain_alone,
    foreign_operator,
    function_of_its_own,
    graph_in_a_wrong_place,
    graphs_in_a_list,
    huge_dims,
    huge_dims_without_data,
    looping,
    many_axes,
    many_fields,
    many_nodes,
    negative_dims,
    nested_ifs,
    nested_messages,
    random_output,
    sparse_constant,
    text_constant,
    twice_the_same_key,
    two_graphs,
    whole,
    wide_json,
)

_node = helper.make_node


def constant_bomb() -> ModelProto:
    """Eight bytes that become a quarter of a terabyte when constants are folded."""
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
    """Tensors just within the limit, so that all of it is used."""
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
    """Three tensors of this many numbers, within the memory limit of a validation."""
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
    """Products of matrices that are computed from an input: little memory, much work."""
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
    guard = next(n for n in model.graph.node if n.op_type == "If")
    branch = next(a.g for a in guard.attribute if a.name == "then_branch")
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


def write(made: ModelProto | bytes, path: Path) -> Path:
    path.write_bytes(made if isinstance(made, bytes) else made.SerializeToString())
    return path


# The function that makes it, the check that refuses it, and a part of the message.
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
