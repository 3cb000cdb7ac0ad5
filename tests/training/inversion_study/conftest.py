"""One small study for all tests."""

import pytest

from tests.support.study_music import PLAN, music, ticking
from training.inversion_study.experiment import run


@pytest.fixture(scope="session")
def studied():
    return run("a chord", music(), PLAN, clock=ticking())
