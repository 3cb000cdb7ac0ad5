"""Scores composed ahead: which are ready, which are evicted, and how the helper ends."""

import threading
from functools import partial
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest

from device.model.bundled import BUNDLED_MODEL
from device.model.summary import read_card
from device.synthesis.score_cache import MOST_BYTES, ScoreCache
from device.synthesis.variation import SongForm
from tests.support.waiting import wait_until

OFF = (False, False, False)
PATIENCE_SECONDS = 10.0
until = partial(wait_until, limit_seconds=PATIENCE_SECONDS)


def flips_of(bits):
    return [(*bits[:i], not bits[i], *bits[i + 1 :]) for i in range(len(bits))]


class CountingNetwork:
    """The tiny network, with a record of every compose."""

    def __init__(self, network):
        self.card = network.card
        self.composed = []
        self._network = network
        self._changed = threading.Condition()

    def compose(self, switches, variation):
        score = self._network.compose(switches, variation)
        with self._changed:
            self.composed.append(tuple(bool(s) for s in switches))
            self._changed.notify_all()
        return score

    def prepare(self, variation):
        self._network.prepare(variation)

    def wait_for(self, n_composed):
        with self._changed:
            return self._changed.wait_for(
                lambda: len(self.composed) >= n_composed, PATIENCE_SECONDS
            )


@pytest.fixture
def counting(network):
    return CountingNetwork(network)


@pytest.fixture
def make_scores(counting):
    opened = []

    def make(**options):
        opened.append(ScoreCache(counting, SongForm(2, seed=3), **options))
        return opened[-1]

    yield make
    for scores in opened:
        scores.close()


@pytest.fixture
def slow_composing(monkeypatch):
    """Whatever it takes, composing counts as slow."""
    monkeypatch.setattr("device.synthesis.score_cache.SLOW_SECONDS", -1.0)


@pytest.fixture
def fast_composing(monkeypatch):
    """Whatever it takes, composing counts as fast."""
    monkeypatch.setattr("device.synthesis.score_cache.SLOW_SECONDS", 1e9)


def helpers():
    return [thread for thread in threading.enumerate() if thread.name == "scores"]


def test_a_score_is_the_networks_for_its_bits_and_pass(make_scores, network):
    expected = network.compose(np.array([1, 0, 1], np.float32), SongForm(2, seed=3).at(5))
    assert np.array_equal(make_scores(ahead=False).get((True, False, True), 5), expected)


def test_a_score_is_composed_once(make_scores, counting):
    scores = make_scores(ahead=False)
    assert scores.get(OFF, 0) is scores.get(OFF, 0)
    assert (scores.n_misses, len(counting.composed)) == (1, 1)


@pytest.mark.parametrize(("prepare", "compose", "is_slow"), [(9.0, 0.001, False), (0.0, 9.0, True)])
def test_what_all_states_of_a_passage_share_makes_no_flip_slow(
    counting, monkeypatch, prepare, compose, is_slow
):
    now = [0.0]

    def takes(seconds, call):
        def timed(*arguments):
            now[0] += seconds
            return call(*arguments)

        return timed

    monkeypatch.setattr(counting, "prepare", takes(prepare, counting.prepare))
    monkeypatch.setattr(counting, "compose", takes(compose, counting.compose))
    clock = SimpleNamespace(thread_time=lambda: now[0])
    monkeypatch.setattr("device.synthesis.score_cache.time", clock)
    with ScoreCache(counting, SongForm(2, seed=3), ahead=False) as scores:
        scores.get(OFF, 0)
        assert scores.is_slow == is_slow


def test_without_a_helper_only_requested_scores_are_composed(make_scores, counting):
    scores = make_scores(ahead=False)
    for passage in range(4):
        scores.get(OFF, passage)
    assert counting.composed == [OFF] * 4


@pytest.mark.usefixtures("slow_composing")
def test_where_composing_is_slow_every_flip_and_the_next_pass_are_ready(make_scores, counting):
    scores = make_scores(ahead=True)
    scores.get(OFF, 0)
    assert counting.wait_for(5)  # the state itself, three flips, the next pass
    # Scores that each flip needs and that are not there yet: 2 flips and a pass, 1 and 1, 0 and 1.
    for flip, n_composed in zip(flips_of(OFF), (8, 10, 11), strict=True):
        scores.get(flip, 0)
        assert counting.wait_for(n_composed)
    scores.get(OFF, 1)
    assert scores.n_misses == 1


