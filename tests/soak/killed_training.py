"""A training that is killed again and again, each time with another number of processes after it.

    PYTHONPATH=. python tests/soak/killed_training.py --kills 20 --out /tmp/killed

A tiny training on a studio corpus, once without a kill in one process, once in two, and once killed
at random moments: one process of the group or all of them by SIGKILL, or the starter by SIGTERM.
The same command with `--resume auto` starts it again. Prints the kills as a table, and how far the
curves of the last two lie from those of the first. Ends with status 1 if a killed training does
not end, its curves have other steps, or they lie further away than rounding takes those of two
processes (`MOST_TIMES`, `MOST_MORE`).
"""

import argparse
import csv
import os
import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

import numpy as np

from device.console import say
from tests.support.tiny_run import options, studio_corpus

SWITCHBOARD = Path(sys.executable).with_name("switchboard")
WAYS = ("one by SIGKILL", "all by SIGKILL", "SIGTERM")
SIZES = (1, 2, 3)
# A start, with other work on the machine.
PATIENCE_SECONDS = 600.0
# Of the mean distance of a curve: so many times that of two processes without a kill, and so much
# of the figure's range more. Rounding grows over the steps, for some figures to several percent.
MOST_TIMES, MOST_MORE = 2.0, 0.01
# torchrun's shared store keeps addresses of processes that have died.
ENVIRONMENT = {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1", "OMP_NUM_THREADS": "1"}


def start(corpus, out, n_steps, size, *, n_restarts=0):
    """Start a training of so many processes, in a process group of its own."""
    command = [str(SWITCHBOARD), "train", str(corpus), "--out", str(out), *options()]
    command += ["--steps", str(n_steps), "--device", "cpu", "--threads", "1"]
    command += ["--resume", "auto", "--checkpoint-every", "1"]
    if size > 1:
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        torchrun += ["--nproc-per-node", str(size), "--max-restarts", str(n_restarts)]
        command = [*torchrun, *command]
    with out.with_suffix(".log").open("ab") as log:
        return subprocess.Popen(
            command,
            env={**os.environ, **ENVIRONMENT},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def n_starts(out):
    """How many times a training has begun, or gone on."""
    with suppress(FileNotFoundError):
        return (out / "starts.csv").read_text().count("\n") - 1
    return 0


def has_begun(process, out, before):
    """Wait until the training takes steps; whether it does, and has not ended."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while n_starts(out) <= before and process.poll() is None:
        if time.monotonic() > deadline:
            raise TimeoutError(f"no step after {PATIENCE_SECONDS:.0f} s; see {out}.log")
        time.sleep(0.05)
    return process.poll() is None


def ranks(process, size):
    """The processes that train."""
    if size == 1:
        return [process.pid]
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    return [int(pid) for pid in children.split()]


def kill(process, size, way, rng):
    """Kill a training; its status."""
    if way == "SIGTERM":
        process.terminate()
        return process.wait(PATIENCE_SECONDS)
    victims = ranks(process, size)
    if way == "all by SIGKILL":
        # The starter first, or it ends the others in its own way; each rank has a session.
        victims = [process.pid, *victims]
    else:
        victims = [rng.choice(victims or [process.pid])]
    for victim in victims:
        with suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
    return process.wait(PATIENCE_SECONDS)


def kill_repeatedly(corpus, out, n_steps, n_kills, mean_seconds, rng):
    """Train with kills; what happened at each, as rows of a table."""
    rows, size = [], 0
    for number in range(n_kills):
        size = rng.choice([each for each in SIZES if each != size])
        way = WAYS[number % len(WAYS)]
        before = n_starts(out)
        process = start(corpus, out, n_steps, size)
        # Every fourth one before its first step.
        if number % 4 == 3:
            time.sleep(rng.uniform(0.0, 10.0))
        elif has_begun(process, out, before):
            time.sleep(rng.expovariate(1 / mean_seconds))
        if process.poll() is not None:
            break
        status = kill(process, size, way, rng)
        rows.append((number + 1, size, way, status, *latest_start(out, before)))
        say("| " + " | ".join(map(str, rows[-1])) + " |")
    size = rng.choice([each for each in SIZES if each != size])
    status = start(corpus, out, n_steps, size).wait(PATIENCE_SECONDS)
    if status:
        raise RuntimeError(f"the last start of {size} ended with status {status}; see {out}.log")
    return rows


def latest_start(out, before):
    """Stage and step of the latest start, if there was one."""
    if n_starts(out) <= before:
        return "-", "before its first step"
    with (out / "starts.csv").open(newline="") as file:
        row = list(csv.DictReader(file))[-1]
    return row["stage"], row["step"]


def figures(out):
    """(stage, figure) → ({step: value})."""
    series = defaultdict(dict)
    with (out / "curves.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            series[row["stage"], row["figure"]][int(row["step"])] = float(row["value"])
    return series


def apart(first, second):
    """Largest and mean distance of two curves of every figure, relative to the figure's range."""
    of_first, of_second = figures(first), figures(second)
    if {k: list(v) for k, v in of_first.items()} != {k: list(v) for k, v in of_second.items()}:
        raise ValueError(f"{first} and {second} have rows of other steps or figures")
    distances = {}
    for name, points in of_first.items():
        values = np.array([list(points.values()), list(of_second[name].values())])
        scale = max(float(np.ptp(values[0])), 1e-9)
        distance = np.abs(values[0] - values[1]) / scale
        distances[name] = float(distance.max()), float(distance.mean())
    return distances


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--mean-seconds", type=float, default=4.0, help="of training per start")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    # What is there already is used.
    arguments.out.mkdir(parents=True, exist_ok=True)
    corpus = studio_corpus(arguments.out / "corpus")
    whole, in_two, killed = (arguments.out / name for name in ("whole", "in-two", "killed"))
    for out, size in ((whole, 1), (in_two, 2)):
        began = time.monotonic()
        assert start(corpus, out, arguments.steps, size).wait() == 0
        say(f"{out.name}: {time.monotonic() - began:.0f} s")
    say("| kill | processes | how | status | from stage | from step |", "|--:|--:|---|--:|--:|--:|")
    rng = random.Random(arguments.seed)
    rows = kill_repeatedly(
        corpus, killed, arguments.steps, arguments.kills, arguments.mean_seconds, rng
    )
    say(f"{len(rows)} kills, {n_starts(killed)} starts that took steps")
    two, after_kills = apart(whole, in_two), apart(whole, killed)
    say("| figure | in two processes, most, mean | after the kills, most, mean |", "|---|--:|--:|")
    for name, distances in after_kills.items():
        cells = (f"{100 * a:.2f} %, {100 * b:.2f} %" for a, b in (two[name], distances))
        say(f"| {' '.join(name)} | " + " | ".join(cells) + " |")
    far = [
        name
        for name, (_, mean) in after_kills.items()
        if mean > MOST_TIMES * two[name][1] + MOST_MORE
    ]
    return int(len(rows) < arguments.kills or bool(far))


if __name__ == "__main__":
    raise SystemExit(main())
