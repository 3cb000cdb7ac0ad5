"""Frames drawn in chunks: the same from the caller and the helper, and in any pieces."""

import threading
from functools import partial

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from device.errors import ModelFailed
from device.synthesis.frame_cache import AHEAD_FRAMES, FIRST_FRAMES, FrameCache
from device.synthesis.transport import Transport
from tests.support.waiting import wait_until

PATIENCE_SECONDS = 10.0
until = partial(wait_until, limit_seconds=PATIENCE_SECONDS)


class WatchedNetwork:
    """The tiny network; keeps by which thread and in which sizes frames are drawn.

    Parameters
    ----------
    fails_in : collection of str
        Names of the threads in which drawing fails.
    """

    def __init__(self, network, fails_in=()):
        self.card = network.card
        self.calls = []
        self.fails_in = fails_in
        self._network = network

    def frames(self, score, position):
        thread = threading.current_thread().name
        self.calls.append((thread, len(position)))
        if thread in self.fails_in:
            raise ModelFailed("it broke")
        return self._network.frames(score, position)

    @property
    def sizes(self):
        return [n_frames for _, n_frames in self.calls]


@pytest.fixture
def score(network):
    return network.compose(np.array([1, 0, 1], np.float32), np.zeros(2, np.float32))


@pytest.fixture
def other_score(network):
    return network.compose(np.array([0, 1, 1], np.float32), np.zeros(2, np.float32))


@pytest.fixture
def make_cache(network):
    opened = []

    def make(*, ahead=False, **options):
        watched = WatchedNetwork(network, **options)
        opened.append(FrameCache(watched, Transport.of(network.card), ahead=ahead))
        return opened[-1], watched

    yield make
    for cache in opened:
        cache.close()


def drawn(cache, score, first_frame, n_frames):
    out = np.full((n_frames, cache._network.card.n_bins), np.nan, np.float32)
    cache.draw(score, first_frame, out)
    return out


def expected_frames(network, score, first_frame, n_frames):
    """Drawn in the chunks of a score that begins at this frame."""
    transport, chunks, at = Transport.of(network.card), [], first_frame
    sizes = list(FIRST_FRAMES)
    while at < first_frame + n_frames:
        size = sizes.pop(0) if sizes else AHEAD_FRAMES
        chunks.append(network.frames(score, transport.in_loop(transport.beats(at, size))))
        at += size
    return np.concatenate(chunks)[:n_frames]


def test_frames_are_those_of_the_network_in_chunks(make_cache, network, score):
    cache, watched = make_cache()
    assert np.array_equal(drawn(cache, score, 100, 130), expected_frames(network, score, 100, 130))
    assert watched.sizes == [8, 8, 48, 48, 48]


@pytest.mark.parametrize("ahead", [False, True])
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(st.sampled_from([0, 1, 1, 2, 5, 8, 47, 48, 49, 130]), min_size=1, max_size=20),
    first_frame=st.integers(0, 2000),
)
def test_the_frames_do_not_depend_on_the_pieces_nor_on_the_helper(
    network, score, ahead, sizes, first_frame
):
    with FrameCache(network, Transport.of(network.card), ahead=ahead) as cache:
        at, pieces = first_frame, []
        for n_frames in sizes:
            pieces.append(drawn(cache, score, at, n_frames))
            at += n_frames
    expected = expected_frames(network, score, first_frame, at - first_frame + 1)[:-1]
    assert np.concatenate(pieces).tobytes() == expected.tobytes()


def test_the_helper_draws_the_chunk_after_the_one_that_is_read(make_cache, network, score):
    cache, watched = make_cache(ahead=True)
    at = 0
    for n_drawn, size in enumerate((8, 8, 48, 48), start=2):
        frames = [drawn(cache, score, at + n, 1) for n in range(size)]
        assert np.array_equal(
            np.concatenate(frames), expected_frames(network, score, 0, at + size)[at:]
        )
        at += size
        until(lambda n_drawn=n_drawn: len(watched.calls) >= n_drawn)
        until(lambda: cache._next.frames is not None)
    threads = [thread for thread, _ in watched.calls]
    assert threads == [threading.current_thread().name, *["frames"] * 4]
    assert watched.sizes == [8, 8, 48, 48, 48]
    assert cache.helper_seconds > 0


