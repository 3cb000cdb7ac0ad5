"""The control socket: a path Unix socket for a panel in another process; off by default.

Commands come in and the state goes out, a JSON object a line: the whole state once a second and as
soon as a switch is flipped, and in between, at every beat, the place in the music and the levels
alone. Each line costs a cold wake of two processes, whatever is in it: so there are few. The audio
loop only keeps its latest `InstrumentState` here; a helper thread does the rest. A client that does
not read what it is sent, or sends what is no line, is closed and never waited for.
"""

import json
import math
import selectors
import socket
import stat
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from device.closeable import Closeable
from device.errors import OutputError
from device.model.contract import ModelCard
from device.model.summary import facts_of
from device.playback.beat_clock import BeatClock
from device.playback.state import InstrumentState
from device.switches.commands import CommandQueue
from device.switches.messages import MOST_LINE_BYTES, MessageError, parse_message
from device.system.threads import SupervisedThread
from device.ui.status_file import rounded, status_of

MOST_CLIENTS = 8
# From one line to the next, if no beat comes before, and from one whole state to the next, if
# nothing happens before.
LINE_SECONDS = 0.4
STATE_SECONDS = 1.0
# A beat is heard by then, however little it comes late.
_BEAT_MARGIN_SECONDS = 0.01
# States come every 58 ms, and at every flip.
_MOST_LEVELS = 16
# A flip is sent at once, but no more states a second than these allow.
LEAST_SECONDS = 0.05
# After something was received: a flood of commands waits in the kernel.
_READ_SECONDS = 0.02
# Without a client it waits for one: less than a step of a helper may take.
_IDLE_SECONDS = 20.0
# The holder of a switch that was flipped here.
SOURCE = "phone"
# The owner and the group may connect, whatever the umask.
_MODE = 0o660
_MOST_LABEL = 60


