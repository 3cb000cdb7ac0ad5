"""Malicious models that break a rule for graphs or metadata, and follow the contract otherwise."""

from itertools import pairwise

import numpy as np
from onnx import AttributeProto, ModelProto, TensorProto, helper, numpy_helper

from tests.support import tiny_model as tiny

SIZES = tiny.Sizes()
_node = helper.make_node


def whole() -> ModelProto:
    """The good tiny model, to be changed."""
    model = tiny.make_graph(SIZES)
    for key, text in tiny.describe(SIZES).to_metadata().items():
        model.metadata_props.add(key=key, value=text)
    return model


def disturbed(*nodes: object, **constants: np.ndarray) -> ModelProto:
    """The good model, with ``disturbance``, the output of these nodes, added to its output."""
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
    """A model that holds only graphs in attributes of nodes of graphs, encoded here."""
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
