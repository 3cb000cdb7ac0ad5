"""An uninterrupted run for comparison, and frequent reports and checkpoints."""

import pytest

from tests.support.toy_trainer import make
from training.run import trainer as trainer_module


@pytest.fixture
def eager(monkeypatch):
    """Reports every second step, checkpoints about every third: the clock advances when read."""
    monkeypatch.setattr(trainer_module, "REPORT_STEPS", 2)
    monkeypatch.setattr(trainer_module, "CHECKPOINT_SECONDS", 4)
    monkeypatch.setattr(trainer_module, "WARM_UP_STEPS", 4)


@pytest.fixture(scope="session")
def uninterrupted(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer_module, "REPORT_STEPS", 2)
        patch.setattr(trainer_module, "WARM_UP_STEPS", 4)
        trainer = make(tmp_path_factory.mktemp("run"))
        trainer.train()
        return trainer
