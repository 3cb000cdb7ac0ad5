"""Damage to a model's metadata and to the structure of its graph, for `tests.fuzz.mutations`.

After flipped bytes a file is mostly no valid ONNX; after these it is, and reaches the checks that
read values.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper

Rng = np.random.Generator
Change = Callable[[ModelProto, Rng], None]

# Controls, ends of lines, direction, joiners, tags, invisible ones, quotes, beyond 16 bits.
CHARACTERS = (
    "\0\x07\n\r\t\x1b\x7f\x85\x9b\u2028\u202e\u2066\u200b\u200d\ufeff\u00ad\U000e0041\u3164\uffff"
    "\"'\\{}[]%<&\U0001f3b5"
)
# As many bytes as their replacement in the file: a lone surrogate, which UTF-8 does not permit.
STAND_IN, SURROGATE = "\u2603".encode(), b"\xed\xa0\x80"

NUMBERS = [
    "0",
    "-0",
    "1",
    "-1",
    "7",
    "+8",
    "8_0",
    "-1_0",
    "08",
    "0x10",
    "1e3",
    "1E3",
    "1.5",
    ".5",
    "5.",
    "1e309",
    "-1e309",
    "1e-400",
    "nan",
    "inf",
    "-Infinity",
    "2147483647",
    "2147483648",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "99999999999999999999999999",
    "٣",
    "８",
    "1,5",
]
JSON_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 2**31, 2**63, 10**400, 0.5, -0.0, 1e308, float("nan"), float("inf"),
    "", "x", "\ud800", "\x1b[2J", [], [1], ["a"], [[[[]]]], {}, {"a": 1}, {"": ""},
)  # fmt: skip
LENGTHS = (0, 1, 40, 41, 200, 201, 1_000, 10_001, 200_000)


def pick(choices: Any, rng: Rng) -> Any:
    return choices[int(rng.integers(len(choices)))]


def nodes_of(model: ModelProto) -> list[NodeProto]:
    """Those of branches too."""
    nodes = list(model.graph.node)
    for node in nodes:
        nodes += [inner for a in node.attribute if a.HasField("g") for inner in a.g.node]
    return nodes


def branches_of(model: ModelProto) -> list[GraphProto]:
    return [a.g for node in nodes_of(model) for a in node.attribute if a.HasField("g")]


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container inside a JSON value, with a key or an index in it."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for key, part in list(inner):
        yield value, key
        if isinstance(part, (dict, list)):
            yield from _places(part)


def _on_a_value(replace: Callable[[Any, Rng], Any]) -> Change:
    """Change one value at any depth of an entry's JSON, or the entry's whole text."""

    def change(model: ModelProto, rng: Rng) -> None:
        entry = pick(model.metadata_props, rng)
        value = _parsed(entry.value)
        places = list(_places(value)) if isinstance(value, (dict, list)) else []
        if places and rng.random() < 0.9:
            container, key = pick(places, rng)
            container[key] = replace(container[key], rng)
        else:
            value = replace(value, rng)
        entry.value = value if isinstance(value, str) and not _is_odd(value) else json.dumps(value)

    return change


def _is_odd(text: str) -> bool:
    """Whether a text can only be written escaped."""
    return any("\ud800" <= c <= "\udfff" for c in text)


def another_type(_value: Any, rng: Rng) -> Any:
    return pick(JSON_VALUES, rng)


def another_length(value: Any, rng: Rng) -> Any:
    n = pick(LENGTHS, rng)
    if isinstance(value, list):
        return (value * (n + 1))[: min(n, 10_001)]
    if isinstance(value, dict):
        return {**value, **{f"k{i}": i for i in range(min(n, 10_001))}}
    text = value if isinstance(value, str) and value else "x"
    return (text * (n // len(text) + 1))[:n]


def another_number(value: Any, rng: Rng) -> Any:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and rng.random() < 0.7:
        return pick([value + 1, value - 1, value * 2, value / 2, -value, value * 10**9, 0.0], rng)
    return pick(NUMBERS, rng)


def another_character(value: Any, rng: Rng) -> Any:
    text = value if isinstance(value, str) else str(value)
    at = int(rng.integers(len(text) + 1))
    character = pick([*CHARACTERS, STAND_IN.decode(), "\udc80"], rng)
    return text[:at] + character + text[at:]


def rename_a_key(model: ModelProto, rng: Rng) -> None:
    entry = pick(model.metadata_props, rng)
    entry.key = pick(["", "mood", entry.key + pick(CHARACTERS, rng), "x" * 200_000], rng)


def grow_together(model: ModelProto, rng: Rng) -> None:
    """Sizes on which metadata and tensors agree, and which the weights do not have."""
    sizes = {"n_slots": 16, "n_channels": 8, "n_switches": 3, "n_variation": 2}
    name = pick(list(sizes), rng)
    entries = {entry.key: entry for entry in model.metadata_props}
    old, new = int(entries[name].value), int(pick([1, 4, 64, 1024, 4096, 2**20], rng))
    entries[name].value = str(new)
    if name == "n_slots":
        entries["beats_per_loop"].value = str(max(1, new // 4))
    for value in (*model.graph.input, *model.graph.output):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_value == old:
                dim.dim_value = new


def change_an_initialiser(model: ModelProto, rng: Rng) -> None:
    graph = pick([model.graph, *branches_of(model)], rng)
    constants = graph.initializer or model.graph.initializer
    tensor = pick(constants, rng)
    choice = int(rng.integers(6))
    if choice == 0:
        constants.remove(tensor)
    elif choice == 1:
        constants.append(tensor)
    elif choice == 2:
        tensor.data_type = int(rng.integers(0, 24))
    elif choice == 3:
        tensor.ClearField("raw_data")
    elif choice == 4:
        tensor.name = pick(["", "switches", "score", "\x1b[2J", "x" * 10_000], rng)
    else:
        numbers = rng.standard_normal(int(pick([0, 1, 7], rng))).tolist()
        tensor.float_data.extend(numbers)


def change_an_attribute(model: ModelProto, rng: Rng) -> None:
    node = pick([node for node in nodes_of(model) if node.attribute], rng)
    attribute = pick(node.attribute, rng)
    choice = int(rng.integers(4))
    if choice == 0:
        node.attribute.remove(attribute)
    elif choice == 1:
        node.attribute.append(attribute)
    elif choice == 2:
        attribute.i = int(pick([-1, 0, 1, 2, 7, 99, 2**31, -(2**62)], rng))
        attribute.type = AttributeProto.INT
    else:
        attribute.name = pick(["", "axis", "to", "body", "then_branch"], rng)


def change_a_branch(model: ModelProto, rng: Rng) -> None:
    node = next(node for node in model.graph.node if node.op_type == "If")
    first, second = node.attribute
    choice = int(rng.integers(5))
    if choice == 0:
        first.name, second.name = second.name, first.name
    elif choice == 1:
        first.g.CopyFrom(second.g)
    elif choice == 2:
        del pick([first, second], rng).g.output[:]
    elif choice == 3:
        first.g.node.append(node)
    else:
        branch = pick([first, second], rng).g
        branch.node.remove(pick(branch.node, rng))


def change_an_end(model: ModelProto, rng: Rng) -> None:
    """Remove, repeat, add or reorder inputs or outputs."""
    ends = pick([model.graph.input, model.graph.output], rng)
    choice = int(rng.integers(4))
    if choice == 0:
        ends.remove(pick(ends, rng))
    elif choice == 1:
        ends.append(pick(ends, rng))
    elif choice == 2:
        ends.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, [1]))
    else:
        reordered = [ends[i] for i in rng.permutation(len(ends))]
        copies = [type(end).FromString(end.SerializeToString()) for end in reordered]
        del ends[:]
        ends.extend(copies)


CHANGES: dict[str, Change] = {
    "metadata types": _on_a_value(another_type),
    "metadata lengths": _on_a_value(another_length),
    "metadata numbers": _on_a_value(another_number),
    "metadata characters": _on_a_value(another_character),
    "metadata keys": rename_a_key,
    "sizes grown together": grow_together,
    "initialisers": change_an_initialiser,
    "attributes": change_an_attribute,
    "branches": change_a_branch,
    "inputs and outputs": change_an_end,
}
