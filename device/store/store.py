"""The model store: the directory through which the programs of a device share models.

::

    <sha256>.onnx   a model; its name is the hash of its bytes, so it never changes
    active          link to the one that plays; none: the bundled model plays
    previous        link to the one that played before
    verdicts.json   hashes that were accepted, or refused and why
    starts.json     how the last starts of the active one ended, and in which boot

Readers need no lock: each of these names changes in one step from one whole file to another.
Writers take turns (``flock`` on ``.lock``), hold the lock for a few small writes at most, and flush
everything to the disk before it takes its name: a power cut leaves the old state or the new one.
All accounts may read all of it, whatever the umask of the writer, and root writes as the account
that the folder belongs to (`open_store`). Names that are no regular files are never waited for.
Standard library alone.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from device import files
from device.errors import ModelRefused, ModelTooLarge, StoreError, StoreFull, SwitchboardError
from device.model.contract import MAX_MODEL_BYTES
from device.store.reader import StoreReader, is_model
from device.store.start_counter import StartCounter
from device.store.upload import Upload, remaining_bytes, writing_into
from device.system.account import switch_to_owner_of

DEFAULT_STORE = Path("/var/lib/switchboard/models")
# What stays free on the disk after a model was added: the device writes other files too.
RESERVE_BYTES = 16 * 1024 * 1024

_LOCK_SECONDS = 20.0
_VALIDATION_SECONDS = 90.0
_CHUNK_BYTES = 1 << 16


def open_store(directory: Path) -> "ModelStore":
    """Open a store to change it or to play from it; see `device.system.account` for root."""
    switch_to_owner_of(directory)
    return ModelStore(directory)


class ModelStore(StoreReader):
    """Changes a store; several processes may do so at once.

    The methods of `StoreReader` never wait. The others may wait for a disk or another process, so
    they are not for the audio loop. The directory is made when something is first written.

    Parameters
    ----------
    keep : int
        Models to hold at most; the oldest go first, the active and the previous one never.
    reserve_bytes : int
        What has to stay free on the disk.

    Raises
    ------
    StoreError
        From everything that writes, if another process holds the store for too long.
    StoreFull, OutputError
        From everything that writes, if the disk is full or not writable.
    """

    def __init__(
        self,
        directory: Path,
        *,
        keep: int = 5,
        reserve_bytes: int = RESERVE_BYTES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(directory, clock)
        self._keep = keep
        self._reserve_bytes = reserve_bytes
        self._starts = StartCounter(self.directory / "starts.json")

    def incoming(self, n_bytes: int) -> Upload:
        """Begin the upload of a model of at most `n_bytes`.

        Raises
        ------
        ModelTooLarge, StoreFull
        """
        if n_bytes > MAX_MODEL_BYTES:
            raise ModelTooLarge(
                f"model: found {n_bytes:,} bytes, expected {MAX_MODEL_BYTES:,} at most; "
                "export a smaller network"
            )
        # Under the lock, so that `recover` does not run before the new file is locked.
        with self._locked():
            if n_bytes > self.free_bytes():
                raise StoreFull(
                    f"{self.directory}: found room for {self.free_bytes():,} bytes, expected "
                    f"{n_bytes:,}; make room, or use `switchboard models remove`"
                )
            return Upload(self.directory, n_bytes, self._adopt)

    def add(self, source: Path | BinaryIO) -> str:
        """Copy a model file into the store, unexamined; returns its hash.

        Raises
        ------
        ModelTooLarge, StoreFull
        """
        if isinstance(source, Path):
            with files.open_regular(source) as file:
                return self.add(file)
        with self.incoming(remaining_bytes(source)) as incoming:
            while chunk := source.read(_CHUNK_BYTES):
                incoming.write(chunk)
            return incoming.keep()

    def activate(self, digest: str | None) -> None:
        """Make a model the one that plays, and what plays the previous one; None: the bundled.

        Raises
        ------
        StoreError
            If it is not in the store.
        ModelRefused
            If its hash was refused.
        ModelOutOfReach
            If the disk no longer has its bytes.
        """
        with self._locked():
            if digest is not None:
                self._check_playable(digest)
            active = self.active()
            if digest != (active.stem if active else None):
                self._set_link("previous", active)
                self._set_link("active", None if digest is None else self.path(digest))

    def roll_back(self, reason: str, *, digest: str | None = None) -> Path | None:
        """Refuse the active model and go back to the previous one, else to the bundled.

        Parameters
        ----------
        digest : str or None
            The faulty one, if another may be active by now: then that one stays active.

        Returns
        -------
        What is active now; None: the bundled model.
        """
        with self._locked():
            self._roll_back(reason, digest)
            return self.active()

    def refuse(self, digest: str, reason: str) -> None:
        """Record that a hash must not play."""
        with self._locked():
            self._verdicts.record(self.path(digest).stem, reason)

    def accept(self, digest: str) -> None:
        """Record that a hash was examined here and is good; removes an earlier refusal."""
        with self._locked():
            self._verdicts.record(self.path(digest).stem, None)

    def remove(self, digest: str) -> None:
        """Delete a model.

        Raises
        ------
        StoreError
            If it is not there, or active or previous.
        """
        with self._locked():
            if self._present(digest) in (self.active(), self.previous()):
                raise StoreError(
                    f"model {digest[:12]}: found it active or previous, expected neither; activate "
                    "another one first"
                )
            files.remove_durably(self.path(digest))

    def remove_if_damaged(self, digest: str) -> None:
        """Go back to what played before a model whose bytes the disk has lost; never raises.

        It is not refused and may be added again. One that is whole, or that merely cannot be read,
        stays.
        """
        with suppress(SwitchboardError), self._locked():
            if self.is_whole(digest):
                return
            active = self.active()
            if active and active.stem == digest:
                self._activate_previous()
            files.remove_durably(self.path(digest))

    def record_start_attempt(self) -> Path | None:
        """Note that the instrument is about to open the active model; returns which.

        A model that crashed the device a few times is rolled back first; see
        `device.store.start_counter`. Never raises: a disk that cannot be written is no reason not
        to play.
        """
        with suppress(SwitchboardError), self._locked():
            active = self.active()
            if active and (reason := self._starts.exceeded_limit(active.stem)):
                self._roll_back(reason, None)
                active = self.active()
            if active:
                self._starts.record_start(active.stem)
            else:
                self._starts.record_stop()
        return self.active()

    def record_takeover(self) -> None:
        """Note that the active model has taken over while another one played; never raises.

        If the device crashes with it before `confirm_running`, one crash is enough.
        """
        with suppress(SwitchboardError), self._locked():
            active = self.active()
            if active:
                self._starts.mark_suspect(active.stem)
            else:
                self._starts.record_stop()

    def confirm_running(self) -> None:
        """Note that the active model plays; never raises.

        From now on a machine that goes down does not count against it; a crash still does.
        """
        with suppress(SwitchboardError), self._locked():
            self._starts.confirm_running()

    def clear_crash_history(self) -> None:
        """Note that the active model has played for long: its earlier crashes are forgotten."""
        with suppress(SwitchboardError), self._locked():
            self._starts.clear_crashes()

    def record_clean_stop(self) -> None:
        """Note that the stop was requested, so that it does not count as a crash; never raises."""
        with suppress(SwitchboardError), self._locked():
            self._starts.record_stop()

    def recover(self) -> None:
        """Remove what killed processes left and finish what they began; never raises."""
        if not self.directory.is_dir():
            return
        with suppress(SwitchboardError), self._locked():
            files.remove_stale(self.directory, ".*.part")
            active = self.active()
            if active and (reason := self.refusal(active.stem)):
                self._roll_back(reason, active.stem)
            elif active and not self.is_whole(active.stem):
                # The disk lost some of its bytes. The model is not refused and may be added again.
                self._activate_previous()
                files.remove_durably(active)

    @contextmanager
    def validation_lock(self) -> Iterator[None]:
        """Take turns with other processes that validate a model: a device has memory for one."""
        with self._held(".examining", _VALIDATION_SECONDS):
            yield

    def free_bytes(self) -> int:
        """Room on the disk for models, without what has to stay free."""
        return max(0, files.free_bytes(self.directory) - self._reserve_bytes)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._held(".lock", _LOCK_SECONDS):
            yield

    @contextmanager
    def _held(self, name: str, wait_seconds: float) -> Iterator[None]:
        with writing_into(self.directory):
            files.make_folder(self.directory)
            try:
                with files.file_lock(self.directory / name, wait_seconds):
                    yield
            except TimeoutError as error:
                raise StoreError(f"model store: {error} by another process; try again") from error

    # What follows expects the lock to be held where it writes.

    def _present(self, digest: str) -> Path:
        path = self.path(digest)
        if not is_model(path):
            raise StoreError(
                f"model {digest[:12]}: found no such file in {self.directory}; "
                "`switchboard models list` names them all"
            )
        return path

    def _check_playable(self, digest: str) -> None:
        self._present(digest)
        reason = self.refusal(digest)
        if reason is not None:
            raise ModelRefused(f"model {digest[:12]}: refused before: {reason}")
        self.check_whole(digest)

    def _adopt(self, part: Path, digest: str) -> None:
        path = self.path(digest)
        with self._locked():
            if not path.exists():
                self._make_place()
            part.replace(path)
            files.flush_folder(self.directory)

    def _make_place(self) -> None:
        """Remove the oldest models, so that one more fits."""
        oldest_first = [self.path(model.digest) for model in reversed(self.models())]
        n_too_many = max(len(oldest_first) + 1 - self._keep, 0)
        spared = (self.active(), self.previous())
        for path in [p for p in oldest_first if p not in spared][:n_too_many]:
            files.remove_durably(path)

    def _set_link(self, name: str, target: Path | None) -> None:
        link = self.directory / name
        if target is None:
            files.remove_durably(link)
        else:
            files.atomic_symlink(link, target.name, self.directory / f".{name}.part")

    def _roll_back(self, reason: str, digest: str | None) -> None:
        active = self.active()
        refused = digest or (active.stem if active else None)
        try:
            if refused is not None:
                self._verdicts.record(refused, reason)
        finally:
            if active and active.stem == refused:
                self._activate_previous()

    def _activate_previous(self) -> None:
        previous = self.previous()
        is_good = previous is not None and self.refusal(previous.stem) is None
        try:
            self._set_link("active", previous if is_good else None)
        except OSError:
            # A full disk has no room for another link, but one can be removed.
            self._set_link("active", None)
        self._set_link("previous", None)
