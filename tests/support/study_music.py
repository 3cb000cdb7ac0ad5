"""Music and settings of a small window study."""

import itertools

import numpy as np

from training.corpus.format import SAMPLE_RATE
from training.inversion_study.experiment import Plan

PLAN = Plan(windows=(256, 512), iterations=(1, 4))
SECONDS = 1.5


def music(seconds=SECONDS, sample_rate=SAMPLE_RATE):
    """A chord whose notes come one after the other, over a little noise; (n_samples,)."""
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    noise = np.random.default_rng(0).standard_normal(len(time))
    notes = (
        np.sin(2 * np.pi * f * n * time) / n * np.clip(5 * (time - start), 0, 1)
        for start, f in ((0.0, 220.0), (0.3, 277.0), (0.6, 330.0))
        for n in range(1, 8)
    )
    return (0.1 * sum(notes) + 0.001 * noise).astype(np.float32)


def ticking():
    """A clock by which everything takes one second."""
    return itertools.count().__next__
