"""Models that are good in every switch state but one, which no sample of states contains."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from tests.support import tiny_model as tiny

SIZES = tiny.Sizes(n_switches=8)
FAULTY_STATE = (True, True, False, True, False, False, True, False)

# Several times the 93 ms that the frames drawn in one call last, on any current machine.
_N_PRODUCTS = 60
_PRODUCT_SIZE = 640

_node = helper.make_node


def nan_in_one_state(path: Path) -> Path:
    """The score of one state is NaN."""
    compose = [_node("Mul", ["plain_score", "spoilt"], ["spoilt_score"])]
    return _save(_model(compose, spoilt=np.array(np.nan)), path)


def failing_in_one_state(path: Path) -> Path:
    """The render half reads a row that does not exist."""
    compose = [_node("Add", ["plain_score", "spoilt"], ["spoilt_score"])]
    render = [
        _node("ReduceMax", ["score_in"], ["loudest"], keepdims=0),
        _node("Mul", ["loudest", "per_spoilt"], ["beyond"]),
        _node("Cast", ["beyond"], ["rows_beyond"], to=TensorProto.INT64),
        _node("Add", ["row_number", "rows_beyond"], ["row"]),
    ]
    spoilt = np.array(1e6)
    model = _model(compose, spoilt=spoilt, per_spoilt=1e3 / spoilt)
    _feed_gather(model, render, row_number="row")
    return _save(model, path)


def slow_in_one_state(path: Path) -> Path:
    """The render half computes for a long time if the score is negative."""
    compose = [_node("Sub", ["spoilt", "plain_score"], ["spoilt_score"])]
    model = _model(compose, spoilt=np.array(-1e-3), nothing=np.array(0.0))
    render = [
        _node("Abs", ["score_in"], ["score_of_any_sign"]),
        _node("ReduceMin", ["score_in"], ["quietest"], keepdims=0),
        _node("Less", ["quietest", "nothing"], ["is_slow"]),
        _node("If", ["is_slow"], ["delay"], then_branch=_work(), else_branch=_without_work()),
        _node("Add", ["plain_log_magnitude", "delay"], ["log_magnitude"]),
    ]
    size = np.array([_PRODUCT_SIZE, _PRODUCT_SIZE], np.int64)
    model.graph.initializer.append(numpy_helper.from_array(size, "product_size"))
    _feed_gather(model, render[:1], score_in="score_of_any_sign")
    model.graph.node[-1].output[0] = "plain_log_magnitude"
    model.graph.node.extend(render[1:])
    return _save(model, path)


def endless_after_a_while(path: Path, *, in_one_operator: bool) -> Path:
    """The render half never returns when many frames are requested: from the second call on.

    Parameters
    ----------
    in_one_operator : bool
        Within a single operator, which nothing can interrupt; otherwise in a loop of small ones.
    """
    sizes = tiny.Sizes()
    model = tiny.make_graph(sizes)
    for key, text in tiny.describe(sizes).to_metadata().items():
        model.metadata_props.add(key=key, value=text)
    constants = {
        "nothing": np.float32(0),
        "one": np.float32(1),
        "half": np.float32(0.5),
        "few": np.int64(40),
        "first_axis": np.array([0]),
        "both_axes": np.array([0, 1]),
        "n_boxes": np.float32(1_000_000),
        "most_boxes": np.array([1_000_000]),
        "ages": np.int64(2**62),
        "always_on": np.bool_(True),
    }
    for name, value in constants.items():
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    endless = _comparing_boxes() if in_one_operator else _counting()
    model.graph.node[-1].output[0] = "plain_log_magnitude"
    model.graph.node.extend(
        [
            _node("Size", ["position"], ["n_wanted"]),
            _node("Greater", ["n_wanted", "few"], ["is_endless"]),
            _node("ReduceMax", ["position"], ["latest"], keepdims=0),
            _node("Mul", ["latest", "nothing"], ["zero_here"]),
            _node(
                "If",
                ["is_endless"],
                ["delay"],
                then_branch=helper.make_graph(endless, "endless", [], [_scalar("delayed_by")]),
                else_branch=_without_work(),
            ),
            _node("Add", ["plain_log_magnitude", "delay"], ["log_magnitude"]),
        ]
    )
    return _save(model, path)


def _counting() -> list[NodeProto]:
    body = helper.make_graph(
        [_node("Identity", ["go_on"], ["goes_on"]), _node("Add", ["count", "one"], ["counted"])],
        "count",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            _scalar("count"),
        ],
        [helper.make_tensor_value_info("goes_on", TensorProto.BOOL, []), _scalar("counted")],
    )
    return [_node("Loop", ["ages", "always_on", "zero_here"], ["delayed_by"], body=body)]


def _comparing_boxes() -> list[NodeProto]:
    """A million boxes that do not overlap, each compared with every other, in one operator."""
    edges = ("low_y", "low_x", "high_y", "high_x")
    return [
        _node("Range", ["nothing", "n_boxes", "one"], ["numbers"]),
        _node("Add", ["numbers", "zero_here"], ["low_y"]),
        _node("Add", ["low_y", "half"], ["high_y"]),
        _node("Mul", ["low_y", "nothing"], ["low_x"]),
        _node("Add", ["low_x", "one"], ["high_x"]),
        *(_node("Unsqueeze", [edge, "last_axis"], [f"{edge}s"]) for edge in edges),
        _node("Concat", [f"{edge}s" for edge in edges], ["corners"], axis=1),
        _node("Unsqueeze", ["corners", "first_axis"], ["boxes"]),
        _node("Unsqueeze", ["low_y", "both_axes"], ["box_scores"]),
        _node("NonMaxSuppression", ["boxes", "box_scores", "most_boxes"], ["chosen"]),
        _node("Cast", ["chosen"], ["chosen_here"], to=TensorProto.FLOAT),
        _node("ReduceMax", ["chosen_here"], ["delayed_by"], keepdims=0),
    ]


def _work() -> object:
    """Zero, computed by many products that no optimiser can fold."""
    nodes = [
        _node("Mul", ["quietest", "nothing"], ["zero"]),
        _node("ConstantOfShape", ["product_size"], ["zeros"]),
        _node("Add", ["zeros", "zero"], ["product_0"]),
        *(
            _node("MatMul", [f"product_{i}", "product_0"], [f"product_{i + 1}"])
            for i in range(_N_PRODUCTS)
        ),
        _node("ReduceMax", [f"product_{_N_PRODUCTS}"], ["delayed_by"], keepdims=0),
    ]
    return helper.make_graph(nodes, "work", [], [_scalar("delayed_by")])


def _without_work() -> object:
    nodes = [_node("Identity", ["nothing"], ["no_delay"])]
    return helper.make_graph(nodes, "without_work", [], [_scalar("no_delay")])


def _scalar(name: str) -> object:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [])


def _model(compose: Sequence[NodeProto], **constants: np.ndarray) -> ModelProto:
    """The good model, whose score is ``spoilt_score``, which `compose` makes, in one state."""
    model = tiny.make_graph(SIZES)
    for key, text in tiny.describe(SIZES).to_metadata().items():
        model.metadata_props.add(key=key, value=text)
    choose = [
        _node("Equal", ["switches", "faulty_bits"], ["equal"]),
        _node("Cast", ["equal"], ["equal_here"], to=TensorProto.FLOAT),
        _node("ReduceMin", ["equal_here"], ["all_equal"], keepdims=0),
        _node("Cast", ["all_equal"], ["is_faulty"], to=TensorProto.BOOL),
        *compose,
        _node("Where", ["is_faulty", "spoilt_score", "plain_score"], ["score"]),
    ]
    at = next(i for i, node in enumerate(model.graph.node) if "score" in node.output)
    model.graph.node[at].output[0] = "plain_score"
    _put(model, at + 1, choose)
    constants = {**constants, "faulty_bits": np.array(FAULTY_STATE)}
    for name, value in constants.items():
        model.graph.initializer.append(numpy_helper.from_array(value.astype(np.float32), name))
    return model


def _feed_gather(model: ModelProto, nodes: Sequence[NodeProto], **instead: str) -> None:
    """Replace inputs of the node that selects rows of the score by outputs of these nodes."""
    at = next(i for i, node in enumerate(model.graph.node) if node.op_type == "Gather")
    gather = model.graph.node[at]
    names = [instead.get(name, name) for name in gather.input]
    del gather.input[:]
    gather.input.extend(names)
    _put(model, at, nodes)


def _put(model: ModelProto, at: int, nodes: Sequence[NodeProto]) -> None:
    all_nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*all_nodes[:at], *nodes, *all_nodes[at:]])


def _save(model: ModelProto, path: Path) -> Path:
    path.write_bytes(model.SerializeToString())
    return path
