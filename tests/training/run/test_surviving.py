"""Processes of a training are killed, and another number of them goes on: the curves stay."""

import os
import signal
from contextlib import suppress

import pytest

from tests.soak.killed_training import PATIENCE_SECONDS, apart, has_begun, n_starts, ranks, start
from tests.support.tiny_run import invoke, studio_corpus
from tests.support.waiting import wait_until

N_STEPS = 40
# Of a figure's range, over so few steps.
MOST_APART = 0.02


@pytest.fixture
def begin():
    """`start`, whose processes end with the test."""
    groups = []

    def started(corpus, out, size, **more):
        process = start(corpus, out, N_STEPS, size, **more)
        groups.append((process, size))
        return process

    yield started
    for process, size in groups:
        if process.poll() is None:
            for pid in [process.pid, *ranks(process, size)]:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.wait()


def test_a_killed_group_restarts_in_place_and_another_number_of_processes_goes_on(tmp_path, begin):
    corpus, whole, killed = (tmp_path / name for name in ("corpus", "whole", "killed"))
    result = invoke(studio_corpus(corpus), whole, "--steps", str(N_STEPS))
    assert result.exit_code == 0, result.output
    two = begin(corpus, killed, 2, n_restarts=1)
    assert has_begun(two, killed, 0)
    # torchrun starts both of them again.
    os.kill(ranks(two, 2)[1], signal.SIGKILL)
    assert has_begun(two, killed, 1)
    two.terminate()
    assert two.wait(PATIENCE_SECONDS) != 0
    alone = begin(corpus, killed, 1)
    assert has_begun(alone, killed, 2)
    wait_until((killed / "checkpoint.pt").exists, limit_seconds=PATIENCE_SECONDS)
    alone.terminate()
    assert alone.wait(PATIENCE_SECONDS) == 75
    log = killed.with_suffix(".log").read_text()
    assert "SIGTERM ended the training" in log
    assert "checkpoint.pt is whole: go on with --resume" in log
    assert begin(corpus, killed, 1).wait(PATIENCE_SECONDS) == 0
    assert n_starts(killed) == 4
    assert (killed / "model.pt").is_file()
    distances = apart(whole, killed)
    assert len(distances) > 15
    assert max(most for most, _ in distances.values()) < MOST_APART