class ControlSocket(Closeable):
    """A listener that serves the control socket at `path`.

    Parameters
    ----------
    queue : CommandQueue
        Takes the commands.
    card : callable
        The card of the model that plays.
    origin : callable
        Source of a model, by its digest.
    scenes : sequence of str
        Names of the scenes.
    beats : BeatClock or None
        Which beat is heard when, for the states that are sent; a listener of its own.
    kept : Path or None
        Folder of the kept music; None: nothing can be kept.
    clock : callable
        Seconds, monotonic.

    Raises
    ------
    OutputError
        If no socket can be made there, or another instrument listens at it.
    """

    def __init__(
        self,
        path: Path,
        queue: CommandQueue,
        *,
        card: Callable[[], ModelCard],
        origin: Callable[[str], str],
        beats: BeatClock | None = None,
        scenes: Sequence[str] = (),
        kept: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._queue = queue
        self._card = card
        self._origin = origin
        self._beats = beats
        self._scenes = list(scenes)
        self._kept = kept
        self._clock = clock
        self._state: InstrumentState | None = None
        self._sent: InstrumentState | None = None
        self._whole: InstrumentState | None = None
        self._whole_at = float("-inf")
        self._levels: deque[float] = deque(maxlen=_MOST_LEVELS)
        self._card_line = b""
        self._card_digest = ""
        self._next_at = 0.0
        # What each client has sent of a line that is not complete yet.
        self._clients: dict[socket.socket, bytes] = {}
        self._listener = _listen(path)
        self._inode = path.lstat().st_ino
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._woken, self._wake = socket.socketpair()
        for end in (self._woken, self._wake):
            end.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._helper = SupervisedThread("control", self._serve)

    def __call__(self, state: InstrumentState) -> None:
        """Keep the state for the helper thread; where a switch is flipped, wake it."""
        before, self._state = self._state, state
        self._levels.append(state.level_db)
        if self._clients and before is not None and _switches(before) != _switches(state):
            self._wake_helper()

    def close(self) -> None:
        """Close every connection and remove the socket; idempotent."""
        self._helper.end()
        self._wake_helper()
        self._helper.close()
        for client in list(self._clients):
            self._drop(client)
        for end in (self._listener, self._woken, self._wake):
            end.close()
        self._selector.close()
        with suppress(OSError):
            # Another file that replaced it meanwhile is not ours to remove.
            if self._path.lstat().st_ino == self._inode:
                self._path.unlink()

    def _wake_helper(self) -> None:
        # A buffer that is full wakes it as well.
        with suppress(OSError):
            self._wake.send(b"!")

    def _serve(self) -> None:
        wait = _IDLE_SECONDS
        if self._clients:
            wait = min(max(self._next_at - self._clock(), 0.0), LINE_SECONDS)
        has_received = False
        for key, _ in self._selector.select(wait):
            if key.fileobj is self._woken:
                self._woken.recv(64)
                self._next_at = min(self._next_at, self._whole_at + LEAST_SECONDS)
                continue
            has_received = True
            if key.fileobj is self._listener:
                self._accept()
            elif isinstance(key.fileobj, socket.socket):
                self._receive(key.fileobj)
        if self._clients and self._clock() >= self._next_at:
            self._send_latest()
            self._next_at = self._next_line_at(self._clock())
        if has_received:
            time.sleep(_READ_SECONDS)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        client.setblocking(False)
        if len(self._clients) >= MOST_CLIENTS:
            client.close()
            return
        self._clients[client] = b""
        self._selector.register(client, selectors.EVENT_READ)
        kept = None if self._kept is None else str(self._kept)
        self._send(client, _line({"scenes": self._scenes, "kept": kept}) + self._card_line)
        self._sent = self._whole = None  # the state goes to all, the new one among them

    def _receive(self, client: socket.socket) -> None:
        try:
            received = client.recv(MOST_LINE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            received = b""
        *lines, rest = (self._clients[client] + received).split(b"\n")
        if not received or len(rest) >= MOST_LINE_BYTES:
            self._drop(client)
            return
        self._clients[client] = rest
        for line in lines:
            try:
                self._queue.put(parse_message(line, self._scenes, SOURCE))
            except MessageError as error:
                self._send(client, _line({"error": str(error)}))

    def _send_latest(self) -> None:
        state, whole, now = self._state, self._whole, self._clock()
        if state is None or state is self._sent:
            return
        self._sent = state
        is_due = now >= self._whole_at + STATE_SECONDS
        if whole is None or is_due or _lasting(whole) != _lasting(state):
            self._whole, self._whole_at = state, now
            line = self._whole_line(state)
        else:
            line = _line({"now": _place(state) | self._heard() | self._taken_levels()})
        for client in list(self._clients):
            self._send(client, line)

    def _whole_line(self, state: InstrumentState) -> bytes:
        """The state, and before it the card of a model that is new."""
        line = _line({"state": _fields(state) | self._heard() | self._taken_levels()})
        if state.digest == self._card_digest:
            return line
        card = _card_fields(self._card(), state.digest, self._origin(state.digest))
        self._card_line, self._card_digest = _line({"card": card}), state.digest
        return self._card_line + line

    def _next_line_at(self, now: float) -> float:
        at, state, beats = now + LINE_SECONDS, self._state, self._beats
        if state is None or state.evening.is_asleep or beats is None or not beats.is_running:
            return at
        next_beat = beats.time_of(math.floor(beats.beat_at(now)) + 1) + _BEAT_MARGIN_SECONDS
        return min(at, max(next_beat, now + LEAST_SECONDS))

    def _taken_levels(self) -> dict[str, list[float | None]]:
        """The levels since the last line, in dB, with null for silence."""
        levels = [self._levels.popleft() for _ in range(len(self._levels))]
        return {"levels": [rounded(level) for level in levels]}

    def _heard(self) -> dict[str, float]:
        """Which beat since the start is heard at which time of this machine's monotonic clock."""
        if self._beats is None or not self._beats.is_running:
            return {}
        now = time.monotonic()
        return {"heard_beat": round(self._beats.beat_at(now), 5), "heard_at": round(now, 6)}

    def _send(self, client: socket.socket, line: bytes) -> None:
        """All of it or none of the client: its buffer holds some seconds."""
        with suppress(OSError):
            if client in self._clients and client.send(line) == len(line):
                return
        self._drop(client)

    def _drop(self, client: socket.socket) -> None:
        if self._clients.pop(client, None) is not None:
            with suppress(KeyError, ValueError):
                self._selector.unregister(client)
            client.close()


def _switches(state: InstrumentState) -> tuple[object, ...]:
    """What a flip changes, for the audio loop."""
    return state.bits, state.sounding, state.holders, state.digest


def _lasting(state: InstrumentState) -> tuple[object, ...]:
    """What stays as it is until something happens; the rest changes with the music."""
    evening = state.evening
    return (
        *_switches(state),
        round(state.tempo_bpm, 2),
        state.gain_db,
        (evening.is_asleep, evening.is_quiet, evening.is_wandering),
        (evening.sleep_in_seconds is None, evening.wake_in_seconds is None),
        (state.n_flips, state.n_underruns, state.n_late),
        (state.ends_soon, state.failure),
    )


def _place(state: InstrumentState) -> dict[str, Any]:
    """What changes all the time, and is sent between two states; bars and beats from 1."""
    return {
        "bar": state.bar + 1,
        "beat": state.beat + 1,
        "bar_in_loop": state.bar_in_loop + 1,
        "level_db": rounded(state.level_db),
    }


def _fields(state: InstrumentState) -> dict[str, Any]:
    """The status's fields and the place in the loop; what the card has is left out."""
    fields: dict[str, Any] = {**status_of(state, origin="")}
    del fields["labels"], fields["model"]
    fields |= _place(state)
    return fields | {
        "evening_words": state.evening.words,
        "digest": state.digest,
        "n_beats": state.n_beats,
        "bars_per_loop": state.bars_per_loop,
        "ends_soon": state.ends_soon,
        "failure": state.failure,
    }


def _card_fields(card: ModelCard, digest: str, origin: str) -> dict[str, Any]:
    """What a panel shows of a model; `strength` and `recognised` have a figure per switch."""
    figures = card.provenance.get("panel")
    return {
        "title": card.title,
        "digest": digest,
        "origin": origin,
        "labels": [label[:_MOST_LABEL] for label in card.switch_labels],
        **{
            name: _figures(figures, name, card.n_switches)
            for name in ("strength", "recognised", "coherence")
        },
        "facts": facts_of(card),
    }


def _figures(figures: Any, name: str, n_switches: int) -> list[float] | None:
    """A figure per switch, where the model's file has them: provenance is any JSON."""
    values = figures.get(name) if isinstance(figures, dict) else None
    if not isinstance(values, list) or len(values) != n_switches:
        return None
    return values if all(type(value) in (int, float) for value in values) else None


# Made once: `json.dumps` makes one for every line that is to be short.
_ENCODER = json.JSONEncoder(separators=(",", ":"))


def _line(content: dict[str, Any]) -> bytes:
    return _ENCODER.encode(content).encode() + b"\n"


def _listen(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        _remove_stale(path)
        listener.bind(str(path))
        path.chmod(_MODE)
        listener.listen(MOST_CLIENTS)
    except OSError as error:
        listener.close()
        raise OutputError(
            f"{path}: found {error.strerror or error}, expected a folder in which a socket can be "
            "made, and no other instrument at it; choose another --control"
        ) from error
    listener.setblocking(False)
    return listener


def _remove_stale(path: Path) -> None:
    """Remove the socket of an instrument that is gone, and nothing else."""
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            return  # binding fails, and says so
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(1.0)
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink()
