"""What a playing box says of itself: one JSON file, replaced in one step once a second."""

import json
import math
import os
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from device.closeable import Closeable
from device.errors import OutputError, StatusMissing, StatusStale
from device.files import read_json_object
from device.playback.share_code import position_of
from device.playback.state import InstrumentState
from device.store.verdict_log import Refusal
from device.switches.bits import format_bits
from device.system.outputs import check_output, regular_target
from device.system.threads import THREADS, SupervisedThread, ThreadRegistry

DEFAULT_STATUS = Path("/run/switchboard/status.json")
WRITE_SECONDS = 1.0
# So long after the last block was played, nobody plays any more.
STALE_SECONDS = 5.0
JOIN_SECONDS = 2.0
# What is written is rounded, and a clock may be set back a little while it runs.
_AHEAD_SECONDS = 1.0

FIELDS = {
    "written_at",
    "pid",
    "uptime_seconds",
    "seconds_played",
    "model",
    "labels",
    "switches",
    "sounding",
    "bar",
    "beat",
    "tempo_bpm",
    "level_db",
    "n_flips",
    "switch_to_sound_p50_ms",
    "switch_to_sound_p99_ms",
    "underruns",
    "late_blocks",
    "governor",
    "temperature_celsius",
    "last_refusal",
    "helpers",
    "share",
}

Facts = dict[str, Any]


class StatusFile(Closeable):
    """A listener that leaves the latest snapshot in a file, from a thread of its own.

    No new snapshot, no new file: when the audio loop hangs, the file grows old. It goes with a
    clean end.

    Parameters
    ----------
    origin : callable
        Where a model comes from, by its digest: ``bundled``, ``store`` or ``file``.
    last_refusal : callable
        The store's latest, if there is a store.
    degrees : callable
        Temperature of the processor, where it is known.
    clock : callable
        Seconds since the epoch.
    registry : ThreadRegistry
        What went wrong in the helper threads.

    Raises
    ------
    OutputError
        If no file can be written there.
    """

    def __init__(
        self,
        path: Path,
        *,
        origin: Callable[[str], str],
        last_refusal: Callable[[], Refusal | None],
        degrees: Callable[[], float | None],
        clock: Callable[[], float] = time.time,
        registry: ThreadRegistry = THREADS,
    ) -> None:
        self._path = path if path.is_dir() else regular_target(path)
        try:
            check_output(path)
        except OutputError as error:
            raise OutputError(
                f"{path}: found no writable folder for it, expected one; choose another --status"
            ) from error
        self._partial = self._path.with_name(f".{self._path.name}.part")
        self._origin = origin
        self._last_refusal = last_refusal
        self._degrees = degrees
        self._clock = clock
        self._started_at = clock()
        self._state: InstrumentState | None = None
        self._written: InstrumentState | None = None
        self._registry = registry
        self._helper = SupervisedThread(
            "status", self._write_latest, every=WRITE_SECONDS, registry=registry
        )

    def __call__(self, state: InstrumentState) -> None:
        """Leave the state to be written soon; costs the caller one assignment."""
        self._state = state

    def close(self) -> None:
        """Take the file away: nobody plays any more; idempotent."""
        self._helper.close(JOIN_SECONDS)
        for path in (self._path, self._partial):
            # Whatever else has taken its place meanwhile is not ours to remove.
            with suppress(OSError):
                if stat.S_ISREG(path.lstat().st_mode):
                    path.unlink()

    def _write_latest(self) -> None:
        state = self._state
        if state is not None and state is not self._written:
            self._written = state
            # A full disk is no fault of the helper: there may be room a second later.
            with suppress(OSError):
                self._write(state)

    def _write(self, state: InstrumentState) -> None:
        now = self._clock()
        refusal = self._last_refusal()
        facts = {
            "written_at": round(now, 3),
            "pid": os.getpid(),
            "uptime_seconds": round(now - self._started_at, 1),
            **facts_of(state, origin=self._origin(state.digest)),
            "temperature_celsius": self._degrees(),
            "last_refusal": None if refusal is None else asdict(refusal),
            "helpers": {name: asdict(it) for name, it in self._registry.faults.items()},
        }
        # Not brought to the disk: it is in memory on a box, and worth nothing after a power cut.
        self._partial.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        self._partial.replace(self._path)


def facts_of(state: InstrumentState, *, origin: str) -> Facts:
    """What a snapshot says, JSON-able; bars and beats are counted from 1."""
    return {
        "seconds_played": round(state.seconds, 1),
        "model": {"title": state.title, "digest": state.digest, "origin": origin},
        "labels": list(state.labels),
        "switches": format_bits(state.bits),
        "sounding": format_bits(state.sounding),
        "bar": state.bar + 1,
        "beat": state.beat + 1,
        "tempo_bpm": round(state.tempo_bpm, 2),
        "level_db": _rounded(state.level_db),
        "n_flips": state.n_flips,
        "switch_to_sound_p50_ms": _rounded(state.switch_p50_ms + state.latency_ms),
        "switch_to_sound_p99_ms": _rounded(state.switch_p99_ms + state.latency_ms),
        "underruns": state.n_underruns,
        "late_blocks": state.n_late,
        "governor": {"n_passes": state.n_iterations, "n_lowered": state.n_lowered},
        "share": position_of(state).code,
    }


def read_status(path: Path, *, now: float) -> Facts:
    """Read a status file.

    Raises
    ------
    StatusMissing
        If there is none.
    StatusStale
        If it is older than `STALE_SECONDS`.
    """
    facts = read_json_object(path)
    written_at = facts.get("written_at")
    # An instrument of another version may know other things.
    if not (isinstance(written_at, float) and facts.keys() >= FIELDS):
        raise StatusMissing(
            f"{path}: found no status of an instrument, expected one; start one with "
            "`switchboard play`, or name its file with --file"
        )
    age = now - written_at
    if not age >= -_AHEAD_SECONDS:
        raise StatusStale(
            f"{path}: found a status {-age:.0f} s ahead of this machine's clock, expected one of "
            f"the last {STALE_SECONDS:.0f} s; set the clock, and start the instrument (process "
            f"{facts.get('pid')}) again"
        )
    if age > STALE_SECONDS:
        raise StatusStale(
            f"{path}: found the status of {age:.0f} s ago, expected one of the last "
            f"{STALE_SECONDS:.0f} s; the instrument (process {facts.get('pid')}) hangs or is dead: "
            "start it again"
        )
    return facts


def _rounded(value: float) -> float | None:
    return round(value, 1) if math.isfinite(value) else None
