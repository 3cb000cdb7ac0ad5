"""The cost of a model: measured on this machine, extrapolated to boards from that."""

from dataclasses import replace

import numpy as np
import pytest

from device.synthesis.frame_cache import AHEAD_FRAMES
from export.model.benchmark import BOARDS, Board, Speed, measure_speed
from export.model.graph import DRAWN, Weights, nodes_behind, weights
from tests.support.tiny_model import Sizes, describe

# Four beats at 120 bpm: a loop of two seconds, with four scores composed in each.
CARD = describe(Sizes())


class Ticks:
    """A clock that advances by the next of some durations at every second call."""

    def __init__(self, *seconds):
        self._seconds = iter(seconds)
        self._now = 0.0
        self._started = False

    def __call__(self):
        if self._started:
            self._now += next(self._seconds)
        self._started = not self._started
        return self._now


def test_each_half_is_timed_in_turns_and_the_median_is_taken(network):
    # Compose and render of one, compose and render of the other, three times.
    clock = Ticks(1, 2, 3, 4, 9, 9, 9, 9, 1, 2, 3, 4)
    one, other = measure_speed([network, network], rounds=3, clock=clock)
    assert one == Speed(1e3, 2e3 / AHEAD_FRAMES)
    assert other == Speed(3e3, 4e3 / AHEAD_FRAMES)


def test_what_is_measured_is_the_networks_own_time(network):
    (speed,) = measure_speed([network], rounds=2)
    assert 0 < speed.frame_ms < 1000
    assert 0 < speed.compose_ms < 1000


def test_the_share_of_a_core_is_frames_and_loops_a_second():
    frames = 22050 / 64 * 0.01
    assert Speed(0.0, 0.01).core_percent(CARD) == pytest.approx(frames / 10)
    assert Speed(5.0, 0.0).core_percent(CARD) == pytest.approx(4 / 2.0 * 5.0 / 10)


def test_a_board_takes_twice_as_long_for_twice_the_weights():
    board = Board("Abacus", gigaflops=1.0, gigabytes_per_second=1.0)
    few, many = Weights(1000, 4000), Weights(2000, 8000)
    share = board.core_percent(CARD, few, few)
    assert board.core_percent(CARD, many, many) == pytest.approx(2 * share)
    products = 1000 * (16 * 4 / 2.0 + 22050 / 64)
    fetched = 4000 * (4 / 2.0 + 22050 / 64 / AHEAD_FRAMES)
    assert share == pytest.approx(100 * (2 * products + fetched) / 1e9)


def test_rounded_weights_only_count_as_fetched_faster():
    board = Board("Abacus", gigaflops=1.0, gigabytes_per_second=1.0)
    floats, none = Weights(1000, 4000), Weights(0, 0)
    saved = board.core_percent(CARD, none, floats) - board.core_percent(
        CARD, none, replace(floats, n_bytes=1000)
    )
    assert saved == pytest.approx(100 * 3000 * 22050 / 64 / AHEAD_FRAMES / 1e9)


def test_the_smaller_board_is_the_slower_one():
    share = [board.core_percent(CARD, Weights(9, 9), Weights(9, 9)) for board in BOARDS]
    assert share == sorted(share)


def test_weights_are_counted_for_each_half_and_none_twice(trace):
    compose, render = (weights(trace.graph, *names) for names in (["score"], DRAWN))
    every = {tensor.name: tensor for tensor in trace.graph.initializer}
    read = {name for node in nodes_behind(trace.graph, *DRAWN) for name in node.input}
    assert render.n == sum(np.prod(every[name].dims) for name in read & set(every))
    assert compose.n + render.n <= 1.1 * sum(np.prod(t.dims) for t in every.values())
    assert compose.n_bytes >= 4 * compose.n * 0.9
