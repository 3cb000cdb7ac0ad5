"""Settings of earlier versions are read under the names of this one."""

from dataclasses import replace

import pytest
import torch

from tests.support.tiny_run import CONFIG, N_SLOTS, networks, same_bits, trained, weights
from training.run.config import RENAMED_SETTINGS, Config, TrainingError
from training.run.run_folder import FinishedRun, open_run, save_run
from training.run.trainer import Budget, Trainer

UNUSUAL = replace(CONFIG, switch_range=0.75, variation_reconstruction_weight=2.5)


def under_old_names(settings):
    """Settings as the version before wrote them to config.json, model.pt and checkpoint.pt."""
    old = {new: old for old, new in RENAMED_SETTINGS.items()}
    return {old.get(name, name): value for name, value in settings.items()}


def rewrite(path):
    """Put the settings in a file of a run under their old names."""
    content = torch.load(path, weights_only=True)
    content["config"] = under_old_names(content["config"])
    torch.save(content, path)


def test_settings_under_their_old_names_are_the_same_settings():
    raw = under_old_names(UNUSUAL.to_dict())
    assert {"n_digits", "reach", "echo_weight"} <= raw.keys()
    assert Config.from_dict(raw) == UNUSUAL


def test_a_setting_under_both_names_is_rejected():
    with pytest.raises(TrainingError, match="under its old and its new name"):
        Config.from_dict({**CONFIG.to_dict(), "reach": 1.0})


def test_a_finished_run_of_the_version_before_opens(tmp_path):
    made = networks(UNUSUAL)
    save_run(tmp_path, FinishedRun(UNUSUAL, N_SLOTS, 80.0, made, ("a", "b", "c"), {}))
    rewrite(tmp_path / "model.pt")
    opened = open_run(tmp_path)
    assert opened.config == UNUSUAL
    assert same_bits(weights(opened.networks), weights(made))


def test_a_checkpoint_of_the_version_before_is_resumed(tmp_path):
    trainer = trained(tmp_path, UNUSUAL, 4)
    rewrite(tmp_path / "checkpoint.pt")
    again = Trainer(
        tmp_path,
        networks(UNUSUAL),
        trainer.features,
        UNUSUAL,
        budget=Budget(4, None),
        report=lambda *_: None,
    )
    again.resume()
    assert same_bits(weights(again.networks), weights(trainer.networks))
