"""The take-over: a new model in the store reaches the music that plays, and leaves it if it must.

A thread of its own looks at the store, loads what has become active, and brings it to where it can
play at the next bar without anything that is done for the first time. The audio loop only ever puts
a finished voice on the stage.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue

from device.closing import Closing
from device.errors import ModelFailed, SwitchboardError
from device.network import BUNDLED_MODEL, Network
from device.probation import PROBATION_SECONDS, Probation
from device.stage import Stage
from device.state import InstrumentState
from device.store import ModelStore
from device.switches import misfit
from device.transport import BEATS_PER_BAR, next_boundary
from device.voice import Performance, Voice

POLL_SECONDS = 0.25
JOIN_SECONDS = 5.0

Report = Callable[[str], None]
Job = Callable[[], None]


class TakeOver(Closing):
    """A listener of the instrument that keeps it playing what the store says.

    Parameters
    ----------
    playing : Path
        The file that plays already.
    report : callable
        Takes one line for the player, from a thread of its own.
    poll_seconds : float
        How often the store is looked at.
    probation_seconds : float
        Of music, after each take-over.
    """

    def __init__(
        self,
        stage: Stage,
        performance: Performance,
        store: ModelStore,
        *,
        playing: Path,
        report: Report,
        poll_seconds: float = POLL_SECONDS,
        probation_seconds: float = PROBATION_SECONDS,
    ) -> None:
        self._stage = stage
        self._performance = performance
        self._store = store
        self._report = report
        self._poll_seconds = poll_seconds
        self._probation_seconds = probation_seconds
        # The thread's alone: what plays or is about to, and what the store should not insist on.
        self._cast = playing
        self._spurned: Path | None = None
        # From the loop to the thread.
        self._state: InstrumentState | None = None
        self._jobs: SimpleQueue[Job] = SimpleQueue()
        # From the thread to the loop.
        self._newcomer: Voice | None = None
        # The loop's alone.
        self._settled = stage.voice
        self._cued: Voice | None = None
        self._understudy: Voice | None = None
        self._probation: Probation | None = None
        self._unproven = True
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="take-over", daemon=True)
        self._thread.start()
