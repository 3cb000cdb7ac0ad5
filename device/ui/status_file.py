"""The status of a playing instrument: one JSON file, replaced atomically once a second."""

import json
import math
import os
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypedDict, cast

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
# A file this old means that no block was played since: the instrument hangs or is dead.
STALE_SECONDS = 5.0
JOIN_SECONDS = 2.0
# What is written is rounded, and a clock may be set back a little while it runs.
_AHEAD_SECONDS = 1.0


class StateFields(TypedDict):
    """The fields of a status that come from a snapshot; bars and beats are counted from 1.

    `switches` and `sounding` are written one 0 or 1 per switch; `held_by` names, by the number of
    the switch from 1, the remote hand that holds it, and has no entry for the panel's; `evening`
    has the fields of an `EveningState`. Levels are in dB below full scale, null for silence;
    latencies include inversion and speaker, null before the first flip.
    """

    seconds_played: float
    model: dict[str, str]
    labels: list[str]
    switches: str
    sounding: str
    held_by: dict[str, str]
    bar: int
    beat: int
    tempo_bpm: float
    gain_db: float
    evening: dict[str, Any]
    level_db: float | None
    n_flips: int
    switch_to_sound_p50_ms: float | None
    switch_to_sound_p99_ms: float | None
    underruns: int
    late_blocks: int
    governor: dict[str, int]
    share: str


class Status(StateFields):
    """All fields of a status file; `written_at` is in seconds since the epoch."""

    written_at: float
    pid: int
    uptime_seconds: float
    temperature_celsius: float | None
    last_refusal: dict[str, Any] | None
    helpers: dict[str, dict[str, Any]]


FIELDS = Status.__required_keys__


class StatusFile(Closeable):
    """A listener whose helper thread writes the latest snapshot into a file.

    Without a new snapshot the file is not rewritten: when the audio loop hangs, it becomes stale.
    A clean end removes it.

    Parameters
    ----------
    origin : callable
        Source of a model, by its digest: ``bundled``, ``store`` or ``file``.
    last_refusal : callable
        The store's latest refusal, or None.
    degrees : callable
        Temperature of the processor in °C, or None.
    clock : callable
        Seconds since the epoch.
    registry : ThreadRegistry
        Faults of the helper threads.

    Raises
    ------
    OutputError
        If no file can be written at `path`.
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
        """Keep the state for the helper thread; costs the caller one assignment."""
        self._state = state

    def close(self) -> None:
        """Remove the file; idempotent."""
        self._helper.close(JOIN_SECONDS)
        for path in (self._path, self._partial):
            # Another kind of file that replaced it meanwhile is not ours to remove.
            with suppress(OSError):
                if stat.S_ISREG(path.lstat().st_mode):
                    path.unlink()

    def _write_latest(self) -> None:
        state = self._state
        if state is not None and state is not self._written:
            self._written = state
            # A full disk is no fault of the thread: there may be space a second later.
            with suppress(OSError):
                self._write(state)

    def _write(self, state: InstrumentState) -> None:
        now = self._clock()
        refusal = self._last_refusal()
        status: Status = {
            "written_at": round(now, 3),
            "pid": os.getpid(),
            "uptime_seconds": round(now - self._started_at, 1),
            **status_of(state, origin=self._origin(state.digest)),
            "temperature_celsius": self._degrees(),
            "last_refusal": None if refusal is None else asdict(refusal),
            "helpers": {name: asdict(fault) for name, fault in self._registry.faults.items()},
        }
        # Not flushed: it is in memory on the device, and of no use after a power cut.
        self._partial.write_text(json.dumps(status, indent=1) + "\n", encoding="utf-8")
        self._partial.replace(self._path)


def status_of(state: InstrumentState, *, origin: str) -> StateFields:
    """The fields that come from a snapshot, JSON-able."""
    return {
        "seconds_played": round(state.seconds, 1),
        "model": {"title": state.title, "digest": state.digest, "origin": origin},
        "labels": list(state.labels),
        "switches": format_bits(state.bits),
        "sounding": format_bits(state.sounding),
        "held_by": {str(i + 1): source for i, source in sorted(state.holders.items())},
        "bar": state.bar + 1,
        "beat": state.beat + 1,
        "tempo_bpm": round(state.tempo_bpm, 2),
        "gain_db": round(state.gain_db, 1),
        "evening": {
            name: round(value, 1) if type(value) is float else value
            for name, value in vars(state.evening).items()
        },
        "level_db": rounded(state.level_db),
        "n_flips": state.n_flips,
        "switch_to_sound_p50_ms": rounded(state.switch_p50_ms + state.latency_ms),
        "switch_to_sound_p99_ms": rounded(state.switch_p99_ms + state.latency_ms),
        "underruns": state.n_underruns,
        "late_blocks": state.n_late,
        "governor": {
            "n_passes": state.n_iterations,
            "held_frames": state.held_frames,
            "n_lowered": state.n_lowered,
        },
        "share": position_of(state).code,
    }


def read_status(path: Path, *, now: float) -> Status:
    """Read a status file.

    Raises
    ------
    StatusMissing
        If there is none.
    StatusStale
        If it is older than `STALE_SECONDS`.
    """
    status = read_json_object(path)
    written_at = status.get("written_at")
    # An instrument of another version may write other fields.
    if not (isinstance(written_at, float) and status.keys() >= FIELDS):
        raise StatusMissing(
            f"{path}: found no status of an instrument, expected one; start one with "
            "`switchboard play`, or name its file with --file"
        )
    age = now - written_at
    if not age >= -_AHEAD_SECONDS:
        raise StatusStale(
            f"{path}: found a status {-age:.0f} s ahead of this machine's clock, expected one of "
            f"the last {STALE_SECONDS:.0f} s; set the clock, and start the instrument (process "
            f"{status.get('pid')}) again"
        )
    if age > STALE_SECONDS:
        raise StatusStale(
            f"{path}: found the status of {age:.0f} s ago, expected one of the last "
            f"{STALE_SECONDS:.0f} s; the instrument (process {status.get('pid')}) hangs or is "
            "dead: start it again"
        )
    return cast(Status, status)


def rounded(value: float) -> float | None:
    """To a tenth; None for what is not finite, which JSON does not have."""
    return round(value, 1) if math.isfinite(value) else None
