"""Scores ahead of time: what any single flip would need is composed before it happens."""

import threading
import time
from contextlib import suppress
from queue import Empty, SimpleQueue

import numpy as np

from device.closing import Closing
from device.errors import ModelFailed
from device.network import Network, Score
from device.state import Bits
from device.wander import Wander

Page = tuple[Bits, int]

# A held variation never leaves its turn, and a panel has more states than a box has memory.
MOST_PAGES = 64


class Scores(Closing):
    """The score of any panel state in any turn of the loop, usually without waiting.

    A helper thread composes every state one flip away from the one that plays, for this turn of
    the loop, and the state itself for the next turn. A score that is not there yet is composed by
    the caller, so what is played never depends on how fast the helper was.

    Parameters
    ----------
    ahead : bool
        False composes on demand alone, for rendering faster than real time.
    """

    def __init__(self, network: Network, wander: Wander, *, ahead: bool = True) -> None:
        self._network = network
        self._wander = wander
        self._pages: dict[Page, Score] = {}
        self._wanted: SimpleQueue[Page | None] = SimpleQueue()
        self._latest: Page | None = None
        self._stop = threading.Event()
        self._helper: threading.Thread | None = None
        self.n_misses = 0
        self.helper_seconds = 0.0
        if ahead:
            self._helper = threading.Thread(target=self._compose_ahead, name="scores", daemon=True)
            self._helper.start()

    def close(self) -> None:
        """End the helper; idempotent."""
        self._stop.set()
        self._wanted.put(None)
        if self._helper is not None:
            self._helper.join(timeout=1.0)

    def get(self, bits: Bits, turn: int) -> Score:
        """The score of a panel state in a turn of the loop."""
        page = (bits, turn)
        score = self._pages.get(page)
        if score is None:
            self.n_misses += 1
            score = self._pages[page] = self._compose(page)
        if page != self._latest:
            self._latest = page
            if self._helper is not None:
                self._wanted.put(page)
            else:
                self._forget(turn)
        return score

    def _compose(self, page: Page) -> Score:
        bits, turn = page
        return self._network.compose(np.array(bits, np.float32), self._wander.at(turn))

    def _compose_ahead(self) -> None:
        while not self._stop.is_set():
            page = self._newest_wanted()
            if page is None:
                return
            started = time.thread_time()
            self._forget(page[1])
            for near in _neighbourhood(page):
                if self._stop.is_set() or not self._wanted.empty():
                    break
                if near not in self._pages:
                    # It will fail again, and be heard of, when it is asked for.
                    with suppress(ModelFailed):
                        self._pages[near] = self._compose(near)
            self.helper_seconds += time.thread_time() - started

    def _newest_wanted(self) -> Page | None:
        page = self._wanted.get()
        while True:
            try:
                page = self._wanted.get_nowait()
            except Empty:
                return page

    def _forget(self, turn: int) -> None:
        pages = list(self._pages)  # oldest first
        past = [page for page in pages if page[1] < turn]
        present = [page for page in pages if page[1] >= turn]
        for page in past + present[:-MOST_PAGES]:
            self._pages.pop(page, None)


def _neighbourhood(page: Page) -> list[Page]:
    """Every single flip in this turn of the loop, then the page itself in the next."""
    bits, turn = page
    flips = [(*bits[:i], not bits[i], *bits[i + 1 :]) for i in range(len(bits))]
    return [*((flip, turn) for flip in flips), (bits, turn + 1)]
