"""Batches of the coming steps, read in a thread of its own while the networks compute."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import TypeVar

from training.helper_threads import helper_threads

Batch = TypeVar("Batch")
N_AHEAD = 4


@contextmanager
def prefetched(read: Callable[[int], Batch], first: int) -> Iterator[Iterator[Batch]]:
    """Yield the batches of the steps from `first` on, in order and without an end.

    One thread reads them, at most `N_AHEAD` steps ahead: a slow disk delays a step only if it is
    slower than the networks. What reading raises, its step raises.

    Parameters
    ----------
    read : callable
        Number of a step → its batch, by that number alone.
    """
    pool = helper_threads("batches")
    coming = deque(pool.submit(read, step) for step in range(first, first + N_AHEAD))

    def batches() -> Iterator[Batch]:
        for step in count(first + N_AHEAD):
            batch = coming.popleft().result()
            coming.append(pool.submit(read, step))
            yield batch

    try:
        yield batches()
    finally:
        pool.shutdown(cancel_futures=True)
