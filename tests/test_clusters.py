"""The examples for schedulers: the script of Slurm, run with programs in place of its own."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

CLUSTERS = Path(__file__).parents[1] / "docs/clusters"
# Writes down its arguments; a training that is finished makes the file of its networks.
SRUN = """#!/bin/sh
echo "$@" > "$NOTES/srun"
trap 'echo TERM > "$NOTES/signal"; exit 1' TERM
if [ "$ENDS" = finished ]; then touch "$RUN/model.pt"; fi
if [ "$ENDS" = late ]; then while true; do sleep 0.05; done; fi
"""
SCONTROL = """#!/bin/sh
if [ "$1" = show ]; then echo node-1; echo node-2; fi
if [ "$1" = requeue ]; then echo "$2" > "$NOTES/requeued"; fi
"""


@pytest.fixture
def job(tmp_path):
    """Starts the script of Slurm in a job of two nodes; returns its process."""
    programs, run = tmp_path / "bin", tmp_path / "run"
    programs.mkdir()
    run.mkdir()
    for name, text in {"srun": SRUN, "scontrol": SCONTROL, "switchboard": ""}.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)

    errors = (tmp_path / "errors").open("ab")

    def begin(ends, restarts=0):
        return subprocess.Popen(
            ["bash", CLUSTERS / "slurm.sbatch", "corpus", run, "--minutes", "600"],
            env={
                "PATH": f"{programs}:{os.environ['PATH']}",
                "NOTES": str(tmp_path),
                "RUN": str(run),
                "ENDS": ends,
                "SLURM_JOB_ID": "17",
                "SLURM_JOB_NODELIST": "node-[1-2]",
                "SLURM_NNODES": "2",
                "SLURM_GPUS_ON_NODE": "4",
                "SLURM_RESTART_COUNT": str(restarts),
            },
            stderr=errors,
        )

    yield begin
    errors.close()


def test_a_finished_training_is_not_queued_again(job, tmp_path):
    assert job("finished").wait(60) == 0
    arguments = (tmp_path / "srun").read_text()
    assert "--nnodes 2 --nproc-per-node 4" in arguments
    assert "--rdzv-endpoint node-1:29500" in arguments
    assert f"train corpus --out {tmp_path / 'run'} --resume auto --minutes 600" in arguments
    assert not (tmp_path / "requeued").exists()


def test_one_that_failed_is_queued_again_but_not_for_ever(job, tmp_path):
    assert job("failed").wait(60) == 0
    assert (tmp_path / "requeued").read_text() == "17\n"
    (tmp_path / "requeued").unlink()
    assert job("failed", restarts=50).wait(60) == 1
    assert "not finished after 50 restarts" in (tmp_path / "errors").read_text()
    assert not (tmp_path / "requeued").exists()


def test_the_signal_before_the_time_limit_reaches_the_training(job, tmp_path):
    late = job("late")
    while not (tmp_path / "srun").exists():
        time.sleep(0.02)
    late.send_signal(signal.SIGTERM)
    assert late.wait(60) == 0
    assert (tmp_path / "signal").read_text() == "TERM\n"
    assert (tmp_path / "requeued").exists()


@pytest.mark.parametrize("name", ["slurm.sbatch", "kubernetes.yaml"])
def test_an_example_goes_on_by_itself_and_sets_what_restarts_need(name):
    text = (CLUSTERS / name).read_text()
    assert "--resume auto" in text
    assert "TORCH_DISABLE_SHARE_RDZV_TCP_STORE" in text
