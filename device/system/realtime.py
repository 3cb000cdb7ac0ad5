"""Real-time priority and locked memory for the audio loop, where the system allows them."""

import ctypes
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from device.console import without_errors

Report = Callable[[str], None]

# Above every ordinary process, below the kernel's own interrupt threads (50).
LOOP_PRIORITY = 20


# Some six seconds of music.
GUARD_BLOCKS = 100


# Of glibc's malloc.h. The first is its own at the start, and less than a tensor of a model.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_MMAP_BYTES = 128 * 1024
_TRIM_BYTES = 2 * 1024 * 1024

_MAPS = Path("/proc/self/maps")

_MADV_DONTNEED = 4
_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4


def set_realtime_priority(report: Report) -> None:
    """Run the calling thread, the audio loop's, before ordinary processes, where that is allowed.

    Threads and processes it starts later run as ordinary ones: helpers must not outrun the loop.
    """
    try:
        os.sched_setscheduler(
            0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(LOOP_PRIORITY)
        )
    except OSError as error:
        report(
            f"no real-time priority ({error.strerror}): a busy machine may cause dropouts; "
            f"allow it with LimitRTPRIO={LOOP_PRIORITY} in the unit"
        )


class CountsLateBlocks(Protocol):
    """A snapshot with the number of late blocks so far."""

    @property
    def n_late(self) -> int:
        """Blocks that took longer to make than to play."""
        ...


class RealtimeGuard:
    """A listener that gives up real-time priority if the machine is too slow for the model.

    A loop that is always late never waits for the speaker; with priority over everything
    else it would block all other processes, logins included.
    """

    def __init__(self, report: Report, *, n_blocks: int = GUARD_BLOCKS) -> None:
        self._report = without_errors(report)
        self._n_blocks = n_blocks
        self._n_seen = 0
        self._n_late_before = 0

    def __call__(self, state: CountsLateBlocks) -> None:
        """Another block was taken by the speaker."""
        self._n_seen += 1
        if self._n_seen % self._n_blocks:
            return
        n_late = state.n_late - self._n_late_before
        self._n_late_before = state.n_late
        if 2 * n_late > self._n_blocks and os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK:
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
            self._report(
                f"{n_late} of {self._n_blocks} blocks were late: this machine is too slow for the "
                "model, so other processes run first from now on; export a smaller network"
            )


def limit_free_memory() -> None:
    """Have malloc give large blocks back to the system when they are freed, locked ones too.

    Left alone, glibc raises its limits to the largest block ever freed, a model's file: then the
    tensors of every model that takes over stay, 5 to 10 MB each. Without glibc nothing is done.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None:
        set_option(_M_MMAP_THRESHOLD, _MMAP_BYTES)
        # Else 128 KB: what the network frees after every call would be given back, and taken again.
        set_option(_M_TRIM_THRESHOLD, _TRIM_BYTES)


def trim_memory() -> None:
    """Give memory that is free back to the system, such as what start-up took.

    Before `lock_memory`: locked pages are not given back. Without glibc nothing is done.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def release_code() -> None:
    """Unmap all code; what is used again is mapped again, from the system's cache of files.

    Most of it served the start alone, such as the registration of every operator of a network. Code
    is never written to, so nothing is lost. Before `lock_memory`: locked pages stay. Without Linux
    nothing is done.
    """
    advise = getattr(ctypes.CDLL(None), "madvise", None)
    if advise is None or not _MAPS.exists():
        return
    advise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    for line in _MAPS.read_text(encoding="utf-8", errors="replace").splitlines():
        addresses, rights, _, _, inode = line.split(maxsplit=5)[:5]
        if rights == "r-xp" and inode != "0":
            start, end = (int(address, 16) for address in addresses.split("-"))
            advise(start, end - start, _MADV_DONTNEED)


def lock_memory(report: Report) -> None:
    """Keep what the process has touched out of swap, where that is allowed."""
    # With a limit, later allocations would fail instead of merely staying unlocked.
    if resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] != resource.RLIM_INFINITY:
        report("memory is not locked: swapping may cause dropouts; allow it with "
               "LimitMEMLOCK=infinity in the unit")  # fmt: skip
        return
    libc = ctypes.CDLL(None, use_errno=True)
    # ONFAULT: only pages that are used. All of them would be every thread's whole stack.
    if libc.mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT):
        report(f"memory is not locked ({os.strerror(ctypes.get_errno())})")
