"""Models with any kind of bands and switch axes play on the device."""

from dataclasses import replace

import pytest
import torch

from device.model.network import Network
from export.model.graph import BoxGraph
from export.model.model_file import export_run
from tests.support.tiny_run import ANALYSIS, CONFIG, N_SLOTS, untrained
from training.networks.frame_decoder import BinScatter

LINEAR = replace(ANALYSIS, bands="linear", n_bands=129, n_linear=0)
MEL = replace(ANALYSIS, bands="mel", n_linear=0)
CONFIGS = [
    replace(CONFIG, switches="components", analysis=LINEAR),
    replace(CONFIG, switches="labels", labels="drums,bass,minor", analysis=MEL),
]


STATE = (
    torch.tensor([1.0, 0.0, 1.0]),
    torch.linspace(-1, 1, 4),
    torch.arange(8) / 8,
)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.switches)
def test_the_graph_draws_bins_whatever_the_bands(config):
    run = untrained(config)
    graph, (bits, variation, position) = BoxGraph(run).eval(), STATE
    with torch.no_grad():
        score, _ = graph.compose(bits, variation)
        frames, _ = graph.render(score, position)
    torch.testing.assert_close(frames, drawn(run, *STATE))


def test_the_device_plays_a_model_with_linear_bands(tmp_path):
    run = untrained(CONFIGS[0])
    export_run(run, tmp_path / "model.onnx", title="Tiny")
    network = Network.open(tmp_path / "model.onnx")
    assert network.card.switch_labels == run.switch_labels
    bits, variation, position = (part.numpy() for part in STATE)
    frames = network.render(network.compose(bits, variation), position)[0]
    torch.testing.assert_close(torch.from_numpy(frames), drawn(run, *STATE))


@torch.no_grad()
def drawn(run, bits, variation, position):
    """The same frames computed in torch with the expansion matrix and the scatter, step by step."""
    made, analysis = run.networks, run.config.analysis
    latent = made.axes.latent(bits[None], variation[None])
    rows = made.codec.writer(made.composer.code_indices(latent, variation[None]).float() - 2)[0]
    slots = position * 4
    rows = rows[slots.long() % N_SLOTS]
    bins = made.codec.render(rows, slots % 1) @ torch.from_numpy(analysis.expansion).T
    share = torch.from_numpy(analysis.scatter)
    return BinScatter(run.config.n_channels, share, analysis.floor)(bins, rows, slots % 1)
