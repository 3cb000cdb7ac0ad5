"""A run that was killed and went on is the run that was never killed."""

import csv
import json
from dataclasses import replace
from itertools import count, pairwise

import numpy as np
import pytest
import torch

from tests.support.tiny_run import CONFIG, N_SLOTS, networks, same_bits, toy_features, weights
from training.run import trainer as trainer_module
from training.run.config import TrainingError
from training.run.distributed import SINGLE_PROCESS
from training.run.networks import Networks
from training.run.run_folder import FinishedRun
from training.run.stages import ComposerStage, encode_corpus
from training.run.trainer import Budget, Trainer
from training.run.training_log import Progress, TrainingLog

N_STEPS = 16
HALF_EACH = replace(CONFIG, codec_share=0.5)


class Killed(Exception):
    """Stands for SIGKILL: nothing after it runs."""


@pytest.fixture(autouse=True)
def eager(monkeypatch):
    """Reports every second step, and checkpoints every third or so: the clock ticks when read."""
    monkeypatch.setattr(trainer_module, "REPORT_STEPS", 2)
    monkeypatch.setattr(trainer_module, "CHECKPOINT_SECONDS", 4)
    monkeypatch.setattr(trainer_module, "WARM_UP_STEPS", 4)


def make(directory, config=HALF_EACH, *, features=None, report=None, budget=None):
    directory.mkdir(exist_ok=True)
    return Trainer(
        directory,
        Networks.build(config, N_SLOTS),
        features or toy_features(),
        config,
        budget=budget or Budget(N_STEPS, None),
        report=report or (lambda *_: None),
        clock=count().__next__,
    )


def kill_after(stage, n_reports):
    """A report that kills the run in a stage."""
    seen = count(1)

    def report(name, done, figures):
        del done, figures
        if name == stage and next(seen) == n_reports:
            raise Killed

    return report


def rows(directory):
    """What curves.csv says, but for the seconds."""
    with (directory / "curves.csv").open(newline="") as file:
        return [(r["stage"], int(r["step"]), r["figure"], r["value"]) for r in csv.DictReader(file)]


def values(directory, figure):
    return [float(value) for _, _, name, value in rows(directory) if name == figure]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer_module, "REPORT_STEPS", 2)
        patch.setattr(trainer_module, "WARM_UP_STEPS", 4)
        trainer = make(tmp_path_factory.mktemp("run"))
        trainer.train()
        return trainer


# -- going on -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stage", "n_reports"),
    [("codec", 4), ("codec", 7), ("codec", 8), ("composer", 1), ("composer", 5), ("composer", 8)],
)
def test_a_killed_run_goes_on_to_the_same_bits(tmp_path, uninterrupted, stage, n_reports):
    with pytest.raises(Killed):
        make(tmp_path, report=kill_after(stage, n_reports)).train()
    again = make(tmp_path)
    again.resume()
    again.train()
    assert same_bits(weights(again.networks), weights(uninterrupted.networks))
    assert rows(tmp_path) == rows(uninterrupted.directory)


def test_a_run_that_is_killed_again_and_again_still_arrives(tmp_path, uninterrupted):
    with pytest.raises(Killed):
        make(tmp_path, report=kill_after("codec", 5)).train()
    for stage, n_reports in [("codec", 4), ("composer", 4), ("composer", 4)]:
        again = make(tmp_path, report=kill_after(stage, n_reports))
        again.resume()
        with pytest.raises(Killed):
            again.train()
    last = make(tmp_path)
    last.resume()
    last.train()
    assert same_bits(weights(last.networks), weights(uninterrupted.networks))
    assert rows(tmp_path) == rows(uninterrupted.directory)


def test_a_run_killed_between_the_stages_begins_the_second_one_fresh(
    tmp_path, uninterrupted, monkeypatch
):
    def killed(*_):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(trainer_module, "encode_corpus", killed)
        with pytest.raises(Killed):
            make(tmp_path).train()
    again = make(tmp_path)
    again.resume()
    assert again.progress == Progress(stage=1)
    again.train()
    assert same_bits(weights(again.networks), weights(uninterrupted.networks))
    assert rows(tmp_path) == rows(uninterrupted.directory)


