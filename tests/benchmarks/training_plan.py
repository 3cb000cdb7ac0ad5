"""What `switchboard train --plan` says beside what the run then needs.

    PYTHONPATH=. python tests/benchmarks/training_plan.py --steps 60 --out /tmp/planned

A plan and a run, one after the other, each in a process of its own: disk, peak of memory, time.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import torch

from device.console import say
from tests.support.tiny_run import CONFIG, options, studio_corpus
from training.corpus.reader import Corpus
from training.run.config import Config
from training.run.plan import make_plan
from training.run.trainer import Budget

MIB = 2**20


def plan(corpus, steps, config):
    """The plan of one process, as a line to print."""
    torch.set_num_threads(1)
    budget, cpu = Budget(steps, None), torch.device("cpu")
    made = make_plan(Corpus.open(corpus), budget, cpu, lambda n: config, most=1)
    (cost,) = made.costs
    features = made.features_bytes / MIB
    return (
        f"{features:.2f} {made.finished_bytes / MIB:.2f} {cost.memory / MIB:.0f} {cost.seconds:.0f}"
    )


def timed(command):
    """Run a command: its output, its peak of memory in MiB, its seconds."""
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"{command[:3]}: status {status}")
    return output, usage.ru_maxrss / 1024, time.monotonic() - began


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--default-sizes", action="store_true")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--plan-only", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    corpus, run = arguments.out / "corpus", arguments.out / "run"
    if arguments.plan_only:
        say(plan(corpus, arguments.steps, Config() if arguments.default_sizes else CONFIG))
        return
    arguments.out.mkdir(parents=True)
    studio_corpus(corpus)
    text, _, _ = timed([sys.executable, *sys.argv, "--plan-only"])
    switchboard = Path(sys.executable).with_name("switchboard")
    train = [switchboard, "train", corpus, "--out", run, "--steps", str(arguments.steps)]
    train += ["--device", "cpu", "--threads", "1"]
    _, memory, seconds = timed([*train, *([] if arguments.default_sizes else options())])
    files = [path for path in run.rglob("*") if path.is_file() and path.name != "page.html"]
    disk = sum(path.stat().st_size for path in files) / MIB
    (features,) = corpus.glob("features-*.npy")
    needed = (
        f"{features.stat().st_size / MIB:.2f}",
        f"{disk:.2f}",
        f"{memory:.0f}",
        f"{seconds:.0f}",
    )
    names = ("analysis, MiB", "finished run, MiB", "memory, MiB", "time, s")
    say("| figure | planned | needed |\n|---|--:|--:|")
    for row in zip(names, text.split(), needed, strict=True):
        say("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
