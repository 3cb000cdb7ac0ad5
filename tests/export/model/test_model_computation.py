"""The model file computes what the trained networks compute in torch."""

import numpy as np
import onnxruntime as ort
import pytest
import torch

from export.model import parity
from tests.support.tiny_run import CONFIG
from training.networks.frame_decoder import BinScatter


@pytest.fixture
def states(run):
    """Switch bits and variations, all switches off and all on among them."""
    rng = np.random.default_rng(7)
    n = run.config.n_switches
    rows = [np.zeros(n), np.ones(n), *rng.integers(0, 2, (4, n))]
    return [
        (bits.astype(np.float32), rng.standard_normal(run.config.n_variation).astype(np.float32))
        for bits in rows
    ]


@torch.no_grad()
def test_it_composes_what_torch_composes(exported, graph, states):
    for switches, variation in states:
        expected, _ = graph.compose(torch.from_numpy(switches), torch.from_numpy(variation))
        score = exported.network.compose(switches, variation)
        np.testing.assert_allclose(score, expected.numpy(), atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("n_frames", [1, 2, 7, 64])
def test_it_draws_what_torch_draws_whatever_the_number_of_frames(exported, graph, run, n_frames):
    score = np.random.default_rng(1).standard_normal((64, run.config.n_channels))
    score = score.astype(np.float32)
    position = np.linspace(0, 15.99, n_frames, dtype=np.float32)
    expected = graph.render(torch.from_numpy(score), torch.from_numpy(position))
    frames, advance = exported.network.render(score, position)
    analysis = run.config.analysis
    assert frames.shape == (n_frames, analysis.n_bins)
    assert advance.shape == (n_frames, 2 * analysis.n_guided) and analysis.n_guided
    np.testing.assert_allclose(frames, expected[0].numpy(), atol=1e-3)
    np.testing.assert_allclose(advance, expected[1].numpy(), atol=1e-3)


@torch.no_grad()
def test_the_file_draws_what_the_trained_codec_decodes(exported, run):
    """The folded last layer and the grid of positions change nothing; scatter is added to bins."""
    digits = torch.randint(-2, 3, (1, 64, run.config.n_codes)).float()
    codec, analysis = run.networks.codec, run.config.analysis
    bands = codec.decode(digits, torch.zeros(1))[0]
    position, score = analysis.grid(64).astype(np.float32), codec.writer(digits)[0]
    phase = torch.from_numpy(4 * position % 1)
    rows = score.repeat_interleave(analysis.frames_per_slot, dim=0)
    share = torch.from_numpy(analysis.scatter)
    scatter = BinScatter(run.config.n_channels, share, analysis.floor)
    expected = scatter(bands @ torch.from_numpy(analysis.expansion).T, rows, phase)
    frames = exported.network.render(score.numpy(), position)[0]
    np.testing.assert_allclose(frames, expected.numpy(), atol=1e-3)


def test_positions_wrap_round_at_the_end_of_the_loop(exported, states):
    score = exported.network.compose(*states[2])
    position = np.array([0.25, 3.0, 15.5], np.float32)
    here = exported.network.render(score, position)[0]
    around = exported.network.render(score, position + 16)[0]
    np.testing.assert_allclose(here, around, atol=1e-4)


def test_frames_can_be_drawn_in_any_blocks(exported, states):
    score = exported.network.compose(*states[3])
    position = np.linspace(0, 2, 12, dtype=np.float32)
    whole = exported.network.render(score, position)[0]
    blocks = [exported.network.render(score, part)[0] for part in np.split(position, [1, 5])]
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


def test_all_of_the_compose_half_is_behind_the_if(model):
    (guard,) = [node for node in model.graph.node if node.op_type == "If"]
    branches = {a.name: {node.op_type for node in a.g.node} for a in guard.attribute}
    assert "ArgMax" in branches["then_branch"]
    assert branches["else_branch"] == {"Constant", "ConstantOfShape"}
    outside = {node.op_type for node in model.graph.node}
    assert outside.isdisjoint({"ArgMax", "Conv", "Softmax"})


def test_the_golden_output_is_the_same_in_torch_and_on_the_device(exported, graph):
    golden = exported.network.card.golden
    exported.network.replay_golden()
    with torch.no_grad():
        score, _ = graph.compose(torch.tensor(golden.switches), torch.tensor(golden.variation))
        frames, advance = graph.render(score, torch.tensor(golden.positions))
    np.testing.assert_allclose(frames.flatten(), golden.log_magnitude, atol=1e-4)
    np.testing.assert_allclose(advance.flatten(), golden.phase_advance, atol=1e-4)


@torch.no_grad()
def test_the_golden_input_has_a_large_margin(exported, graph, states):
    golden = exported.network.card.golden
    margin = graph.compose.margin(torch.tensor(golden.switches), torch.tensor(golden.variation))
    others = [graph.compose.margin(*map(torch.from_numpy, state)) for state in states]
    assert margin > np.median(others)


def test_torch_and_onnxruntime_were_compared_in_every_state(exported):
    parity = exported.result.parity
    assert parity.n_states == 2**CONFIG.n_switches
    assert parity.code_agreement >= 0.999
    assert parity.largest_difference < 1e-3


def test_many_switches_are_compared_in_a_sample_of_states(monkeypatch):
    monkeypatch.setattr(parity, "MOST_STATES", 10)
    sample = list(parity.states(16, np.random.default_rng(0)))
    assert len(sample) == 10
    assert all(state.shape == (16,) and set(state) <= {0.0, 1.0} for state in sample)
