"""A run that was killed and resumed equals one that was never killed."""

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from tests.support.tiny_run import N_SLOTS, same_bits, toy_features, weights
from tests.support.toy_trainer import HALF_EACH, N_STEPS, Killed, kill_after, make, rows
from training.run import trainer as trainer_module
from training.run.config import TrainingError
from training.run.run_folder import FinishedRun
from training.run.trainer import Budget
from training.run.training_log import Progress, TrainingLog

pytestmark = pytest.mark.usefixtures("eager")


# -- resuming ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stage", "n_reports"),
    [("codec", 4), ("codec", 7), ("codec", 8), ("composer", 1), ("composer", 5), ("composer", 8)],
)
def test_a_killed_run_resumes_to_the_same_bits(tmp_path, uninterrupted, stage, n_reports):
    with pytest.raises(Killed):
        make(tmp_path, report=kill_after(stage, n_reports)).train()
    again = make(tmp_path)
    again.resume()
    again.train()
    assert same_bits(weights(again.networks), weights(uninterrupted.networks))
    assert rows(tmp_path) == rows(uninterrupted.directory)


def test_a_run_that_is_killed_several_times_still_finishes(tmp_path, uninterrupted):
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


def test_half_a_row_of_a_killed_run_is_dropped(tmp_path):
    curves = TrainingLog(tmp_path / "curves.csv")
    curves.cut(Progress())
    curves.append("codec", Progress(step=2), {"loss": 1.0})
    with curves.path.open("a") as file:
        file.write("codec,4")
    curves.cut(Progress(step=6))
    assert rows(tmp_path) == [("codec", 2, "loss", "1")]


def test_rows_of_an_earlier_run_without_a_checkpoint_are_dropped(tmp_path, uninterrupted):
    with pytest.raises(Killed):
        make(tmp_path, report=kill_after("codec", 2)).train()
    assert rows(tmp_path)
    assert not (tmp_path / "checkpoint.pt").exists()
    make(tmp_path).train()
    assert rows(tmp_path) == rows(uninterrupted.directory)


# -- with the codec of another run ---------------------------------------------------------------


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


def test_a_run_with_the_codec_of_another_resumes_after_a_kill(tmp_path, uninterrupted):
    with pytest.raises(Killed):
        trainer = make(tmp_path, COMPOSER_ALONE, report=kill_after("composer", 1))
        trainer.start_with_codec(finished(uninterrupted))
        trainer.train()
    again = make(tmp_path, COMPOSER_ALONE)
    again.resume()
    again.train()
    assert same_bits(again.networks.codec.state_dict(), uninterrupted.networks.codec.state_dict())


def test_a_codec_of_other_sizes_is_rejected(tmp_path, uninterrupted):
    wider = replace(COMPOSER_ALONE, n_channels=48)
    with pytest.raises(TrainingError, match="with n_channels 24, requested 48"):
        make(tmp_path, wider).start_with_codec(finished(uninterrupted))


def test_no_share_for_the_codec_and_none_to_begin_with_is_rejected(tmp_path):
    with pytest.raises(TrainingError, match="codec_share: found 0 and no codec"):
        make(tmp_path, COMPOSER_ALONE).train()


# -- rejecting ----------------------------------------------------------------------------------


def test_resuming_without_a_checkpoint_is_rejected(tmp_path):
    with pytest.raises(TrainingError, match=r"no checkpoint\.pt found"):
        make(tmp_path).resume()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 2}, "with seed 1, requested 2"),
        ({"codec_rate": 0.5}, "with codec_rate 0.001, requested 0.5"),
        ({"width": 32}, "with width 16, requested 32"),
    ],
)
def test_resuming_with_other_settings_is_rejected(tmp_path, uninterrupted, changes, message):
    other = make(tmp_path, replace(HALF_EACH, **changes))
    other.checkpoint_path.write_bytes(uninterrupted.checkpoint_path.read_bytes())
    with pytest.raises(TrainingError, match=message):
        other.resume()


def test_a_damaged_checkpoint_is_rejected_in_one_line(tmp_path, uninterrupted):
    damaged = make(tmp_path)
    content = uninterrupted.checkpoint_path.read_bytes()
    for kept in (b"", content[:50], content[: len(content) // 2]):
        damaged.checkpoint_path.write_bytes(kept)
        with pytest.raises(TrainingError, match=r"cannot be read") as raised:
            damaged.resume()
        assert "\n" not in str(raised.value)


def test_a_gradient_with_nan_stops_the_run_before_the_weights_change(tmp_path):
    features = toy_features()
    trainer = make(tmp_path, features=features, budget=Budget(40, None))

    def add_nan(name, done, figures):
        del name, done, figures
        if trainer.progress.step == 5:
            features.log_bands[:] = np.nan

    # The next batches have been read already.
    trainer.report = add_nan
    with pytest.raises(TrainingError, match=r"step \d+ of the codec found a gradient of nan"):
        trainer.train()
    assert all(tensor.isfinite().all() for tensor in weights(trainer.networks).values())
