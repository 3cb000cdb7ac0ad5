"""Of versions, compositions are exported as a part of their own, so that a flip is cheap."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import torch

from device.model.contract import CONTRACT_VERSION
from export.commands.export import _findings
from export.model.graph import (
    COMPOSITION,
    DRAWN,
    BoxGraph,
    composing,
    n_codes,
    nodes_behind,
    to_onnx,
    weights,
)
from export.model.parity import TracedGraph
from export.model.quantization import to_int8
from tests.support.tiny_run import CONFIG, N_SLOTS, networks, untrained

VERSIONS = replace(CONFIG, switches="versions", labels="low,middle,top")
STATES = np.array([[0, 0, 0], [1, 0, 1], [1, 1, 1]], np.float32)
VARIATIONS = np.random.default_rng(4).standard_normal((3, CONFIG.n_variation)).astype(np.float32)


@pytest.fixture(scope="module")
def run():
    run = untrained(VERSIONS)
    with torch.no_grad():
        # A decoder that has learnt nothing is told the factors, and hardly listens.
        for block in run.networks.codec.writer.blocks:
            block.scale.fill_(1.0)
    return run


@pytest.fixture(scope="module")
def graph(run):
    return BoxGraph(run).eval()


@pytest.fixture(scope="module")
def trace(run, graph):
    return to_onnx(run, graph)


@pytest.fixture(scope="module")
def exported(run, trace, export_traced):
    return export_traced(run, trace, "Versions")


@pytest.fixture(scope="module")
def guards(exported):
    """The nodes behind each `If`, by the output that it guards."""
    graph = onnx.load(exported.path).graph
    ifs = [node for node in graph.node if node.op_type == "If"]
    branches = {
        node.output[0]: next(a.g for a in node.attribute if a.g.name == "compose") for node in ifs
    }
    return {name: list(branch.node) for name, branch in branches.items()}


def test_the_card_says_that_there_are_two_parts(exported):
    card = exported.network.card
    assert (card.contract_version, card.n_codes) == (CONTRACT_VERSION, VERSIONS.n_codes)
    onnx.checker.check_model(onnx.load(exported.path), full_check=True)


def test_what_is_composed_does_not_read_the_switches(guards):
    assert set(guards) == {"score", COMPOSITION}
    read = {name: {each for node in nodes for each in node.input} for name, nodes in guards.items()}
    assert "variation" in read[COMPOSITION]
    assert read[COMPOSITION].isdisjoint({"switches", "composition_in"})
    assert {"switches", "composition_in"} <= read["score"]
    assert "variation" not in read["score"]


def test_codes_are_chosen_in_the_first_part_alone(guards):
    kinds = {name: {node.op_type for node in nodes} for name, nodes in guards.items()}
    assert "ArgMax" in kinds[COMPOSITION]
    assert "ArgMax" not in kinds["score"]
    assert "Conv" in kinds["score"]


def test_neither_part_is_beside_its_if(exported):
    outside = {node.op_type for node in onnx.load(exported.path).graph.node}
    assert outside.isdisjoint({"ArgMax", "Conv", "Softmax"})


@torch.no_grad()
def test_both_parts_compute_what_torch_computes(exported, graph):
    for variation in VARIATIONS:
        for switches in STATES:
            score, digits = graph.compose(torch.from_numpy(switches), torch.from_numpy(variation))
            found = exported.network.compose(switches, variation)
            np.testing.assert_allclose(found, score.numpy(), atol=1e-4)
            composition = exported.network._run([COMPOSITION], variation=variation)[0]
            np.testing.assert_array_equal(composition, digits.numpy())


def test_the_composition_is_whole_numbers_around_0(exported):
    composition = exported.network._run([COMPOSITION], variation=VARIATIONS[0])[0]
    assert composition.shape == (N_SLOTS, VERSIONS.n_codes)
    assert np.array_equal(composition, composition.round())
    assert np.abs(composition).max() <= VERSIONS.n_levels // 2


def test_a_switch_changes_the_score_and_nothing_that_is_composed(exported):
    scores = [exported.network.compose(state, VARIATIONS[0]) for state in STATES]
    assert not np.array_equal(scores[0], scores[1])
    assert len(exported.network._compositions) > 0


@torch.no_grad()
def test_the_parts_of_torch_are_the_whole(graph):
    switches, variation = torch.from_numpy(STATES[1]), torch.from_numpy(VARIATIONS[1])
    position, score_in = torch.arange(4) / 16, torch.zeros(N_SLOTS, CONFIG.n_channels)
    whole = graph(switches, variation, score_in, position)
    parts = graph(switches, variation, score_in, position, whole[-1])
    assert all(map(torch.equal, whole, parts))


def test_torch_and_onnxruntime_were_compared_in_every_state(exported):
    assert exported.result.parity.n_states == 2**CONFIG.n_switches
    assert exported.result.parity.code_agreement >= 0.999


def test_int8_leaves_both_parts_as_they_are(trace):
    rounded = to_int8(trace)
    assert composing(rounded.graph) == composing(trace.graph) == ["score", COMPOSITION]
    nodes = nodes_behind(rounded.graph, *composing(rounded.graph))
    assert not any(node.op_type == "MatMulInteger" for node in nodes)
    for before, after in zip(
        TracedGraph(trace).compose(STATES[1], VARIATIONS[0]),
        TracedGraph(rounded).compose(STATES[1], VARIATIONS[0]),
        strict=True,
    ):
        np.testing.assert_array_equal(before, after)


def test_weights_that_no_flip_needs_are_counted_apart(exported, trace):
    result = exported.result
    assert result.flip == weights(trace.graph, "score")
    assert result.render == weights(trace.graph, *DRAWN)
    assert result.flip.n < result.compose.n


def test_the_command_prints_the_cost_of_both_parts(exported):
    (line,) = [line for line in _findings(exported.result) if line.startswith("this core")]
    speed = exported.result.speed
    assert f"compose {speed.compose_ms:.2f} ms" in line
    assert f"after a flip {speed.flip_ms:.2f} ms" in line


@pytest.mark.parametrize(
    ("config", "n"),
    [(VERSIONS, 4), (CONFIG, 0), (replace(VERSIONS, n_variation=0), 0)],
    ids=["versions", "axes", "no variation"],
)
def test_only_what_is_composed_of_a_variation_alone_is_a_part(config, n):
    # The networks without a variation would be empty, of which torch warns.
    made = networks(replace(config, n_variation=4))
    assert n_codes(SimpleNamespace(config=config, networks=made)) == n
