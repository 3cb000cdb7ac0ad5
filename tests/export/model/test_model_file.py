"""The model file follows the contract and describes where it comes from."""

import json
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, numpy_helper

from device.errors import GoldenMismatch
from device.model.contract import CONTRACT_VERSION, MAX_MODEL_BYTES, check_tensors
from device.model.network import Network
from export.model import graph as graph_module
from export.model import model_file
from export.model.parity import TracedGraph
from tests.support.tiny_run import CONFIG


def all_nodes(graph):
    return list(graph_module._nodes(graph))


def test_the_device_opens_the_file_and_finds_its_card(exported, run):
    card = exported.network.card
    assert card.contract_version == CONTRACT_VERSION
    assert (card.sample_rate, card.n_fft, card.hop_length) == (22_050, 256, 64)
    assert card.window == "hann"
    assert card.log_floor == pytest.approx(run.config.analysis.log_floor)
    assert (card.n_switches, card.n_variation, card.n_channels) == (3, 4, 24)
    assert (card.n_slots, card.beats_per_loop, card.tempo_bpm) == (64, 16, 80)
    assert card.n_codes == 0
    assert card.title == "Tiny"
    assert card.switch_labels == run.switch_labels


def test_a_log_floor_that_is_not_the_trainings_leaves_no_file(run, trace, tmp_path, monkeypatch):
    monkeypatch.setattr(model_file, "to_onnx", lambda *_: trace)
    monkeypatch.setattr(type(run.config.analysis), "log_floor", 2.0)
    with pytest.raises(GoldenMismatch, match="log_floor of 2"):
        model_file.export_run(run, tmp_path / "model.onnx", title="Tiny")
    assert list(tmp_path.iterdir()) == []


def test_control_characters_in_quoted_metadata_are_replaced(run, trace, tmp_path, monkeypatch):
    monkeypatch.setattr(model_file, "to_onnx", lambda *_: trace)
    corpus = {"licences": ["CC\u202eBY\x1b[2J"], "level": float("nan")}
    labels = ("a\x07b", *run.switch_labels[1:])
    other = replace(run, provenance={**run.provenance, "corpus": corpus}, switch_labels=labels)
    model_file.export_run(other, tmp_path / "model.onnx", title="Tiny")
    card = Network.open(tmp_path / "model.onnx").card
    assert card.provenance["corpus"] == {"licences": ["CC\ufffdBY\ufffd[2J"], "level": None}
    assert card.switch_labels == ("a\ufffdb", *run.switch_labels[1:])


def test_the_window_of_the_training_is_in_the_file(run, trace, tmp_path, monkeypatch):
    analysis = replace(run.config.analysis, window="asymmetric")
    other = replace(run, config=replace(run.config, analysis=analysis))
    monkeypatch.setattr(model_file, "to_onnx", lambda *_: trace)
    model_file.export_run(other, tmp_path / "model.onnx", title="Tiny")
    assert Network.open(tmp_path / "model.onnx").card.window == "asymmetric"


def test_the_file_has_its_provenance(exported):
    provenance = exported.network.card.provenance
    assert provenance["corpus"]["licences"] == ["CC0-1.0"]
    assert provenance["corpus"]["n_loops"] == 21
    assert provenance["training"] == CONFIG.to_dict()
    assert provenance["parity"] == vars(exported.result.parity)
    assert provenance["trained_on"].startswith("cpu: ")
    assert set(provenance) >= {"commit", "torch"}
    assert set(provenance["exported_by"]) == {"version", "commit"}


def test_the_file_has_the_scores_on_held_out_music(exported, run):
    assert set(run.scores) == {
        "codec_held_out_db",
        "codec_held_out_advance",
        "codec_held_out_bias_db",
        "composer_held_out_nats",
        "composer_held_out_right",
    }
    assert exported.network.card.scores == run.scores


def test_the_export_returns_its_measurements(exported):
    result = exported.result
    assert result.n_bytes == exported.path.stat().st_size
    assert result.card == exported.network.card
    assert result.speed.compose_ms > 0
    assert result.distance is None


def test_its_tensors_are_those_of_the_contract(exported, model):
    names = [value.name for value in [*model.graph.input, *model.graph.output]]
    assert names == [tensor.name for tensor in exported.network.card.tensors]
    dynamic = [size.dim_param for size in model.graph.input[3].type.tensor_type.shape.dim]
    assert dynamic == ["n_frames"]
    check_tensors(exported.network.card, exported.network.card.tensors)


def test_it_follows_the_format_that_devices_read(exported, model):
    assert model.ir_version <= 10
    assert [(o.domain, o.version) for o in model.opset_import] == [("", graph_module.OPSET)]
    assert graph_module.OPSET <= 21
    assert {node.domain for node in all_nodes(model.graph)} == {""}
    assert len(model.functions) == 0
    assert exported.path.stat().st_size <= MAX_MODEL_BYTES
    onnx.checker.check_model(model, full_check=True)


def test_it_is_one_file(exported, model):
    assert [path.name for path in exported.path.parent.iterdir()] == ["model.onnx"]
    assert all(t.data_location == TensorProto.DEFAULT for t in model.graph.initializer)


def test_it_carries_no_weight_that_is_not_used(model):
    used = {name for node in all_nodes(model.graph) for name in node.input}
    assert {tensor.name for tensor in model.graph.initializer} <= used


def test_equal_constants_are_in_it_once_and_frames_are_the_same_to_the_bit(
    exported, model, run, trace
):
    contents = [
        (*tensor.dims, numpy_helper.to_array(tensor).tobytes())
        for tensor in model.graph.initializer
    ]
    assert len(set(contents)) == len(contents) < len(trace.graph.initializer)
    rng = np.random.default_rng(1)
    score = rng.standard_normal((run.n_slots, CONFIG.n_channels)).astype(np.float32)
    positions = np.arange(40, dtype=np.float32) / 22
    before = TracedGraph(trace).draw(score, positions)
    for drawn, wanted in zip(exported.network.render(score, positions), before, strict=True):
        np.testing.assert_array_equal(drawn, wanted)


def test_it_holds_no_trace_of_the_machine_that_made_it(exported, model):
    content = exported.path.read_bytes()
    for word in (b"stack_trace", b"pkg.torch", b".py", str(exported.path.parent).encode()):
        assert word not in content
    assert not any(node.metadata_props or node.doc_string for node in all_nodes(model.graph))


def test_the_digits_stay_inside(model):
    assert graph_module.CODES not in [value.name for value in model.graph.output]


def test_the_halves_share_no_node(model):
    outside = [node for node in model.graph.node if node.op_type != "If"]
    rendered = graph_module._ancestors(model.graph, graph_module.DRAWN)
    guard = graph_module._ancestors(model.graph, ["score"])
    assert rendered.isdisjoint(guard)
    assert {node.output[0] for node in outside} <= rendered | guard
    assert len(guard) == 3


def test_metadata_is_text_that_can_be_read(model):
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(metadata["provenance"])["torch"] == torch.__version__
    assert len(json.loads(metadata["switch_labels"])) == CONFIG.n_switches