def test_rows_that_are_drawn_already_are_given_without_drawing(make_cache, score, other_score):
    cache, watched = make_cache()
    assert len(cache.rows_from(score, 5)) == 0
    first = drawn(cache, score, 5, 8)
    assert np.array_equal(cache.rows_from(score, 5), first)
    assert np.array_equal(cache.rows_from(score, 10), first[5:])
    for nothing in [(score, 4), (score, 13), (other_score, 5)]:
        assert cache.rows_from(*nothing).shape == (0, watched.card.n_bins)
    assert watched.sizes == [8]


def test_another_score_or_position_begins_with_the_small_chunks_again(
    make_cache, network, score, other_score
):
    cache, watched = make_cache()
    drawn(cache, score, 0, 70)
    for other, first_frame in ((other_score, 70), (score, 70), (score, 30)):
        watched.calls.clear()
        assert np.array_equal(
            drawn(cache, other, first_frame, 20),
            expected_frames(network, other, first_frame, 20),
        )
        assert watched.sizes == [8, 8, 48]


def test_a_chunk_that_was_asked_for_and_is_not_read_any_more_is_not_drawn(
    make_cache, score, other_score, monkeypatch
):
    begun, released = threading.Event(), threading.Event()

    def waiting(_seconds):
        begun.set()
        assert released.wait(PATIENCE_SECONDS)

    cache, watched = make_cache(ahead=True)
    with monkeypatch.context() as patch:
        patch.setattr("device.synthesis.frame_cache.time.sleep", waiting)
        drawn(cache, score, 0, 1)
        assert begun.wait(PATIENCE_SECONDS)
        drawn(cache, other_score, 1, 1)
        released.set()
        cache._requests.put(cache._next)
    until(lambda: cache._next.frames is not None)
    by_helper = [size for thread, size in watched.calls if thread == "frames"]
    assert by_helper == [8]


@pytest.mark.parametrize("ahead", [False, True])
def test_where_the_network_fails_the_error_is_the_callers_own(make_cache, score, ahead):
    cache, watched = make_cache(ahead=ahead)
    drawn(cache, score, 0, 1)
    if ahead:
        until(lambda: cache._next.frames is not None)
    watched.fails_in = {"frames", threading.current_thread().name}
    if ahead:
        drawn(cache, score, 8, 1)  # of the chunk that was drawn while all was well
        until(lambda: watched.calls[-1] == ("frames", 48))
    with pytest.raises(ModelFailed, match="it broke"):
        drawn(cache, score, 8, 9)


def test_a_helper_that_fails_costs_nothing_but_the_time_of_the_caller(make_cache, network, score):
    cache, watched = make_cache(ahead=True, fails_in={"frames"})
    frames = []
    for n in range(130):
        frames.append(drawn(cache, score, n, 1))
        if n in (0, 8, 16, 64):
            until(lambda: watched.calls[-1][0] == "frames")
    assert np.array_equal(np.concatenate(frames), expected_frames(network, score, 0, 130))


def test_closing_ends_the_helper_and_may_be_repeated(make_cache, score):
    cache, _ = make_cache(ahead=True)
    drawn(cache, score, 0, 1)
    cache.close()
    cache.close()
    assert "frames" not in {thread.name for thread in threading.enumerate()}


def test_a_closed_cache_still_draws(make_cache, network, score):
    cache, _ = make_cache(ahead=True)
    cache.close()
    assert np.array_equal(drawn(cache, score, 0, 70), expected_frames(network, score, 0, 70))


def test_held_frames_are_drawn_half_as_often_and_last_two_hops(make_cache, network, score):
    cache, watched = make_cache()
    cache.held_frames = 2
    frames = drawn(cache, score, 100, 64)
    assert watched.sizes == [4, 4, 24]
    assert np.array_equal(frames[::2], frames[1::2])
    transport = Transport.of(network.card)
    positions = transport.in_loop(transport.beats(100, 64))[::2]
    np.testing.assert_allclose(frames[::2], network.frames(score, positions), rtol=1e-4)


def test_frames_are_held_from_the_next_chunk_on(make_cache, network, score):
    cache, watched = make_cache()
    drawn(cache, score, 100, 2)
    cache.held_frames = 2
    drawn(cache, score, 102, 30)
    assert watched.sizes == [8, 4, 24]
