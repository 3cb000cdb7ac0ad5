"""Workers: a lost one loses its job only, and memory is limited."""

from __future__ import annotations

import os
import signal
import time

import pytest

from training.corpus.format import CorpusError
from training.corpus.parallel import run_guarded, run_in_workers


def run_job(job):
    """Fail in the way that the job names."""
    if job == "dies":
        os.kill(os.getpid(), signal.SIGSEGV)
    if job == "ends":
        os._exit(3)
    if job == "hangs":
        time.sleep(600.0)
    if job == "allocates":
        return len(bytearray(2**50))
    return job


def test_a_lost_worker_loses_its_own_job_only():
    jobs = ["a", "dies", "b", "ends", "c", "hangs", "d", "dies", "e"]

    def lost(job, reason):
        return f"{job}: {reason}"

    results = sorted(
        run_guarded(
            run_job, jobs, 2, lost=lost, seconds=lambda job: 6.0 if job == "hangs" else 300.0
        )
    )
    assert results == [
        "a", "b", "c", "d",
        "dies: was killed by signal 11", "dies: was killed by signal 11",
        "e", "ends: ended with 3", "hangs: took longer than 6 s",
    ]  # fmt: skip


def test_a_worker_cannot_take_all_memory():
    with pytest.raises(MemoryError):
        list(run_guarded(run_job, ["allocates"], 1, lost=lambda _job, reason: reason))


def test_a_lost_worker_is_a_clear_error_where_every_result_is_needed():
    with pytest.raises(CorpusError, match=r"a worker was lost \(it was killed by signal 11\)"):
        list(run_in_workers(run_job, ["dies", "dies"], 2))
