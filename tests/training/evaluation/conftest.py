"""One small evaluation for all tests of reports and of the gate."""

import dataclasses

import numpy as np
import pytest

from tests.support import tiny_model as tiny
from training.evaluation.evaluate import Plan, evaluate
from training.evaluation.reference_music import (
    Music,
    Reference,
)


@pytest.fixture(scope="session")
def small_model(tmp_path_factory):
    """Two switches: four states are soon rendered."""
    return tiny.build(tmp_path_factory.mktemp("model") / "small.onnx", n_switches=2)


@pytest.fixture(scope="session")
def evaluation(small_model):
    plan = Plan(small_model, (1, 2), music=None, n_passes=8)
    return evaluate(plan, on_progress=lambda *_: None)


@pytest.fixture(scope="session")
def compared(evaluation):
    """The same, compared with synthetic reference figures."""
    figures = np.tile(evaluation.sweep.independent_renders, (4, 1))
    rng = np.random.default_rng(0)
    some = [figures + rng.standard_normal(figures.shape) for _ in range(2)]
    pitches = tuple(evaluation.independent_pitches)
    sounds = ((np.zeros(4000, np.float32), np.ones(4000, np.float32)),)
    return dataclasses.replace(
        evaluation, reference=Reference(Music("some music", ()), *some, pitches, pitches, sounds)
    )
