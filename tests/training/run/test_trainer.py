"""The trainer: losses fall, weights stay finite, and each loss trains the networks it is for."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.nn import functional

from tests.support.tiny_run import CONFIG, N_SLOTS, networks, same_bits, toy_features, weights
from tests.support.toy_trainer import HALF_EACH, make, rows, values
from training.run import trainer as trainer_module
from training.run.distributed import SINGLE_PROCESS
from training.run.stages import ComposerStage, encode_corpus
from training.run.trainer import Budget

pytestmark = pytest.mark.usefixtures("eager")


def test_what_is_held_out_never_reaches_the_weights(tmp_path, uninterrupted):
    features = toy_features()
    features.log_bands[features.held_out] = 3.0
    other = make(tmp_path, features=features)
    other.train()
    assert same_bits(weights(other.networks), weights(uninterrupted.networks))
    held_out = [row for row in rows(tmp_path) if row[2].startswith("held_out")]
    assert held_out != [r for r in rows(uninterrupted.directory) if r[2].startswith("held_out")]


def test_the_same_seed_is_the_same_run_and_another_seed_another(tmp_path, uninterrupted):
    same, other = make(tmp_path / "same"), make(tmp_path / "other", replace(HALF_EACH, seed=2))
    for trainer in (same, other):
        trainer.train()
    assert same_bits(weights(same.networks), weights(uninterrupted.networks))
    assert not same_bits(weights(other.networks), weights(uninterrupted.networks))


def test_losses_fall_on_held_out_loops(tmp_path):
    rates = {"codec_rate": 1e-2, "composer_rate": 1e-2}
    # Weights are in nats of loops far larger than these.
    config = replace(HALF_EACH, **rates, codec_loops=8, critic_weight=1.0)
    features = toy_features(n_loops=40, n_held_out=8)
    make(tmp_path, config, features=features, budget=Budget(160, None)).train()
    for figure, share in [("loss", 0.6), ("held_out_db", 0.8), ("cross_entropy", 0.8)]:
        course = values(tmp_path, figure)
        assert np.mean(course[-5:]) < share * course[0], figure


def test_the_rate_warms_up_and_comes_down():
    rates = [trainer_module._schedule(step, step / 100) for step in range(101)]
    assert rates[0] < rates[3]
    assert max(rates) <= 1
    assert rates[-1] == pytest.approx(0.02)
    assert all(a >= b for a, b in pairwise(rates[5:]))


def test_figures_are_logged_at_every_report_and_at_the_end(tmp_path):
    make(tmp_path, budget=Budget(11, None)).train()
    steps = {stage: [] for stage in trainer_module.STAGES}
    for stage, step, figure, _ in rows(tmp_path):
        if figure in ("l1", "aim", "held_out_db", "held_out_right"):
            steps[stage].append((figure, step))
    assert [s for f, s in steps["codec"] if f == "l1"] == [2, 4, 6]
    assert [s for f, s in steps["codec"] if f == "held_out_db"] == [2, 4, 6]
    assert [s for f, s in steps["composer"] if f == "aim"] == [2, 4, 6]


@pytest.mark.parametrize("n_loops", [1, 2])
def test_a_corpus_smaller_than_a_batch_with_nothing_held_out_can_be_learned(tmp_path, n_loops):
    trainer = make(tmp_path, features=toy_features(n_loops, n_held_out=0))
    trainer.train()
    assert not any(figure.startswith("held_out") for _, _, figure, _ in rows(tmp_path))
    assert all(tensor.isfinite().all() for tensor in weights(trainer.networks).values())


def test_a_corpus_of_silence_gives_finite_weights(tmp_path):
    features = toy_features()
    features.log_bands[:] = CONFIG.analysis.log_floor
    trainer = make(tmp_path, features=features)
    trainer.train()
    assert all(tensor.isfinite().all() for tensor in weights(trainer.networks).values())


def test_half_precision_trains_weights_that_stay_in_full(tmp_path):
    trainer = make(tmp_path, replace(HALF_EACH, precision="bfloat16"))
    trainer.train()
    for name, tensor in weights(trainer.networks).items():
        assert tensor.dtype == torch.float32, name
        assert tensor.isfinite().all(), name


def test_codes_of_the_corpus_are_indices(uninterrupted):
    features = toy_features()
    code_indices = encode_corpus(uninterrupted.networks, features, HALF_EACH)
    assert code_indices.shape == (len(features.log_bands), N_SLOTS, CONFIG.n_codes)
    assert code_indices.dtype == torch.uint8
    assert int(code_indices.max()) < CONFIG.n_levels


def test_the_axes_come_from_the_loops_trained_on(uninterrupted):
    axes = uninterrupted.networks.axes
    assert axes.effect.abs().sum() > 0
    assert not torch.equal(axes.centre, torch.zeros_like(axes.centre))


def test_descriptors_of_states_train_the_composer_alone(uninterrupted):
    made = uninterrupted.networks
    stage = ComposerStage(
        made, encode_corpus(made, toy_features(), HALF_EACH), toy_features(), HALF_EACH
    )
    for network in vars(made).values():
        network.zero_grad()
    _, parts = stage._state_losses(np.random.default_rng(1), SINGLE_PROCESS)
    sum(parts[name] for name in ("aim", "harmony", "rhythm", "agreement")).backward()
    assert networks_with_gradients(made) == {"composer"}


def test_states_that_are_the_loop_of_their_variation_agree_with_it_most(uninterrupted, monkeypatch):
    made, features = uninterrupted.networks, toy_features()
    code_indices = encode_corpus(made, features, HALF_EACH)
    stage = ComposerStage(made, code_indices, features, HALF_EACH)
    variations_of, loops = stage._variations, []

    def remember_loops(rng, size):
        found = variations_of(rng, size)
        loops[:] = [found[2]]
        return found

    def compose(latent, noise):
        one_hot = functional.one_hot(code_indices[loops[0]].long(), CONFIG.n_levels).float()
        return one_hot.repeat_interleave(HALF_EACH.panel_states, dim=0)

    _, composed = stage._state_losses(np.random.default_rng(1), SINGLE_PROCESS)
    monkeypatch.setattr(stage, "_variations", remember_loops)
    monkeypatch.setattr(stage.composer, "compose", compose)
    _, same = stage._state_losses(np.random.default_rng(1), SINGLE_PROCESS)
    # A silent region has no onsets to agree in.
    for name in ("harmony", "rhythm", "agreement"):
        assert same[name] < composed[name], name
    assert same["agreement"].item() == pytest.approx(0.0, abs=1e-6)


def test_a_state_is_expected_to_differ_from_its_loop_by_what_the_switches_stand_for(uninterrupted):
    made, features = uninterrupted.networks, toy_features()
    code_indices = encode_corpus(made, features, HALF_EACH)
    stage, axes = ComposerStage(made, code_indices, features, HALF_EACH), made.axes
    loops, n_states = stage.train[:2], 3
    states = torch.eye(2 * n_states, CONFIG.n_switches)
    expected = stage._expected_descriptors(states, loops)
    described = stage.described[loops]
    own = axes.predict_descriptors(axes.project(described, stage.labels[loops]))
    moved = axes.predict_descriptors(axes.switch_position(states)).view(2, n_states, -1)
    beside = expected.view(2, n_states, -1) - axes.standardise(described)[:, None]
    torch.testing.assert_close(beside, moved - own[:, None])


def test_states_are_drawn_in_every_second_step_and_weigh_twice_as_much(uninterrupted):
    trained = uninterrupted
    left_out = ("divergence", "critic", "harmony", "rhythm", "agreement")
    off = {f"{name}_weight": 0.0 for name in left_out}
    config = replace(trained.config, **off, aim_weight=1.0)
    code_indices = encode_corpus(trained.networks, trained.features, config)
    stage = ComposerStage(trained.networks, code_indices, trained.features, config)
    loss, without = stage.loss(stage.read(0), 1.0)
    assert set(without) == {"cross_entropy", "divergence"}
    assert loss.item() == pytest.approx(without["cross_entropy"])
    loss, drawn = stage.loss(stage.read(1), 1.0)
    of_states = drawn["aim"] + config.variation_reconstruction_weight * drawn["echo"]
    expected = drawn["cross_entropy"] + 2 * (of_states + drawn["judging"])
    assert loss.item() == pytest.approx(expected, rel=1e-4)


def test_the_discriminator_trains_the_composer_and_is_trained_on_music(uninterrupted):
    made = uninterrupted.networks
    code_indices = encode_corpus(made, toy_features(), HALF_EACH)
    stage = ComposerStage(made, code_indices, toy_features(), HALF_EACH)
    rng = np.random.default_rng(1)
    for part, trained in {"judging": "discriminator", "persuasion": "composer"}.items():
        for network in vars(made).values():
            network.zero_grad()
        codes, _ = stage._state_losses(rng, SINGLE_PROCESS)
        stage._discriminator_losses(rng, code_indices[:4], codes)[part].backward()
        assert networks_with_gradients(made) == {trained}


def networks_with_gradients(made):
    return {
        name
        for name, network in vars(made).items()
        if any(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())
    }


def test_codes_of_the_corpus_are_on_the_device_of_the_networks():
    made = networks().to(torch.device("meta"))
    code_indices = encode_corpus(made, toy_features(), CONFIG)
    assert code_indices.device.type == "meta"


@pytest.mark.parametrize("budget", [Budget(10, None), Budget(None, 1.0)])
def test_a_budget_is_used_up_from_0_to_1(budget):
    assert budget.progress(0, 0.0) == 0
    assert budget.progress(5, 30.0) == 0.5
    assert budget.progress(10, 60.0) == 1
    assert budget.part(0.5).progress(5, 30.0) == 1
