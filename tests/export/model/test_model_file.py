"""A finished run becomes one file that the box trusts, or no file at all."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from click.testing import CliRunner
from onnx import TensorProto

from device.errors import GoldenMismatch, OutputError, SwitchboardError
from device.model.contract import CONTRACT_VERSION, MAX_MODEL_BYTES, check_tensors
from device.model.network import Network
from export.commands.export import export
from export.model import graph as graph_module
from export.model import model_file, parity
from export.model.parity import ExportError, Parity
from tests.support.tiny_run import CONFIG
from training.run.config import TrainingError


@pytest.fixture(scope="session")
def model(exported):
    return onnx.load(exported.path)


@pytest.fixture
def states(run):
    """Panels and variations, all switches off and all on among them."""
    rng = np.random.default_rng(7)
    n = run.config.n_switches
    panels = [np.zeros(n), np.ones(n), *rng.integers(0, 2, (4, n))]
    return [
        (panel.astype(np.float32), rng.standard_normal(run.config.n_variation).astype(np.float32))
        for panel in panels
    ]


def all_nodes(graph):
    return list(graph_module._nodes(graph))


# -- what the file says ---------------------------------------------------------------------


def test_the_box_opens_the_file_and_finds_its_card(exported, run):
    card = exported.network.card
    assert card.contract_version == CONTRACT_VERSION
    assert (card.sample_rate, card.n_fft, card.hop_length) == (22_050, 256, 64)
    assert card.window == "hann"
    assert card.log_floor == pytest.approx(run.config.analysis.log_floor)
    assert (card.n_switches, card.n_variation, card.n_channels) == (3, 4, 24)
    assert (card.n_slots, card.beats_per_loop, card.tempo_bpm) == (64, 16, 80)
    assert card.title == "Tiny"
    assert card.switch_labels == run.switch_labels


def test_a_log_floor_that_is_not_the_trainings_leaves_no_file(run, trace, tmp_path, monkeypatch):
    monkeypatch.setattr(model_file, "to_onnx", lambda *_: trace)
    monkeypatch.setattr(type(run.config.analysis), "log_floor", 2.0)
    with pytest.raises(GoldenMismatch, match="log_floor of 2"):
        model_file.export_run(run, tmp_path / "model.onnx", title="Tiny")
    assert list(tmp_path.iterdir()) == []


def test_what_other_peoples_files_say_is_made_plain(run, trace, tmp_path, monkeypatch):
    monkeypatch.setattr(model_file, "to_onnx", lambda *_: trace)
    quoted = {"licences": ["CC\u202eBY\x1b[2J"], "level": float("nan")}
    labels = ("a\x07b", *run.switch_labels[1:])
    other = replace(run, provenance={**run.provenance, "corpus": quoted}, switch_labels=labels)
    model_file.export_run(other, tmp_path / "model.onnx", title="Tiny")
    card = Network.open(tmp_path / "model.onnx").card
    assert card.provenance["corpus"] == {"licences": ["CC\ufffdBY\ufffd[2J"], "level": None}
    assert card.switch_labels == ("a\ufffdb", *run.switch_labels[1:])


def test_the_box_hears_of_the_window_that_was_trained_with(run, trace, tmp_path, monkeypatch):
    analysis = replace(run.config.analysis, window="asymmetric")
    other = replace(run, config=replace(run.config, analysis=analysis))
    monkeypatch.setattr(model_file, "to_onnx", lambda *_: trace)
    model_file.export_run(other, tmp_path / "model.onnx", title="Tiny")
    assert Network.open(tmp_path / "model.onnx").card.window == "asymmetric"


def test_the_file_says_where_it_comes_from(exported):
    provenance = exported.network.card.provenance
    assert provenance["corpus"]["licences"] == ["CC0-1.0"]
    assert provenance["corpus"]["n_loops"] == 21
    assert provenance["training"] == CONFIG.to_dict()
    assert provenance["parity"] == vars(exported.found.parity)
    assert provenance["trained_on"].startswith("cpu: ")
    assert set(provenance) >= {"commit", "torch"}
    assert set(provenance["exported_by"]) == {"version", "commit"}


def test_the_file_says_how_well_it_does_on_music_it_was_not_trained_on(exported, run):
    assert set(run.scores) == {
        "codec_held_out_db",
        "composer_held_out_nats",
        "composer_held_out_right",
    }
    assert exported.network.card.scores == run.scores


def test_what_it_found_out_is_handed_back(exported):
    found = exported.found
    assert found.n_bytes == exported.path.stat().st_size
    assert found.card == exported.network.card
    assert found.speed.compose_ms > 0
    assert found.distance is None


def test_its_tensors_are_those_of_the_contract(exported, model):
    names = [value.name for value in [*model.graph.input, *model.graph.output]]
    assert names == [tensor.name for tensor in exported.network.card.tensors]
    dynamic = [size.dim_param for size in model.graph.input[3].type.tensor_type.shape.dim]
    assert dynamic == ["n_frames"]
    check_tensors(exported.network.card, exported.network.card.tensors)


def test_it_follows_the_format_that_boxes_read(exported, model):
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


def test_it_tells_nothing_of_the_machine_that_made_it(exported, model):
    content = exported.path.read_bytes()
    for word in (b"stack_trace", b"pkg.torch", b".py", str(exported.path.parent).encode()):
        assert word not in content
    assert not any(node.metadata_props or node.doc_string for node in all_nodes(model.graph))


def test_the_digits_stay_inside(model):
    assert graph_module.CODES not in [value.name for value in model.graph.output]


def test_the_halves_share_no_node(model):
    outside = [node for node in model.graph.node if node.op_type != "If"]
    rendered = graph_module._ancestors(model.graph, ["log_magnitude"])
    door = graph_module._ancestors(model.graph, ["score"])
    assert rendered.isdisjoint(door)
    assert {node.output[0] for node in outside} <= rendered | door
    assert len(door) == 3


# -- what it computes -----------------------------------------------------------------------


@torch.no_grad()
def test_it_composes_what_torch_composes(exported, graph, states):
    for switches, variation in states:
        expected, _ = graph.compose(torch.from_numpy(switches), torch.from_numpy(variation))
        found = exported.network.compose(switches, variation)
        np.testing.assert_allclose(found, expected.numpy(), atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("n_frames", [1, 2, 7, 64])
def test_it_draws_what_torch_draws_whatever_the_number_of_frames(exported, graph, run, n_frames):
    score = np.random.default_rng(1).standard_normal((64, run.config.n_channels))
    score = score.astype(np.float32)
    position = np.linspace(0, 15.99, n_frames, dtype=np.float32)
    expected = graph.render(torch.from_numpy(score), torch.from_numpy(position)).numpy()
    found = exported.network.log_magnitude(score, position)
    assert found.shape == (n_frames, run.config.analysis.n_bins)
    np.testing.assert_allclose(found, expected, atol=1e-3)


@torch.no_grad()
def test_the_file_draws_what_the_trained_codec_decodes(exported, run):
    """The folded last layer and the grid of positions change nothing."""
    digits = torch.randint(-2, 3, (1, 64, run.config.n_codes)).float()
    codec, analysis = run.networks.codec, run.config.analysis
    bands = codec.decode(digits, torch.zeros(1))[0]
    expected = bands @ torch.from_numpy(analysis.expansion).T
    position = analysis.grid(64).astype(np.float32)
    found = exported.network.log_magnitude(codec.writer(digits)[0].numpy(), position)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-3)


def test_positions_wrap_round_at_the_end_of_the_loop(exported, states):
    score = exported.network.compose(*states[2])
    position = np.array([0.25, 3.0, 15.5], np.float32)
    here = exported.network.log_magnitude(score, position)
    around = exported.network.log_magnitude(score, position + 16)
    np.testing.assert_allclose(here, around, atol=1e-4)


def test_frames_can_be_asked_for_in_any_blocks(exported, states):
    score = exported.network.compose(*states[3])
    position = np.linspace(0, 2, 12, dtype=np.float32)
    whole = exported.network.log_magnitude(score, position)
    blocks = [exported.network.log_magnitude(score, part) for part in np.split(position, [1, 5])]
    np.testing.assert_allclose(np.concatenate(blocks), whole, atol=1e-5)


def test_switches_that_are_no_numbers_leave_the_compose_half_out(exported, run):
    session = ort.InferenceSession(str(exported.path), providers=["CPUExecutionProvider"])
    feeds = {
        "switches": np.full(run.config.n_switches, np.nan, np.float32),
        "variation": np.zeros(run.config.n_variation, np.float32),
        "score_in": np.ones((64, run.config.n_channels), np.float32),
        "position": np.zeros(1, np.float32),
    }
    score, frames = session.run(["score", "log_magnitude"], feeds)
    assert score.shape == (64, run.config.n_channels)
    assert not score.any()
    assert np.isfinite(frames).all()


def test_one_switch_that_is_no_number_is_enough(exported, run):
    switches = np.zeros(run.config.n_switches, np.float32)
    switches[1] = np.nan
    assert not exported.network.compose(switches, np.zeros(4, np.float32)).any()


def test_all_of_composing_stands_behind_the_door(model):
    (door,) = [node for node in model.graph.node if node.op_type == "If"]
    branches = {a.name: {node.op_type for node in a.g.node} for a in door.attribute}
    assert "ArgMax" in branches["then_branch"]
    assert branches["else_branch"] == {"Constant", "ConstantOfShape"}
    outside = {node.op_type for node in model.graph.node}
    assert outside.isdisjoint({"ArgMax", "Conv", "Softmax"})


def test_the_golden_answer_is_the_same_in_torch_and_on_the_box(exported, graph):
    golden = exported.network.card.golden
    exported.network.replay_golden()
    with torch.no_grad():
        score, _ = graph.compose(torch.tensor(golden.switches), torch.tensor(golden.variation))
        frames = graph.render(score, torch.tensor(golden.positions))
    np.testing.assert_allclose(frames.flatten(), golden.log_magnitude, atol=1e-4)


@torch.no_grad()
def test_the_golden_question_is_the_most_decided_of_many(exported, graph, states):
    golden = exported.network.card.golden
    asked = torch.tensor(golden.switches), torch.tensor(golden.variation)
    margin = graph.compose.margin(*asked)
    others = [graph.compose.margin(*map(torch.from_numpy, state)) for state in states]
    assert margin > np.median(others)


def test_torch_and_onnxruntime_were_compared_in_every_state(exported):
    parity = exported.found.parity
    assert parity.n_states == 2**CONFIG.n_switches
    assert parity.code_agreement >= 0.999
    assert parity.largest_difference < 1e-3


def test_a_large_panel_is_compared_in_a_sample_of_states(monkeypatch):
    monkeypatch.setattr(parity, "MOST_STATES", 10)
    found = list(parity.states(16, np.random.default_rng(0)))
    assert len(found) == 10
    assert all(state.shape == (16,) and set(state) <= {0.0, 1.0} for state in found)


# -- writing it -----------------------------------------------------------------------------


def test_the_same_run_is_the_same_file_to_the_last_byte(exported, run_directory, tmp_path, capfd):
    """Through the command, which says what it found and lets nobody else speak."""
    out = tmp_path / "again.onnx"
    result = CliRunner().invoke(export, [str(run_directory), "--out", str(out), "--title", "Tiny"])
    assert result.exit_code == 0, result.output
    assert out.read_bytes() == exported.path.read_bytes()
    said = [
        r"again\.onnx: 0\.\d MiB, read back from the disk and compared",
        r"torch and onnxruntime agree on \d+\.\d+% of the digits of 8 states",
        r"scores .*codec_held_out_db \d+\.\d+",
        r"this core .*compose \d+\.\d+ ms, a frame 0\.\d+ ms: \d+\.\d % while it plays",
        r"extrapolated  Raspberry Pi 4: about \d+ % of a core; not measured there",
    ]
    assert [words for words in said if not re.search(words, result.output)] == []
    assert capfd.readouterr().err == ""


def test_exporting_gives_the_threads_back(run, traced, tmp_path):
    torch.set_num_threads(2)
    try:
        model_file.export_run(run, tmp_path / "model.onnx", title="Tiny")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


@pytest.fixture
def traced(trace, monkeypatch):
    """Spares the exporter's seconds: what it traced once is what it would trace again."""
    monkeypatch.setattr(model_file, "to_onnx", lambda *_: trace)
    return trace


