"""Batches come in order, a few steps ahead, from a thread of their own."""

import threading
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.run.prefetch import N_AHEAD, prefetched


@given(first=st.integers(0, 10**6), n=st.integers(0, 30))
def test_batches_are_those_of_their_steps_in_order(first, n):
    with prefetched(lambda step: 7 * step, first) as batches:
        assert list(islice(batches, n)) == [7 * step for step in range(first, first + n)]


def test_no_batch_is_read_more_than_a_few_steps_ahead():
    read = []
    with prefetched(lambda step: read.append(step) or step, 0) as batches:
        for step in batches:
            assert max(read) <= step + N_AHEAD
            if step == 20:
                break
    assert read == sorted(read)
    assert len(read) <= 21 + N_AHEAD


def test_batches_are_read_while_the_networks_compute():
    second = threading.Event()
    with prefetched(lambda step: step == 1 and second.set(), 0) as batches:
        next(batches)
        assert second.wait(60)


def test_what_reading_raises_its_step_raises():
    def read(step):
        if step == 2:
            raise OSError("a disk that fails")
        return step

    with prefetched(read, 0) as batches:
        assert [next(batches), next(batches)] == [0, 1]
        with pytest.raises(OSError, match="a disk that fails"):
            next(batches)