def test_a_run_killed_after_its_last_step_has_nothing_left_to_do(tmp_path, uninterrupted):
    make(tmp_path).train()
    steps = []
    again = make(tmp_path, report=lambda *step: steps.append(step))
    again.resume()
    again.train()
    assert steps == []
    assert same_bits(weights(again.networks), weights(uninterrupted.networks))
    assert rows(tmp_path) == rows(uninterrupted.directory)


def test_minutes_that_were_spent_before_a_kill_stay_spent(tmp_path):
    budget = Budget(None, minutes=2)
    with pytest.raises(Killed):
        make(tmp_path, budget=budget, report=kill_after("codec", 12)).train()
    reports = []
    again = make(tmp_path, budget=budget, report=lambda *report: reports.append(report))
    again.resume()
    assert again.progress.seconds > 10
    again.train()
    first_stage = [done for name, done, _ in reports if name == "codec"]
    assert 0.1 < first_stage[0] < 0.6
    assert all(0 <= b - a < 0.1 for a, b in pairwise(first_stage))


def test_half_a_row_of_a_killed_run_is_forgotten(tmp_path):
    curves = TrainingLog(tmp_path / "curves.csv")
    curves.cut(Progress())
    curves.append("codec", Progress(step=2), {"loss": 1.0})
    with curves.path.open("a") as file:
        file.write("codec,4")
    curves.cut(Progress(step=6))
    assert rows(tmp_path) == [("codec", 2, "loss", "1")]


def test_rows_of_an_earlier_run_without_a_checkpoint_are_forgotten(tmp_path, uninterrupted):
    with pytest.raises(Killed):
        make(tmp_path, report=kill_after("codec", 2)).train()
    assert rows(tmp_path)
    assert not (tmp_path / "checkpoint.pt").exists()
    make(tmp_path).train()
    assert rows(tmp_path) == rows(uninterrupted.directory)


# -- with the codec of another run ----------------------------------------------------------


def finished(trainer, config=HALF_EACH):
    return FinishedRun(config, N_SLOTS, 80.0, trainer.networks, ("a", "b", "c"), {"commit": "1"})


COMPOSER_ALONE = replace(HALF_EACH, codec_share=0.0, seed=2)


def test_a_run_with_the_codec_of_another_trains_a_composer_alone(tmp_path, uninterrupted):
    other = make(tmp_path, COMPOSER_ALONE)
    other.start_with_codec(finished(uninterrupted))
    other.train()
    assert same_bits(other.networks.codec.state_dict(), uninterrupted.networks.codec.state_dict())
    assert {row[0] for row in rows(tmp_path)} == {"composer"}
    assert max(row[1] for row in rows(tmp_path)) == N_STEPS
    assert json.loads((tmp_path / "codec.json").read_text()) == {"commit": "1"}


def test_a_run_with_the_codec_of_another_goes_on_after_a_kill(tmp_path, uninterrupted):
    with pytest.raises(Killed):
        trainer = make(tmp_path, COMPOSER_ALONE, report=kill_after("composer", 1))
        trainer.start_with_codec(finished(uninterrupted))
        trainer.train()
    again = make(tmp_path, COMPOSER_ALONE)
    again.resume()
    again.train()
    assert same_bits(again.networks.codec.state_dict(), uninterrupted.networks.codec.state_dict())


def test_a_codec_of_other_sizes_is_refused(tmp_path, uninterrupted):
    wider = replace(COMPOSER_ALONE, n_channels=48)
    with pytest.raises(TrainingError, match="with n_channels 24, asked for 48"):
        make(tmp_path, wider).start_with_codec(finished(uninterrupted))


def test_no_share_for_the_codec_and_none_to_begin_with_is_refused(tmp_path):
    with pytest.raises(TrainingError, match="codec_share: found 0 and no codec"):
        make(tmp_path, COMPOSER_ALONE).train()


# -- refusing -------------------------------------------------------------------------------


