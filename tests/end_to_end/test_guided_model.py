"""A model that draws the phase advance, from training to the box, by the command line alone."""

import numpy as np
import pytest

from device.model.network import Network
from device.model.summary import read_card
from tests.end_to_end.test_model_switch import GAP_LEVEL, READY, Player, activate, levels
from tests.support import tiny_model as tiny
from tests.support.forked_processes import run_switchboard
from tests.support.recording import read_wav
from tests.support.stepped_player import RATE
from tests.support.tiny_run import finished


@pytest.fixture(scope="module")
def guided_model(tmp_path_factory):
    path = tmp_path_factory.mktemp("guided") / "guided.onnx"
    run_switchboard("export", finished(tmp_path_factory)[1], "--out", path)
    return path


def test_an_exported_model_draws_the_phase_advance_of_the_bins_it_was_trained_on(guided_model):
    card = read_card(guided_model)
    assert (card.contract_version, card.n_guided) == (5, 8)
    network = Network.open(guided_model)
    score = network.compose(np.ones(3, np.float32), np.zeros(4, np.float32))
    vectors = network.frames(score, np.arange(32, dtype=np.float32) / 8)[:, card.n_bins :]
    length = np.hypot(vectors[:, :8], vectors[:, 8:])
    assert 0 < length.max() <= 1 + 1e-6


def test_a_render_is_the_same_every_time(guided_model, tmp_path):
    paths = [tmp_path / name for name in ("a.wav", "b.wav")]
    for path in paths:
        run_switchboard(
            *("render", "--model", guided_model, "--bits", "101", "--seed", 1),
            *("--seconds", 2, "--out", path),
        )
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert read_wav(paths[0]).samples.std() > 0.001


def test_it_takes_over_from_an_older_model_and_gives_way_to_it_without_a_gap(
    guided_model, tmp_path
):
    store = tmp_path / "models"
    old = tiny.build(tmp_path / "old.onnx", metadata={"contract_version": "3"})
    activate(store, guided_model)
    activate(store, old)
    player = Player(store, "0 101", tmp_path, 12.0)
    try:
        player.record_until(1.0)
        activate(store, guided_model)
        player.wait_for(READY)
        player.record_until(6.0)
        activate(store, old)
        player.wait_for(READY)
        report, samples = player.finish()
    finally:
        player.close()
    assert report["seconds"] == 12
    assert levels(samples).min() > GAP_LEVEL
    # The untrained network makes noise, which is louder.
    first, middle, last = (
        samples[a * RATE : b * RATE].std() for a, b in [(0, 1), (4, 6), (10, 11)]
    )
    assert middle > 1.4 * max(first, last)