@pytest.mark.usefixtures("fast_composing")
def test_where_composing_is_fast_the_next_pass_alone_is_ready(make_scores, counting):
    scores = make_scores(ahead=True)
    for passage in range(3):
        scores.get(OFF, passage)
        until(lambda index=passage: scores.has((OFF, index + 1)))
    assert counting.composed == [OFF] * 4
    assert scores.n_misses == 1
    scores.get((True, False, False), 2)
    until(lambda: scores.has(((True, False, False), 3)))
    assert counting.composed == [OFF] * 4 + [(True, False, False)] * 2
    assert not scores.is_slow


@pytest.mark.usefixtures("slow_composing")
def test_without_a_flip_for_two_passes_the_flips_are_not_composed_any_more(make_scores, counting):
    scores = make_scores(ahead=True)
    n_composed = 1
    for passage, n_ahead in enumerate((4, 4, 1, 1)):
        scores.get(OFF, passage)
        n_composed += n_ahead
        assert counting.wait_for(n_composed)
        until(lambda index=passage: scores.has((OFF, index + 1)))
    assert len(counting.composed) == n_composed
    assert not any(scores.has((flip, 3)) for flip in flips_of(OFF))


@pytest.mark.usefixtures("slow_composing")
def test_the_first_flip_after_a_pause_has_its_neighbours_composed_again(make_scores):
    scores = make_scores(ahead=True)
    for passage in range(4):
        scores.get(OFF, passage)
        until(lambda index=passage: scores.has((OFF, index + 1)))
    flipped = (True, False, False)
    scores.get(flipped, 3)
    for key in [*((flip, 3) for flip in flips_of(flipped)), (flipped, 4)]:
        until(lambda key=key: scores.has(key))
    assert scores.is_slow


def test_a_score_that_is_requested_is_composed_by_the_helper(make_scores, counting):
    scores = make_scores(ahead=True)
    key = ((True, True, True), 3)
    assert not scores.has(key)
    scores.request(key)
    until(lambda: scores.has(key))
    scores.get(*key)
    assert scores.n_misses == 0


def test_a_request_comes_before_what_is_composed_ahead(network, slow_composing):
    begun, released = threading.Event(), threading.Event()

    class WaitingNetwork(CountingNetwork):
        def compose(self, switches, variation):
            if threading.current_thread().name == "scores" and not begun.is_set():
                begun.set()
                assert released.wait(PATIENCE_SECONDS)
            return super().compose(switches, variation)

    waiting = WaitingNetwork(network)
    with ScoreCache(waiting, SongForm(2, seed=0), ahead=True) as scores:
        scores.get(OFF, 0)
        assert begun.wait(PATIENCE_SECONDS)
        scores.request(((True, True, True), 0))
        released.set()
        assert waiting.wait_for(3)
    # The one that had begun is finished; the other flips come after the request.
    assert waiting.composed[:3] == [OFF, flips_of(OFF)[0], (True, True, True)]


def test_a_score_that_both_threads_compose_at_once_stays_the_same(network, slow_composing):
    """Another one with the same numbers would be taken for a change of score."""
    begun, released = threading.Event(), threading.Event()

    class WaitingNetwork(CountingNetwork):
        def compose(self, switches, variation):
            if threading.current_thread().name == "scores":
                begun.set()
                assert released.wait(PATIENCE_SECONDS)
            return super().compose(switches, variation)

    waiting = WaitingNetwork(network)
    first_flip = flips_of(OFF)[0]
    with ScoreCache(waiting, SongForm(2, seed=0), ahead=True) as scores:
        scores.get(OFF, 0)
        assert begun.wait(PATIENCE_SECONDS)  # the helper composes the first flip
        score = scores.get(first_flip, 0)
        released.set()
        until(lambda: scores.has((first_flip, 1)))
        assert scores.get(first_flip, 0) is score


@pytest.mark.usefixtures("slow_composing")
def test_a_change_of_several_switches_is_a_miss_with_the_right_score(
    make_scores, counting, network
):
    scores = make_scores(ahead=True)
    scores.get(OFF, 0)
    assert counting.wait_for(5)
    score = scores.get((True, True, True), 0)
    expected = network.compose(np.ones(3, np.float32), SongForm(2, seed=3).at(0))
    assert np.array_equal(score, expected)
    assert scores.n_misses == 2


def test_scores_do_not_depend_on_the_helper(make_scores, counting):
    on_demand, ahead = make_scores(ahead=False), make_scores(ahead=True)
    for passage, bits in enumerate(product((False, True), repeat=3)):
        assert np.array_equal(on_demand.get(bits, passage), ahead.get(bits, passage))


