"""SIGTERM ends a training after its step, with the state saved."""

import os
import signal

import pytest

from tests.support.tiny_run import same_bits, weights
from tests.support.toy_trainer import make, rows
from training.run.run_folder import load_saved
from training.run.termination import Termination, TrainingInterrupted


def terminate():
    os.kill(os.getpid(), signal.SIGTERM)


def test_the_signal_raises_at_once_and_is_handled_as_before_afterwards():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(TrainingInterrupted), Termination():
        terminate()
        raise AssertionError
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_deferred_signal_raises_when_the_block_is_done():
    done = []
    with pytest.raises(TrainingInterrupted), Termination() as termination:
        with termination.deferred():
            terminate()
            done.append("all of it")
        raise AssertionError
    assert done == ["all of it"]


def test_an_error_in_a_deferred_block_is_not_hidden_by_the_signal():
    with pytest.raises(ZeroDivisionError), Termination() as termination, termination.deferred():
        terminate()
        _ = 1 / 0


# The steps of the codec, its last one, and those of the composer.
@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("n_steps", [1, 5, 8, 9, 16])
def test_the_step_is_finished_and_saved_and_the_run_goes_on_from_it(
    tmp_path, uninterrupted, n_steps
):
    reports = []

    def report(*step):
        reports.append(step)
        if len(reports) == n_steps:
            terminate()

    with Termination() as termination, pytest.raises(TrainingInterrupted):
        trainer = make(tmp_path, report=report)
        trainer.termination = termination
        trainer.train()
    # Once agreed upon with all processes, which is in the step after the signal at the latest.
    assert len(reports) - n_steps in (0, 1)
    progress = load_saved(tmp_path / "checkpoint.pt")["progress"]
    assert 8 * progress["stage"] + progress["step"] == len(reports)
    again = make(tmp_path)
    again.resume()
    again.train()
    assert same_bits(weights(again.networks), weights(uninterrupted.networks))
    assert rows(tmp_path) == rows(uninterrupted.directory)