@pytest.fixture
def target(tmp_path):
    """A model that was good and has to stay."""
    path = tmp_path / "model.onnx"
    path.write_bytes(b"the old one")
    return path


def refuse(run, target, error, message):
    with pytest.raises(error, match=message) as raised:
        model_file.export_run(run, target, title="Tiny")
    assert isinstance(raised.value, SwitchboardError)
    assert "\n" not in str(raised.value)
    assert target.read_bytes() == b"the old one"
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def test_a_network_too_large_is_refused(run, traced, target, monkeypatch):
    monkeypatch.setattr(model_file, "MAX_MODEL_BYTES", 20_000)
    refuse(
        run, target, ExportError, r"bytes, at most 20,000 are allowed; no file was written: train"
    )


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("SMALLEST_AGREEMENT", 1.1, r"parity of compose: found 100\.0+% of the digits equal"),
        ("LARGEST_DIFFERENCE", -1.0, r"parity of render: found a difference of"),
    ],
)
def test_a_graph_that_computes_otherwise_is_refused(
    run, traced, target, monkeypatch, name, value, message
):
    monkeypatch.setattr(parity, name, value)
    refuse(run, target, ExportError, message)


def test_a_file_that_the_box_would_not_open_is_refused(run, traced, target, monkeypatch):
    monkeypatch.setattr(model_file, "GOLDEN_TOLERANCE", 1e-9)
    monkeypatch.setattr(Network, "replay_golden", failing_replay)
    refuse(run, target, SwitchboardError, "golden")


