"""Termination by a signal: the same for every command that makes sound, whatever it waits for.

A handler in Python runs between two of its instructions, and so never while a network computes or
a card hangs. Here the interpreter only writes the signal's number into a socket, from C, and a
helper thread reads it. It requests the end of the command, then interrupts the networks, and at
last ends the process, after saving what must be kept.
"""

import math
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from device.closeable import Closeable
from device.errors import Ended, Interrupted
from device.system.threads import SupervisedThread

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
# After the signal: a block and the fade are made in the first, all is closed in the second.
INTERRUPT_SECONDS = 0.25
FORCE_SECONDS = 0.6
CLEANUP_SECONDS = 0.25

Action = Callable[[], object]


class TerminationHandler(Closeable):
    """Handles the signals while its ``with`` block lasts; outside the main thread, none.

    A SIGHUP that was ignored before, as under nohup, stays so.

    Parameters
    ----------
    interrupt : callable
        Takes True to stop all computations, and False to allow them again; see
        `device.model.network.interrupt`.
    """

    def __init__(self, interrupt: Callable[[bool], None]) -> None:
        self._interrupt = interrupt
        self._number: int | None = None
        self._stop: Action | None = None
        self._forced_status: int | None = None
        self._saves: list[Action] = []
        self._cleanups: list[Action] = []
        self._over = threading.Event()
        self._handlers: dict[int, Any] = {}
        self._reader: socket.socket | None = None
        self._writer: socket.socket | None = None
        self._fd_before = -1
        self._helper: SupervisedThread | None = None

    def check(self) -> None:
        """Raise if a signal has come.

        Raises
        ------
        Ended
        """
        if self._number is not None:
            raise Ended(self._number)

    @contextmanager
    def stopping(self, stop: Action, *, status: int | None = None) -> Iterator[None]:
        """Have `stop` called when a signal comes within the block, or has come before.

        Parameters
        ----------
        stop : callable
            Returns at once and may be called from any thread.
        status : int or None
            Exit status from now on if the process has to be ended by force; None for the signal's.
        """
        self._stop, self._forced_status = stop, status
        if self._number is not None:
            stop()
        try:
            yield
        finally:
            self._stop = None

    def add_save(self, action: Action) -> None:
        """Have this done, and waited for, before the process is ended by force."""
        self._saves.append(action)

    def add_cleanup(self, action: Action) -> None:
        """Have this tried, after all that must be saved, before the process is ended by force."""
        self._cleanups.append(action)

    def __enter__(self) -> "TerminationHandler":
        if threading.current_thread() is threading.main_thread():
            self._interrupt(False)
            self._listen()
        return self

    def __exit__(self, kind: object, error: object, trace: object, /) -> None:
        self.close()
        if isinstance(error, Interrupted) and self._number is not None:
            raise Ended(self._number) from error

    def close(self) -> None:
        """Restore the signal handlers; idempotent."""
        self._over.set()
        helper, self._helper = self._helper, None
        if helper is None or self._reader is None or self._writer is None:
            return
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._fd_before)
        helper.end()
        self._writer.close()  # which ends the waiting for a number
        helper.close()
        self._reader.close()

    def _listen(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._helper = SupervisedThread("signals", self._handle_signal, stall_seconds=math.inf)
        self._fd_before = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for number in SIGNALS:
            if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
                continue
            # Without a handler in Python, nothing is written into the socket.
            self._handlers[number] = signal.signal(number, lambda *_: None)

    def _handle_signal(self) -> None:
        if self._number is None:
            self._number = self._wait()
        if self._number is None:
            return
        self._end(self._number)

    def _wait(self) -> int | None:
        """The first of our signals; None when there will be none."""
        assert self._reader is not None
        while content := self._reader.recv(16):
            for number in content:
                if number in self._handlers:
                    return number
        return None

    def _end(self, number: int) -> None:
        stop = self._stop
        if stop is not None:
            with suppress(Exception):
                stop()
        if self._over.wait(INTERRUPT_SECONDS):
            return
        with suppress(Exception):
            self._interrupt(True)
        if self._over.wait(FORCE_SECONDS - INTERRUPT_SECONDS):
            return
        for action in self._saves:
            with suppress(Exception):
                action()
        # A cleanup may hang as the command does, in a terminal that takes no more text.
        cleanup = threading.Thread(target=self._clean_up, daemon=True)
        with suppress(RuntimeError):
            cleanup.start()
            cleanup.join(CLEANUP_SECONDS)
        os._exit(128 + number if self._forced_status is None else self._forced_status)

    def _clean_up(self) -> None:
        for action in self._cleanups:
            with suppress(Exception, SystemExit):
                action()
