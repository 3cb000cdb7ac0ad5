"""The model loader: opens the next model and closes the last one, outside the audio loop."""

import time
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue

from device.closeable import Closeable
from device.console import without_errors
from device.errors import ModelFailed, ModelOutOfReach, SwitchboardError
from device.model.bundled import BUNDLED_MODEL, bundled_digest, bundled_digests
from device.model.network import Network
from device.playback.model_selection import (
    Report,
    open_stored,
    reject_and_roll_back,
)
from device.playback.state import InstrumentState
from device.store.store import ModelStore
from device.switches.bits import size_mismatch_warning
from device.synthesis.transport import BEATS_PER_BAR, next_boundary
from device.synthesis.voice import Voice
from device.system.threads import THREADS, SupervisedThread

POLL_SECONDS = 0.25
# A model that could not be read is tried again after so long.
RETRY_SECONDS = 30.0
# A thread that still loads a model after this is not waited for; `close` does the remaining jobs.
JOIN_SECONDS = 0.25

Job = Callable[[], object]


class ModelLoader(Closeable):
    """A thread that polls the store and makes a voice of the model that has become active there.

    All slow work is done here: loading a model and prefetching its first score and frames, closing
    the voice of another, and writing to the store. Every public method is for the audio loop, and
    returns at once.

    Parameters
    ----------
    make : callable
        Makes the voice of a network that follows the current one.
    playing : str
        Digest of the model that plays already.
    report : callable
        Called with one line for the user.

    Attributes
    ----------
    state : InstrumentState or None
        The latest snapshot: the switch states and position to prefetch for. None before the first
        block.
    """

    def __init__(
        self,
        store: ModelStore,
        make: Callable[[Network], Voice],
        *,
        playing: str,
        report: Report,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self.state: InstrumentState | None = None
        self._store = store
        self._make = make
        self._report = without_errors(report)
        self._poll_seconds = poll_seconds
        # What plays or is about to, and what is not tried even if it stays active in the store.
        self._requested = playing
        self._rejected: str | None = None
        self._unreadable: str | None = None
        self._retry_at = 0.0
        self._ready: SimpleQueue[Voice] = SimpleQueue()
        self._jobs: SimpleQueue[Job] = SimpleQueue()
        self._helper = SupervisedThread("loader", self._attend)

    def close(self) -> None:
        """Do the remaining jobs and end the thread; idempotent."""
        self._jobs.put(self._helper.end)
        self._helper.join(JOIN_SECONDS)
        self._helper.end()
        self._finish()
        while voice := self.next_voice():
            voice.close()

    def next_voice(self) -> Voice | None:
        """A voice that is ready to play, None without one; each voice once."""
        try:
            return self._ready.get_nowait()
        except Empty:
            return None

    def release(self, voice: Voice) -> None:
        """Close a voice that will not be heard again."""
        self._jobs.put(voice.close)

    def record_takeover(self, state: InstrumentState) -> None:
        """Record that the active model is heard, and has not yet been shown not to crash."""
        self._jobs.put(self._store.record_takeover)
        if warning := size_mismatch_warning(len(state.switch_states), len(state.bits)):
            self._jobs.put(lambda: self._report(warning))

    def activate_next(self) -> None:
        """Activate the next model: the bundled ones and those of the store, in turn."""
        self._jobs.put(self._activate_next)

    def activate(self, digest: str) -> None:
        """Activate the model whose SHA-256 begins with these digits, where it is here."""
        self._jobs.put(lambda: self._activate(digest))

    def confirm_running(self) -> None:
        """Record that the active model can be trusted."""
        self._jobs.put(self._store.confirm_running)

    def clear_crash_history(self) -> None:
        """Record that the active model has played for long."""
        self._jobs.put(self._store.clear_crash_history)

    def record_clean_stop(self) -> None:
        """Record that the music was ended on purpose."""
        self._jobs.put(self._store.record_clean_stop)

    def reject(self, digest: str, reason: str, *, instead: str) -> None:
        """Refuse a model from now on.

        Parameters
        ----------
        instead : str
            Digest of the model that plays in its place.
        """
        self._jobs.put(lambda: self._reject(digest, reason, instead))

    def _activate_next(self) -> None:
        order = self._playable()
        active = self._store.active()
        current = active.stem if active is not None else order[0]
        place = order.index(current) if current in order else 0
        if len(order) == 1:
            self._report("next model: found no model in the store, expected one; push one")
        self._activate_whole(order[(place + 1) % len(order)])

    def _activate(self, digest: str) -> None:
        if found := next((known for known in self._playable() if known.startswith(digest)), None):
            self._activate_whole(found)
        else:
            self._report(f"scene: found no model {digest} here, expected one; push it")

    def _playable(self) -> list[str]:
        """Digests of all models that can play: the bundled ones, then those of the store."""
        stored = self._store.models()
        refused = {model.digest for model in stored if model.refused}
        # Bundled ones that were activated before are in the store, too.
        order = dict.fromkeys([*bundled_digests(), *(model.digest for model in stored)])
        return [digest for digest in order if digest == bundled_digest() or digest not in refused]

    def _activate_whole(self, digest: str) -> None:
        """Activate a model; the store gets a copy of a bundled one that does not play by itself."""
        bundled = bundled_digests().get(digest)
        if bundled not in (None, BUNDLED_MODEL) and not self._store.path(digest).is_file():
            self._store.add(bundled)
        self._store.activate(None if bundled == BUNDLED_MODEL else digest)

    def _attend(self) -> None:
        try:
            job = self._jobs.get(timeout=self._poll_seconds)
        except Empty:
            self._poll()
        else:
            job()

    def _finish(self) -> None:
        while not self._jobs.empty():
            with suppress(Empty):
                job = self._jobs.get_nowait()
                with THREADS.guard("loader"):
                    job()

    def _poll(self) -> None:
        path = self._store.active() or BUNDLED_MODEL
        digest = bundled_digest() if path == BUNDLED_MODEL else path.stem
        if digest != self._rejected:
            self._rejected = None
        if digest == self._unreadable and time.monotonic() < self._retry_at:
            return
        if self.state is not None and digest not in (self._requested, self._rejected):
            before, self._requested = self._requested, digest
            try:
                network = (
                    Network.open(path) if path == BUNDLED_MODEL else open_stored(self._store, path)
                )
                self._ready.put(self._prepare(network, self.state))
            except (ModelOutOfReach, OSError) as error:
                self._postpone(digest, str(error), self.state.digest)
            except SwitchboardError as error:
                self._reject(digest, str(error), self.state.digest)
            except BaseException:
                # Not a fault of the model: it is tried again.
                self._requested = before
                raise

    def _postpone(self, digest: str, reason: str, instead: str) -> None:
        """Try again later: a file that cannot be read is no fault of the model."""
        if digest != self._unreadable:
            self._report(f"model {digest[:12]} is left aside: {reason}")
        self._requested, self._unreadable = instead, digest
        self._retry_at = time.monotonic() + RETRY_SECONDS
        if digest != bundled_digest():
            self._store.remove_if_damaged(digest)

    def _prepare(self, network: Network, state: InstrumentState) -> Voice:
        voice = self._make(network)
        voice.prefetch(state.switch_states, next_boundary(state.position, BEATS_PER_BAR))
        if network.n_not_finite:
            voice.close()
            raise ModelFailed(
                f"model {network.card.title!r}: found {network.n_not_finite} frames that are not "
                "finite, expected sound; train it again"
            )
        self._report(f"{network.card.title!r} takes over at the next bar")
        return voice

    def _reject(self, digest: str, reason: str, instead: str) -> None:
        self._requested, self._rejected = instead, digest
        if digest != bundled_digest():
            reject_and_roll_back(self._store, digest, reason, self._report)