@pytest.mark.parametrize(
    ("ahead", "slow_seconds", "n_kept"), [(False, -1.0, 1), (True, -1.0, 5), (True, 1e9, 2)]
)
def test_scores_of_past_passes_are_evicted(make_scores, monkeypatch, ahead, slow_seconds, n_kept):
    monkeypatch.setattr("device.synthesis.score_cache.SLOW_SECONDS", slow_seconds)
    scores = make_scores(ahead=ahead)
    states = list(product((False, True), repeat=3))
    for passage in range(50):
        scores.get(states[passage % 8], passage)
    if ahead:
        until(lambda: (states[1], 50) in scores._scores and len(scores._scores) == n_kept)
    assert {passage for _, passage in scores._scores} == ({49, 50} if ahead else {49})
    assert len(scores._scores) == n_kept


@pytest.mark.parametrize("ahead", [False, True])
def test_closing_ends_the_helper_and_may_be_repeated(counting, ahead):
    with ScoreCache(counting, SongForm(2, seed=0), ahead=ahead) as scores:
        scores.get(OFF, 0)
    scores.close()
    scores.close()
    assert helpers() == []


def test_scores_of_a_pass_that_never_ends_are_evicted_too(make_scores, counting, monkeypatch):
    monkeypatch.setattr("device.synthesis.score_cache.MOST_SCORES", 3)
    scores = make_scores(ahead=False)
    states = list(product((False, True), repeat=3))
    for bits in states:
        scores.get(bits, 0)
    assert [bits for bits, _ in scores._scores] == states[-3:]
    scores.get(states[-1], 0)
    assert scores.n_misses == len(states)


@pytest.mark.usefixtures("slow_composing")
def test_closing_does_not_wait_for_scores_that_will_not_be_played(network):
    released, begun = threading.Event(), threading.Event()

    class SlowNetwork(CountingNetwork):
        def compose(self, switches, variation):
            if threading.current_thread().name == "scores":
                begun.set()
                released.wait(0.2)
            return super().compose(switches, variation)

    slow = SlowNetwork(network)
    scores = ScoreCache(slow, SongForm(2, seed=0), ahead=True)
    scores.get(OFF, 0)
    assert begun.wait(PATIENCE_SECONDS)
    scores.close()
    released.set()
    # The one that had begun is finished, the other three are not begun.
    assert len(slow.composed) <= 2


def test_a_closed_cache_still_composes(make_scores):
    scores = make_scores(ahead=True)
    scores.close()
    assert scores.get(OFF, 7).shape == (16, 8)


class LargeNetwork:
    """A network whose scores have a given size."""

    def __init__(self, n_switches, n_bytes):
        self.card = SimpleNamespace(
            n_switches=n_switches, n_slots=1024, n_channels=n_bytes // 4 // 1024
        )

    def prepare(self, variation):
        pass

    def compose(self, switches, variation):
        # Zeros that are never touched take no memory.
        return np.zeros((self.card.n_slots, self.card.n_channels), np.float32)


@pytest.mark.parametrize("ahead", [False, True])
@pytest.mark.parametrize("mebibytes", [1, 3, 8, 16, 31, 100])
@pytest.mark.usefixtures("slow_composing")
def test_the_scores_are_bounded_in_bytes_and_those_that_play_are_kept(mebibytes, ahead):
    n_bytes = mebibytes * 2**20
    rng = np.random.default_rng(mebibytes)
    bits = (False,) * 10
    with ScoreCache(LargeNetwork(10, n_bytes), SongForm(2, seed=0), ahead=ahead) as scores:
        for step in range(60):
            if step % 3:
                flip = int(rng.integers(10))
                bits = (*bits[:flip], not bits[flip], *bits[flip + 1 :])
            passage = step // 20
            playing = scores.get(bits, passage)
            if ahead:
                scores._requests.put((bits, passage))
                if MOST_BYTES // n_bytes > 1:
                    until(lambda key=(bits, passage + 1): scores.has(key))
            # One more is there for a moment, before the oldest goes.
            n_used = sum(score.nbytes for score in list(scores._scores.values()))
            assert n_used <= max(MOST_BYTES, n_bytes) + n_bytes * ahead
            assert scores.get(bits, passage) is playing
    n_used = sum(score.nbytes for score in scores._scores.values())
    assert n_used <= max(MOST_BYTES, n_bytes)


def test_the_bundled_model_keeps_every_flip_and_the_next_pass():
    card = read_card(BUNDLED_MODEL)
    assert (card.n_switches + 2) * card.n_slots * card.n_channels * 4 <= MOST_BYTES
