"""Scores composed in advance: those that any single flip would need."""

import time
from collections.abc import Collection
from contextlib import suppress
from queue import Empty, SimpleQueue

import numpy as np

from device.closeable import Closeable
from device.errors import ModelFailed
from device.model.network import Network, Score
from device.switches.bits import Bits, flipped
from device.synthesis.variation import SongForm
from device.system.threads import SupervisedThread

ScoreKey = tuple[Bits, int]

# With a frozen variation no score expires, and the scores of all states would not fit in memory.
MOST_SCORES = 64
# The size of a score depends on the model.
MOST_BYTES = 32 * 2**20
WAIT_SECONDS = 5.0
IDLE_PASSAGES = 2
# What takes less is composed when a flip needs it: the sound that is queued bridges that.
SLOW_SECONDS = 0.006
# The block is made first: the helper takes the interpreter and a core from it.
START_SECONDS = 0.003


class ScoreCache(Closeable):
    """The score of any bits in any passage of the song, usually without waiting.

    A helper thread composes the bits that play for the next passage. Where composing is slow, it
    also composes all bits one flip away for this passage, unless no switch was flipped for
    `IDLE_PASSAGES`. A score that is not there yet is composed in the caller's thread, so the
    samples never depend on how fast the helper was.

    Parameters
    ----------
    ahead : bool
        False composes on demand only, for rendering faster than real time.

    Attributes
    ----------
    n_misses : int
        Scores that were composed in the caller's thread.
    helper_seconds : float
        Processor time of the helper.
    is_slow : bool
        Whether the latest score took so long that a block had better not wait for one. What all
        states of a passage share does not count.
    """

    def __init__(self, network: Network, form: SongForm, *, ahead: bool = True) -> None:
        self._network = network
        self._form = form
        self._scores: dict[ScoreKey, Score] = {}
        self._requests: SimpleQueue[ScoreKey | None] = SimpleQueue()
        self._latest: ScoreKey | None = None
        self._latest_request: ScoreKey | None = None
        card = network.card
        n_bytes = card.n_slots * card.n_channels * np.dtype(np.float32).itemsize
        # Never fewer than the one that plays.
        self._capacity = max(1, min(MOST_SCORES, MOST_BYTES // n_bytes))
        self._helper: SupervisedThread | None = None
        self.n_misses = 0
        self.helper_seconds = 0.0
        self.is_slow = False
        self._flipped_in = 0
        if ahead:
            self._helper = SupervisedThread("scores", self._compose_ahead)

    def close(self) -> None:
        """End the helper; idempotent."""
        if self._helper is not None:
            self._helper.end()
            self._requests.put(None)
            self._helper.close()

    def get(self, bits: Bits, passage: int) -> Score:
        """The score of bits in one passage."""
        key = (bits, passage)
        score = self._scores.get(key)
        if score is None:
            self.n_misses += 1
            score = self._keep(key)
            self._evict({key})
        if key != self._latest:
            if self._latest is None or bits != self._latest[0]:
                self._flipped_in = passage
            self._latest = key
            if self._helper is not None:
                self.request(key)
            else:
                self._evict({key})
        return score

    def has(self, key: ScoreKey) -> bool:
        """Whether a score is there."""
        return key in self._scores

    def request(self, key: ScoreKey) -> None:
        """Have the helper compose a score before all others."""
        if key != self._latest_request:
            self._latest_request = key
            self._requests.put(key)

    def _keep(self, key: ScoreKey) -> Score:
        """Compose a score; where the other thread has done so meanwhile, that one stays."""
        return self._scores.setdefault(key, self._compose(key))

    def _compose(self, key: ScoreKey) -> Score:
        bits, passage = key
        variation = self._form.at(passage)
        # Not timed: the flips of a passage that plays find it there.
        self._network.prepare(variation)
        started = time.thread_time()
        score = self._network.compose(np.array(bits, np.float32), variation)
        self.is_slow = time.thread_time() - started > SLOW_SECONDS
        return score

    def _compose_ahead(self) -> None:
        key = self._newest_request()
        if key is None:
            return
        started = time.thread_time()
        is_idle = key[1] - self._flipped_in >= IDLE_PASSAGES
        next_passage = [(key[0], key[1] + 1)]
        all_nearest = self.is_slow and not is_idle
        nearest = _neighbours(key, self._capacity - 1) if all_nearest else next_passage
        for near in [key, *nearest]:
            if not self._requests.empty():  # a newer request, or None for the end
                break
            if near not in self._scores:
                # It fails again, and is reported, when `get` composes it.
                with suppress(ModelFailed):
                    self._keep(near)
                self._evict({key, *nearest})
        self._evict({key, *nearest})
        self.helper_seconds += time.thread_time() - started

    def _newest_request(self) -> ScoreKey | None:
        key: ScoreKey | None = None
        with suppress(Empty):
            key = self._requests.get(timeout=WAIT_SECONDS)
            if key is not None and key in self._scores:
                time.sleep(START_SECONDS)
            while True:
                key = self._requests.get_nowait()
        return key

    def _evict(self, kept: Collection[ScoreKey]) -> None:
        """Drop scores of past passages, then the oldest above the capacity, none of `kept`."""
        first = min(passage for _, passage in kept)
        keys = list(self._scores)  # oldest first
        past = [key for key in keys if key[1] < first]
        spare = [key for key in keys if key[1] >= first and key not in kept]
        n_present = len(keys) - len(past)
        for key in past + spare[: max(n_present - self._capacity, 0)]:
            self._scores.pop(key, None)


def _neighbours(key: ScoreKey, most: int) -> list[ScoreKey]:
    """Every single flip in this passage, then the bits themselves in the next.

    Where the capacity is too small for all, the next passage comes before the flips: it will be
    played.
    """
    bits, passage = key
    flips = [flipped(bits, i) for i in range(len(bits))]
    nearest = [(flip, passage) for flip in flips[: max(most - 1, 0)]]
    return [*nearest, (bits, passage + 1)][:most]
