"""Runs and a small corpus for several tests of runs."""

import numpy as np
import pytest

from tests.support.corpus_files import write_corpus
from tests.support.tiny_run import finished
from tests.support.toy_trainer import make
from training.corpus.format import BEATS_PER_LOOP, MARGIN
from training.corpus.parts import PreparedLoop
from training.run import trainer as trainer_module

BEATS = (np.arange(BEATS_PER_LOOP + 1) * 400.0).tolist()
N_LOOPS = 10


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


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory):
    return finished(tmp_path_factory)


@pytest.fixture
def small_corpus(tmp_path):
    """Loops of noise, all held out but one: enough to audition a model against."""
    rng = np.random.default_rng(0)
    audio = rng.uniform(-0.5, 0.5, (N_LOOPS, 2 * MARGIN + int(BEATS[-1]))).astype(np.float32)
    loops = [
        PreparedLoop(f"noise-{number}", loop, BEATS, number > 0, {}, {})
        for number, loop in enumerate(audio)
    ]
    return write_corpus(tmp_path / "small", loops).directory
