"""Scores ahead of time: what any single flip would need is composed before it happens."""

import time
from collections.abc import Collection
from contextlib import suppress
from queue import Empty, SimpleQueue

import numpy as np

from device.closeable import Closeable
from device.errors import ModelFailed
from device.model.network import Network, Score
from device.switches.bits import Bits
from device.synthesis.variation import VariationWalk
from device.system.threads import SupervisedThread

ScoreKey = tuple[Bits, int]

# A held variation never leaves its turn, and a panel has more states than a box has memory.
MOST_PAGES = 64
# A model decides how large its scores are.
MOST_BYTES = 32 * 2**20


class ScoreCache(Closeable):
    """The score of any panel state in any turn of the loop, usually without waiting.

    A helper thread composes every state one flip away from the one that plays, for this turn of
    the loop, and the state itself for the next turn. A score that is not there yet is composed by
    the caller, so what is played never depends on how fast the helper was.

    Parameters
    ----------
    ahead : bool
        False composes on demand alone, for rendering faster than real time.
    """

    def __init__(self, network: Network, wander: VariationWalk, *, ahead: bool = True) -> None:
        self._network = network
        self._wander = wander
        self._pages: dict[ScoreKey, Score] = {}
        self._wanted: SimpleQueue[ScoreKey | None] = SimpleQueue()
        self._latest: ScoreKey | None = None
        card = network.card
        n_bytes = card.n_slots * card.n_channels * np.dtype(np.float32).itemsize
        # Never fewer than the one that plays.
        self._most = max(1, min(MOST_PAGES, MOST_BYTES // n_bytes))
        self._helper: SupervisedThread | None = None
        self.n_misses = 0
        self.helper_seconds = 0.0
        if ahead:
            self._helper = SupervisedThread("scores", self._compose_ahead)

    def close(self) -> None:
        """End the helper; idempotent."""
        if self._helper is not None:
            self._helper.end()
            self._wanted.put(None)
            self._helper.close()

    def get(self, bits: Bits, turn: int) -> Score:
        """The score of a panel state in a turn of the loop."""
        page = (bits, turn)
        score = self._pages.get(page)
        if score is None:
            self.n_misses += 1
            score = self._pages[page] = self._compose(page)
            self._forget({page})
        if page != self._latest:
            self._latest = page
            if self._helper is not None:
                self._wanted.put(page)
            else:
                self._forget({page})
        return score

    def _compose(self, page: ScoreKey) -> Score:
        bits, turn = page
        return self._network.compose(np.array(bits, np.float32), self._wander.at(turn))

    def _compose_ahead(self) -> None:
        page = self._newest_wanted()
        if page is None:
            return
        started = time.thread_time()
        nearest = _neighbourhood(page, self._most - 1)
        for near in nearest:
            if not self._wanted.empty():  # the end is wanted by None
                break
            if near not in self._pages:
                # It will fail again, and be heard of, when it is asked for.
                with suppress(ModelFailed):
                    self._pages[near] = self._compose(near)
                self._forget({page, *nearest})
        self._forget({page, *nearest})
        self.helper_seconds += time.thread_time() - started

    def _newest_wanted(self) -> ScoreKey | None:
        page = self._wanted.get()
        while True:
            try:
                page = self._wanted.get_nowait()
            except Empty:
                return page

    def _forget(self, wanted: Collection[ScoreKey]) -> None:
        """Let go of past turns, and of the oldest pages that are too many, never of wanted ones."""
        turn = min(turn for _, turn in wanted)
        pages = list(self._pages)  # oldest first
        past = [page for page in pages if page[1] < turn]
        spare = [page for page in pages if page[1] >= turn and page not in wanted]
        n_present = len(pages) - len(past)
        for page in past + spare[: max(n_present - self._most, 0)]:
            self._pages.pop(page, None)


def _neighbourhood(page: ScoreKey, most: int) -> list[ScoreKey]:
    """Every single flip in this turn of the loop, then the page itself in the next.

    Where there is not room for all, the next turn comes before the flips: it will be played.
    """
    bits, turn = page
    flips = [(*bits[:i], not bits[i], *bits[i + 1 :]) for i in range(len(bits))]
    return [*((flip, turn) for flip in flips[: max(most - 1, 0)]), (bits, turn + 1)][:most]
