"""A trainer on toy features that can be killed at any report."""

import csv
from dataclasses import replace
from itertools import count

from tests.support.tiny_run import CONFIG, N_SLOTS, toy_features
from training.run.networks import Networks
from training.run.trainer import Budget, Trainer

N_STEPS = 16
HALF_EACH = replace(CONFIG, codec_share=0.5)


class Killed(Exception):
    """Stands for SIGKILL: nothing after it runs."""


def make(directory, config=HALF_EACH, *, features=None, report=None, budget=None):
    directory.mkdir(exist_ok=True)
    return Trainer(
        directory,
        Networks.build(config, N_SLOTS),
        features or toy_features(),
        config,
        budget=budget or Budget(N_STEPS, None),
        report=report or (lambda *_: None),
        clock=count().__next__,
    )


def kill_after(stage, n_reports):
    """A report that kills the run in a stage."""
    seen = count(1)

    def report(name, done, figures):
        del done, figures
        if name == stage and next(seen) == n_reports:
            raise Killed

    return report


def rows(directory):
    """Rows of curves.csv without the seconds."""
    with (directory / "curves.csv").open(newline="") as file:
        return [(r["stage"], int(r["step"]), r["figure"], r["value"]) for r in csv.DictReader(file)]


def values(directory, figure):
    return [float(value) for _, _, name, value in rows(directory) if name == figure]
