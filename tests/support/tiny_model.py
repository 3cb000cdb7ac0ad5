"""A model file of a few kilobytes that follows the contract exactly, made without torch.

Two partials always sound; each switch adds two more, each with its own rhythm, and the variation
changes the level of those that always sound. With two codes or more its compose half is in two
parts, and makes the same scores. As a script: ``python tests/support/tiny_model.py OUT.onnx``.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from device.model.contract import CONTRACT_VERSION, SLOTS_PER_BEAT, ModelCard
from device.model.metadata import Golden

LOG_FLOOR = -8.0
GOLDEN_TOLERANCE = 1e-3
PARTIALS_PER_SWITCH = 2

_OPSET = 18
_IR_VERSION = 9
_LOWEST_HERTZ = 220.0
# Magnitude of a partial: a Hann-windowed sine of amplitude a has a peak of a * n_fft / 4.
_AMPLITUDE = 0.08
# How far the partial has decayed, in nepers, when its 16th note ends.
_DECAY = 1.5


@dataclass(frozen=True)
class Sizes:
    """What a caller may choose about the graph."""

    sample_rate: int = 22050
    n_fft: int = 256
    hop_length: int = 64
    n_switches: int = 3
    n_variation: int = 2
    beats_per_loop: int = 4
    n_guided: int = 0
    n_codes: int = 0

    @property
    def n_slots(self) -> int:
        return SLOTS_PER_BEAT * self.beats_per_loop

    @property
    def n_channels(self) -> int:
        return PARTIALS_PER_SWITCH * (self.n_switches + 1)

    @property
    def n_bins(self) -> int:
        return self.n_fft // 2 + 1


def build(
    path: Path,
    *,
    metadata: Mapping[str, str | None] | None = None,
    graph: Mapping[str, int] | None = None,
    extra_output: bool = False,
    golden_offset: float = 0.0,
    **sizes: int,
) -> Path:
    """Write a model file; without arguments a good one.

    Parameters
    ----------
    metadata : mapping
        Texts to put in place of the true ones; None leaves a key out.
    graph : mapping
        Sizes of the graph that differ from the metadata.
    extra_output : bool
        Whether the graph has an output that is not part of the contract.
    golden_offset : float
        Nepers added to every number of the golden output.
    sizes
        Fields of `Sizes`, for graph and metadata alike.
    """
    true = Sizes(**sizes)
    card = describe(true, golden_offset)
    texts: dict[str, str | None] = {**card.to_metadata(), **(metadata or {})}
    for key, versions in {"n_codes": "1234", "n_guided": "123"}.items():
        if texts["contract_version"] in list(versions) and key not in (metadata or {}):
            texts[key] = None
    if texts["contract_version"] in ("1", "2") and "golden" not in (metadata or {}):
        texts["golden"] = replace(card.golden, magnitude=()).to_json()
    model = make_graph(Sizes(**{**asdict(true), **(graph or {})}), extra_output=extra_output)
    for key, text in texts.items():
        if text is not None:
            model.metadata_props.add(key=key, value=text)
    path.write_bytes(model.SerializeToString())
    return path


def padded(content: bytes, n_bytes: int) -> bytes:
    """The same model with a longer description: another file that plays the same."""
    model = ModelProto.FromString(content)
    model.doc_string = "." * n_bytes
    return bytes(model.SerializeToString())


def build_foreign(path: Path) -> Path:
    """Write a valid ONNX file that is not a model of the switchboard."""
    value = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1]) for n in ("x", "y")]
    node = helper.make_node("Identity", ["x"], ["y"])
    path.write_bytes(_model([node], value[:1], value[1:], []).SerializeToString())
    return path


def describe(sizes: Sizes, golden_offset: float = 0.0) -> ModelCard:
    """The card of a tiny model, golden vector included."""
    return ModelCard(
        contract_version=CONTRACT_VERSION,
        **asdict(sizes),
        window="hann",
        log_floor=LOG_FLOOR,
        n_slots=sizes.n_slots,
        n_channels=sizes.n_channels,
        tempo_bpm=120.0,
        title="Tiny test model",
        switch_labels=tuple(f"partials {i}" for i in range(sizes.n_switches)),
        provenance={"corpus": "none", "licences": []},
        golden=_golden(sizes, golden_offset),
    )


def make_graph(sizes: Sizes, *, extra_output: bool = False) -> ModelProto:
    """Both halves in one graph; the compose half is behind one ``If``, or two."""
    score = [sizes.n_slots, sizes.n_channels]
    inputs = {
        "switches": [sizes.n_switches],
        "variation": [sizes.n_variation],
        "score_in": score,
        "position": ["n_frames"],
    }
    outputs = {"score": score, "log_magnitude": ["n_frames", sizes.n_bins]}
    composing = _nodes_of_parts(sizes) if sizes.n_codes else _compose_nodes(sizes)
    nodes = [*composing, *_render_nodes()]
    if sizes.n_guided:
        nodes += _guide_nodes()
        outputs["phase_advance"] = ["n_frames", 2 * sizes.n_guided]
    if sizes.n_codes:
        inputs["composition_in"] = outputs["composition"] = [sizes.n_slots, sizes.n_codes]
    if extra_output:
        nodes.append(helper.make_node("Identity", ["position"], ["echo"]))
        outputs["echo"] = ["n_frames"]
    return _model(nodes, _values(inputs), _values(outputs), _constants(sizes))


def _model(nodes: Any, inputs: Any, outputs: Any, constants: Any) -> ModelProto:
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, constants)
    opset = helper.make_opsetid("", _OPSET)
    return helper.make_model(graph, opset_imports=[opset], ir_version=_IR_VERSION)


def _values(shapes: Mapping[str, Sequence[int | str]]) -> list[Any]:
    return [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in shapes.items()]


def _compose_nodes(sizes: Sizes) -> list[NodeProto]:
    """score = relu(always + switches @ by_switch + variation @ by_variation)."""
    varied = helper.make_node("MatMul", ["variation", "by_variation"], ["varied"])
    return _score_nodes(sizes, [varied])


def _score_nodes(sizes: Sizes, varied: Sequence[NodeProto]) -> list[NodeProto]:
    """The score, of nodes whose last one has the part of the variation."""
    node = helper.make_node
    score = [
        node("MatMul", ["switches", "by_switch"], ["switched"]),
        *varied,
        node("Add", ["switched", "varied"], ["changed"]),
        node("Add", ["changed", "always"], ["levels"]),
        node("Relu", ["levels"], ["levels_up"]),
        node("Reshape", ["levels_up", "score_shape"], ["composed"]),
    ]
    return _behind_if("score", "switches", score, [sizes.n_slots, sizes.n_channels])


def _nodes_of_parts(sizes: Sizes) -> list[NodeProto]:
    """composition = (variation @ by_variation) of the first channels, and then the same score."""
    node = helper.make_node
    composition = [
        node("MatMul", ["variation", "by_variation"], ["varied"]),
        node("Reshape", ["varied", "score_shape"], ["varied_channels"]),
        node("MatMul", ["varied_channels", "channels_to_codes"], ["composed"]),
    ]
    varied = [
        node("MatMul", ["composition_in", "codes_to_channels"], ["varied_channels"]),
        node("Reshape", ["varied_channels", "flat"], ["varied"]),
    ]
    return [
        *_behind_if("composition", "variation", composition, [sizes.n_slots, sizes.n_codes]),
        *_score_nodes(sizes, varied),
    ]


def _behind_if(
    output: str, guard: str, nodes: Sequence[NodeProto], shape: Sequence[int]
) -> list[NodeProto]:
    """Nodes that are computed while an input has numbers; otherwise their output is zeros."""
    node = helper.make_node
    idle = [node("ConstantOfShape", [f"{output}_shape"], ["idle"])]
    return [
        node("ReduceSum", [guard], [f"{guard}_sum"], keepdims=0),
        node("Equal", [f"{guard}_sum", f"{guard}_sum"], [f"{guard}_are_numbers"]),
        node(
            "If",
            [f"{guard}_are_numbers"],
            [output],
            then_branch=helper.make_graph(nodes, "compose", [], _values({"composed": shape})),
            else_branch=helper.make_graph(idle, "rest", [], _values({"idle": shape})),
        ),
    ]


def _render_nodes() -> list[NodeProto]:
    """log_magnitude = log(row of the slot * decay since its start @ partials + floor)."""
    node = helper.make_node
    return [
        node("Mul", ["position", "slots_per_beat"], ["steps"]),
        node("Floor", ["steps"], ["slot"]),
        node("Sub", ["steps", "slot"], ["since_start"]),
        node("Cast", ["slot"], ["slot_number"], to=TensorProto.INT64),
        node("Mod", ["slot_number", "n_slots"], ["row_number"]),
        node("Gather", ["score_in", "row_number"], ["rows"], axis=0),
        node("Mul", ["since_start", "minus_decay"], ["decayed"]),
        node("Exp", ["decayed"], ["envelope"]),
        node("Unsqueeze", ["envelope", "last_axis"], ["envelopes"]),
        node("Mul", ["rows", "envelopes"], ["amplitudes"]),
        node("MatMul", ["amplitudes", "partials"], ["above_floor"]),
        node("Add", ["above_floor", "floor"], ["magnitude"]),
        node("Log", ["magnitude"], ["log_magnitude"]),
    ]


def _guide_nodes() -> list[NodeProto]:
    """phase_advance = mean direction of the partials near each bin, by their amplitude."""
    node = helper.make_node
    return [
        node("MatMul", ["amplitudes", "directions"], ["directed"]),
        node("MatMul", ["amplitudes", "nearness"], ["near"]),
        node("Add", ["near", "little"], ["near_and_little"]),
        node("Div", ["directed", "near_and_little"], ["phase_advance"]),
    ]


def _directions(sizes: Sizes) -> tuple[np.ndarray, np.ndarray]:
    """What each partial adds to each guided bin, and its length, (n_channels, 2 * n_guided)."""
    center = partial_hertz(sizes)[:, None] * sizes.n_fft / sizes.sample_rate
    distance = center - np.arange(sizes.n_guided)
    nearness = np.exp(-(distance**2))
    angle = 2 * np.pi * distance * sizes.hop_length / sizes.n_fft
    directions = np.hstack([nearness * np.cos(angle), nearness * np.sin(angle)])
    return directions, np.hstack([nearness, nearness])


def _constants(sizes: Sizes) -> list[TensorProto]:
    pattern = _rhythms(sizes)  # (n_slots, n_channels)
    by_switch = np.zeros((sizes.n_switches, *pattern.shape))
    for i in range(sizes.n_switches):
        channels = slice(PARTIALS_PER_SWITCH * (i + 1), PARTIALS_PER_SWITCH * (i + 2))
        by_switch[i, :, channels] = pattern[:, channels]
    always = pattern.copy()
    always[:, PARTIALS_PER_SWITCH:] = 0
    shades = np.random.default_rng(2).uniform(-0.2, 0.2, (sizes.n_variation, *pattern.shape))
    # The variation changes what always sounds, so that a switch that is off stays off.
    tensors = {
        "always": always.reshape(-1),
        "by_switch": by_switch.reshape(sizes.n_switches, pattern.size),
        "by_variation": (shades * always).reshape(sizes.n_variation, pattern.size),
        "partials": _partials(sizes),
        "floor": np.exp(LOG_FLOOR),
        "slots_per_beat": np.float64(SLOTS_PER_BEAT),
        "minus_decay": np.float64(-_DECAY),
    }
    if sizes.n_guided:
        tensors["directions"], tensors["nearness"] = _directions(sizes)
        tensors["little"] = np.float64(1e-6)
    whole = {"n_slots": sizes.n_slots, "last_axis": [1], "score_shape": pattern.shape}
    if sizes.n_codes:
        tensors["channels_to_codes"] = np.eye(sizes.n_channels, sizes.n_codes)
        tensors["codes_to_channels"] = np.eye(sizes.n_codes, sizes.n_channels)
        whole["composition_shape"] = (sizes.n_slots, sizes.n_codes)
        whole["flat"] = [-1]
    return [
        *(numpy_helper.from_array(np.asarray(v, np.float32), n) for n, v in tensors.items()),
        *(numpy_helper.from_array(np.asarray(v, np.int64), n) for n, v in whole.items()),
    ]


def _rhythms(sizes: Sizes) -> np.ndarray:
    """How loud each partial is struck on each 16th, (n_slots, n_channels)."""
    slot, channel = np.mgrid[: sizes.n_slots, : sizes.n_channels]
    return np.where((slot + channel) % (channel % 3 + 1) == 0, 1.0, 0.25)


def partial_hertz(sizes: Sizes) -> np.ndarray:
    """Frequencies of the partials, (n_channels,)."""
    return _LOWEST_HERTZ * 1.4 ** np.arange(sizes.n_channels)


def _partials(sizes: Sizes) -> np.ndarray:
    """Main lobe of a Hann-windowed sine per channel, (n_channels, n_bins)."""
    center = np.minimum(partial_hertz(sizes) * sizes.n_fft / sizes.sample_rate, sizes.n_bins - 3)
    distance = np.abs(np.arange(sizes.n_bins) - center[:, None])
    lobe = np.where(distance < 2, np.cos(np.pi * distance / 4) ** 2, 0.0)
    return _AMPLITUDE * sizes.n_fft / 4 * lobe


def _golden(sizes: Sizes, offset: float) -> Golden:
    session = ort.InferenceSession(
        make_graph(sizes).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    feeds = {
        "switches": np.arange(sizes.n_switches, dtype=np.float32) % 2,
        "variation": np.linspace(-1, 1, sizes.n_variation, dtype=np.float32),
        "position": np.linspace(0, 0.97 * sizes.beats_per_loop, 4, dtype=np.float32),
    }
    inputs = {**feeds, "score_in": np.zeros((sizes.n_slots, sizes.n_channels), np.float32)}
    if sizes.n_codes:
        inputs["composition_in"] = np.zeros((sizes.n_slots, sizes.n_codes), np.float32)
        inputs["composition_in"] = session.run(["composition"], inputs)[0]
    inputs["score_in"] = session.run(["score"], inputs)[0]
    outputs = ["log_magnitude", *(["phase_advance"] if sizes.n_guided else [])]
    frames, *advance = session.run(outputs, inputs)
    return Golden(
        switches=tuple(feeds["switches"].tolist()),
        variation=tuple(feeds["variation"].tolist()),
        positions=tuple(feeds["position"].tolist()),
        log_magnitude=tuple((frames + offset).flatten().tolist()),
        tolerance=GOLDEN_TOLERANCE,
        phase_advance=tuple(advance[0].flatten().tolist()) if advance else (),
    ).with_magnitude(LOG_FLOOR)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python tests/support/tiny_model.py OUT.onnx")
    build(Path(sys.argv[1]))