def test_a_disk_that_does_not_keep_what_it_was_given_is_found_out(run, traced, target, monkeypatch):
    read = Path.read_bytes
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", lambda path: read(path)[:-1] + b"?")
        with pytest.raises(ExportError, match="found other bytes on the disk than were written"):
            model_file.export_run(run, target, title="Tiny")
    assert target.read_bytes() == b"the old one"


def test_a_file_that_answers_otherwise_than_its_graph_is_refused(run, traced, target, monkeypatch):
    drawn = Network.log_magnitude
    monkeypatch.setattr(Network, "log_magnitude", lambda *a: drawn(*a) + np.float32(0.01))
    refuse(run, target, ExportError, r"parity of the file: found a difference of 1\.00e-02 from")


def failing_replay(network):
    raise ExportError(f"golden vector of {network.card.title}")


def test_a_file_without_a_folder_is_refused(run, traced, tmp_path):
    with pytest.raises(OutputError, match=r"none/model\.onnx: found no folder .*none; make it"):
        model_file.export_run(run, tmp_path / "none" / "model.onnx", title="Tiny")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("agreement", [0.5, float("nan")])
def test_parity_below_the_least_agreement_is_none(agreement):
    with pytest.raises(ExportError, match="parity of compose"):
        Parity(8, agreement, 0.0).check()