def test_resuming_without_a_checkpoint_is_refused(tmp_path):
    with pytest.raises(TrainingError, match=r"no checkpoint\.pt found"):
        make(tmp_path).resume()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 2}, "with seed 1, asked for 2"),
        ({"codec_rate": 0.5}, "with codec_rate 0.001, asked for 0.5"),
        ({"width": 32}, "with width 16, asked for 32"),
    ],
)
def test_resuming_with_other_settings_is_refused(tmp_path, uninterrupted, changes, message):
    other = make(tmp_path, replace(HALF_EACH, **changes))
    other.checkpoint_path.write_bytes(uninterrupted.checkpoint_path.read_bytes())
    with pytest.raises(TrainingError, match=message):
        other.resume()


def test_a_damaged_checkpoint_is_refused_in_one_line(tmp_path, uninterrupted):
    damaged = make(tmp_path)
    content = uninterrupted.checkpoint_path.read_bytes()
    for kept in (b"", content[:50], content[: len(content) // 2]):
        damaged.checkpoint_path.write_bytes(kept)
        with pytest.raises(TrainingError, match=r"cannot be read") as raised:
            damaged.resume()
        assert "\n" not in str(raised.value)


def test_a_gradient_that_is_no_number_stops_the_run_before_the_weights_take_harm(tmp_path):
    features = toy_features()
    trainer = make(tmp_path, features=features)

    def poison(name, done, figures):
        del name, done, figures
        if trainer.progress.step == 5:
            features.log_bands[:] = np.nan

    trainer.report = poison
    with pytest.raises(TrainingError, match=r"step 5 of the codec found a gradient of nan"):
        trainer.train()
    assert all(tensor.isfinite().all() for tensor in weights(trainer.networks).values())


# -- learning -------------------------------------------------------------------------------


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


def test_losses_fall_on_loops_never_heard(tmp_path):
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


def test_figures_are_written_down_at_every_report_and_at_the_end(tmp_path):
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


def test_digits_of_the_corpus_are_classes(uninterrupted):
    features = toy_features()
    code_indices = encode_corpus(uninterrupted.networks, features, HALF_EACH)
    assert code_indices.shape == (len(features.log_bands), N_SLOTS, CONFIG.n_codes)
    assert code_indices.dtype == torch.uint8
    assert int(code_indices.max()) < CONFIG.n_levels


def test_the_axes_come_from_the_loops_trained_on(uninterrupted):
    axes = uninterrupted.networks.axes
    assert axes.effect.abs().sum() > 0
    assert not torch.equal(axes.centre, torch.zeros_like(axes.centre))


def test_listening_to_panels_teaches_the_composer_alone(uninterrupted):
    made = uninterrupted.networks
    stage = ComposerStage(
        made, encode_corpus(made, toy_features(), HALF_EACH), toy_features(), HALF_EACH
    )
    for network in vars(made).values():
        network.zero_grad()
    _, heard = stage._state_losses(np.random.default_rng(1), SINGLE_PROCESS)
    heard["aim"].backward()
    assert taught(made) == {"composer"}


def test_the_critic_teaches_the_composer_and_is_taught_by_the_music(uninterrupted):
    made = uninterrupted.networks
    code_indices = encode_corpus(made, toy_features(), HALF_EACH)
    stage = ComposerStage(made, code_indices, toy_features(), HALF_EACH)
    rng = np.random.default_rng(1)
    for part, pupil in {"judging": "critic", "persuasion": "composer"}.items():
        for network in vars(made).values():
            network.zero_grad()
        codes, _ = stage._state_losses(rng, SINGLE_PROCESS)
        stage._discriminator_losses(rng, code_indices[:4], codes)[part].backward()
        assert taught(made) == {pupil}


def taught(made):
    return {
        name
        for name, network in vars(made).items()
        if any(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())
    }


def test_the_corpus_is_encoded_and_kept_where_the_networks_are():
    made = networks().to(torch.device("meta"))
    code_indices = encode_corpus(made, toy_features(), CONFIG)
    assert code_indices.device.type == "meta"


@pytest.mark.parametrize("budget", [Budget(10, None), Budget(None, 1.0)])
def test_a_budget_is_used_up_from_0_to_1(budget):
    assert budget.progress(0, 0.0) == 0
    assert budget.progress(5, 30.0) == 0.5
    assert budget.progress(10, 60.0) == 1
    assert budget.part(0.5).progress(5, 30.0) == 1
