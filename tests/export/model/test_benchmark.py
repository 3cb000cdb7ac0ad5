"""The cost of a model: measured on this machine, extrapolated to boards from that."""

from dataclasses import replace

import numpy as np
import pytest

from device.model.network import Network
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
    # Compose, flip and render of one, then of the other, three times.
    usual = (1, 2, 3, 4, 5, 6)
    clock = Ticks(*usual, 9, 9, 9, 9, 9, 9, *usual)
    one, other = measure_speed([network, network], rounds=3, clock=clock)
    assert one == Speed(1e3, 2e3, 3e3 / AHEAD_FRAMES)
    assert other == Speed(4e3, 5e3, 6e3 / AHEAD_FRAMES)


def test_what_is_measured_is_the_networks_own_time(network):
    (speed,) = measure_speed([network], rounds=2)
    assert 0 < speed.frame_ms < 1000
    assert 0 < speed.compose_ms < 1000
    assert 0 < speed.flip_ms < 1000


def test_each_turn_a_new_variation_is_composed_and_then_one_flip_of_it(build_model, monkeypatch):
    calls = []
    network = Network.open(build_model(n_codes=2))
    run = network._run

    def counted(outputs, **feeds):
        calls.append(outputs[0])
        return run(outputs, **feeds)

    monkeypatch.setattr(network, "_run", counted)
    measure_speed([network], rounds=3)
    turn = ["composition", "score", "score", "log_magnitude"]
    assert calls == ["composition", "score", *3 * turn]


def test_the_share_of_a_core_is_frames_and_loops_a_second():
    frames = 22050 / 64 * 0.01
    assert Speed(0.0, 0.0, 0.01).core_percent(CARD) == pytest.approx(frames / 10)
    assert Speed(5.0, 5.0, 0.0).core_percent(CARD) == pytest.approx(4 / 2.0 * 5.0 / 10)
    assert Speed(5.0, 1.0, 0.0).core_percent(CARD) == pytest.approx((5.0 + 3 * 1.0) / 2.0 / 10)


def test_a_board_takes_twice_as_long_for_twice_the_weights():
    board = Board("Abacus", gigaflops=1.0, gigabytes_per_second=1.0)
    few, many = Weights(1000, 4000), Weights(2000, 8000)
    share = board.core_percent(CARD, few, few, few)
    assert board.core_percent(CARD, many, many, many) == pytest.approx(2 * share)
    products = 1000 * (16 * 4 / 2.0 + 22050 / 64)
    fetched = 4000 * (4 / 2.0 + 22050 / 64 / AHEAD_FRAMES)
    assert share == pytest.approx(100 * (2 * products + fetched) / 1e9)


def test_rounded_weights_only_count_as_fetched_faster():
    board = Board("Abacus", gigaflops=1.0, gigabytes_per_second=1.0)
    floats, none = Weights(1000, 4000), Weights(0, 0)
    rounded = replace(floats, n_bytes=1000)
    shares = [board.core_percent(CARD, none, none, render) for render in (floats, rounded)]
    saved = shares[0] - shares[1]
    assert saved == pytest.approx(100 * 3000 * 22050 / 64 / AHEAD_FRAMES / 1e9)


def test_weights_that_no_flip_needs_count_once_a_loop():
    board = Board("Abacus", gigaflops=1.0, gigabytes_per_second=1.0)
    all_of_it, part, none = Weights(1000, 4000), Weights(200, 800), Weights(0, 0)
    one_part = board.core_percent(CARD, all_of_it, all_of_it, none)
    two_parts = board.core_percent(CARD, all_of_it, part, none)
    assert two_parts / one_part == pytest.approx((1000 + 3 * 200) / (4 * 1000))


def test_the_smaller_board_is_the_slower_one():
    share = [board.core_percent(CARD, *3 * [Weights(9, 9)]) for board in BOARDS]
    assert share == sorted(share)


def test_weights_are_counted_for_each_half_and_none_twice(trace):
    compose, render = (weights(trace.graph, *names) for names in (["score"], DRAWN))
    every = {tensor.name: tensor for tensor in trace.graph.initializer}
    read = {name for node in nodes_behind(trace.graph, *DRAWN) for name in node.input}
    assert render.n == sum(np.prod(every[name].dims) for name in read & set(every))
    assert compose.n + render.n <= 1.1 * sum(np.prod(t.dims) for t in every.values())
    assert compose.n_bytes >= 4 * compose.n * 0.9