@pytest.mark.parametrize("difference", [0.1, float("nan"), float("inf")])
def test_parity_above_the_largest_difference_is_none(difference):
    with pytest.raises(ExportError, match="parity of render"):
        Parity(8, 1.0, difference).check()


@torch.no_grad()
def test_a_network_that_draws_no_numbers_is_found_out(run, graph, traced, monkeypatch):
    monkeypatch.setattr(graph.render, "forward", lambda *_: torch.full((64, 129), torch.nan))
    found = parity.measure(run, graph, parity.TracedGraph(traced))
    with pytest.raises(ExportError, match="difference of nan"):
        found.check()


def test_a_run_that_is_not_finished_is_refused(tmp_path):
    (tmp_path / "checkpoint.pt").touch()
    out = tmp_path / "model.onnx"
    result = CliRunner().invoke(export, [str(tmp_path), "--out", str(out)])
    assert isinstance(result.exception, TrainingError)
    assert "found an unfinished run" in str(result.exception)
    assert not out.exists()


def test_metadata_is_text_that_can_be_read(model):
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(metadata["provenance"])["torch"] == torch.__version__
    assert len(json.loads(metadata["switch_labels"])) == CONFIG.n_switches


def test_a_file_is_written_through_a_link_which_stays(run, trace, tmp_path, monkeypatch):
    monkeypatch.setattr(model_file, "to_onnx", lambda *_: trace)
    link, target = tmp_path / "model.onnx", tmp_path / "elsewhere.onnx"
    link.symlink_to(target.name)
    model_file.export_run(run, link, title="Linked")
    assert link.is_symlink()
    assert Network.open(target).card.title == "Linked"
    assert {path.name for path in tmp_path.iterdir()} == {link.name, target.name}
