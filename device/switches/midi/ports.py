"""MIDI ports as raw ALSA device files, which come and go while the music plays."""

import os
import re
import select
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from device.closeable import Closeable
from device.console import without_errors
from device.switches.midi.parser import Message, MidiParser
from device.system.threads import SupervisedThread

DEVICES = Path("/dev/snd")
CARDS = Path("/proc/asound")
RESCAN_SECONDS = 2.0
JOIN_SECONDS = 0.5
ANY = "auto"

_DEVICE = re.compile(r"midiC(\d+)D(\d+)")
_CHUNK_BYTES = 512
# Both directions where the port has both.
_MODES = (os.O_RDWR, os.O_RDONLY, os.O_WRONLY)
_GONE = select.POLLERR | select.POLLHUP | select.POLLNVAL

Receive = Callable[[Message, float, str], None]


@dataclass
class _Port:
    path: Path
    name: str
    fd: int
    parser: MidiParser = field(default_factory=MidiParser)


class MidiPorts(Closeable):
    """Reads every port that is asked for, and writes to all of them.

    A helper thread sleeps until bytes come. Ports that appear are opened within two seconds.

    Parameters
    ----------
    wanted : str
        ``auto`` for every port, the path of a device file, or a part of a port's name.
    receive : callable
        Takes a message, the time of its last byte in s of `time.monotonic`, and the port's name;
        in the helper thread.
    greet : callable
        Bytes for a port that was opened.
    report : callable
        Takes one line when a port comes, goes, or cannot be opened.
    devices, cards : Path
        Folders of the device files, and of the cards' descriptions.
    """

    def __init__(
        self,
        wanted: str,
        receive: Receive,
        *,
        report: Callable[[str], object],
        greet: Callable[[], bytes] = bytes,
        devices: Path = DEVICES,
        cards: Path = CARDS,
    ) -> None:
        self._wanted = wanted
        self._receive = receive
        self._greet = greet
        self._report = without_errors(report)
        self._devices, self._cards = devices, cards
        self._ports: dict[int, _Port] = {}
        self._refused: dict[Path, str] = {}
        # For the helpers that write; the audio loop only wakes the thread.
        self._lock = threading.Lock()
        self._poll = select.poll()
        self._awake, self._wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._poll.register(self._awake, select.POLLIN)
        self._rescan_at = float("-inf")
        self._wanted_bytes: Callable[[], bytes] = bytes
        self._helper = SupervisedThread("midi", self._step)

    @property
    def names(self) -> list[str]:
        """Names of the open ports."""
        with self._lock:
            return [port.name for port in self._ports.values()]

    def close(self) -> None:
        """End the thread and release the ports; idempotent."""
        self._helper.end()
        self.wake()
        self._helper.join(JOIN_SECONDS)
        with self._lock:
            ports, self._ports = list(self._ports.values()), {}
            ends, self._awake, self._wake = (self._awake, self._wake), -1, -1
        for fd in (*(port.fd for port in ports), *ends):
            with suppress(OSError):
                os.close(fd)

    def send(self, message: bytes) -> None:
        """Write to every port at once; a port that takes no more loses it. Not for the loop."""
        with self._lock:
            for port in self._ports.values():
                with suppress(OSError):  # a port that is gone is found by the thread
                    os.write(port.fd, message)

    def wake(self, wanted_bytes: Callable[[], bytes] | None = None) -> None:
        """Have the thread write what this returns then; returns at once."""
        if wanted_bytes is not None:
            self._wanted_bytes = wanted_bytes
        with suppress(OSError):
            os.write(self._wake, b"\0")

    def _step(self) -> None:
        now = time.monotonic()
        if now >= self._rescan_at:
            self._rescan()
            self._rescan_at = now + RESCAN_SECONDS
        wait_seconds = max(self._rescan_at - time.monotonic(), 0.0)
        for fd, events in self._poll.poll(1e3 * wait_seconds):
            if fd == self._awake:
                self._obey()
            elif events & select.POLLIN:
                self._read(self._ports[fd], time.monotonic())
            elif events & _GONE:
                self._drop(self._ports[fd])

    def _obey(self) -> None:
        with suppress(OSError):
            os.read(self._awake, _CHUNK_BYTES)
        if message := self._wanted_bytes():
            self.send(message)

    def _read(self, port: _Port, now: float) -> None:
        try:
            piece = os.read(port.fd, _CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        if not piece:
            self._drop(port)
        for message in port.parser.feed(piece):
            self._receive(message, now, port.name)

    def _rescan(self) -> None:
        paths = self._present()
        for port in list(self._ports.values()):
            if port.path not in paths:
                self._drop(port)
        for path in [path for path in self._refused if path not in paths]:
            del self._refused[path]
        opened = {port.path for port in self._ports.values()}
        for path, name in paths.items():
            if path not in opened:
                self._open(path, name)

    def _present(self) -> dict[Path, str]:
        """The device files that are wanted, and their names."""
        if "/" in self._wanted:
            path = Path(self._wanted)
            return {path: path.name} if path.exists() else {}
        paths = sorted(path for path in self._devices.glob("midiC*D*"))
        names = {path: self._name(path) for path in paths}
        part = self._wanted.lower()
        return {p: name for p, name in names.items() if part == ANY or part in name.lower()}

    def _name(self, path: Path) -> str:
        match = _DEVICE.fullmatch(path.name)
        with suppress(OSError, IndexError):
            if match is not None:
                file = self._cards / f"card{match[1]}" / f"midi{match[2]}"
                return file.read_text(errors="replace").splitlines()[0].strip() or path.name
        return path.name

    def _open(self, path: Path, name: str) -> None:
        problem = ""
        for mode in _MODES:
            try:
                fd = os.open(path, mode | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
            except OSError as error:
                problem = problem or error.strerror or str(error)
                continue
            with self._lock:
                self._ports[fd] = _Port(path, name, fd)
            self._poll.register(fd, 0 if mode == os.O_WRONLY else select.POLLIN)
            self._refused.pop(path, None)
            self._report(f"MIDI port {name} ({path}) is there")
            with suppress(OSError):
                os.write(fd, self._greet())
            return
        if self._refused.get(path) != problem:
            self._refused[path] = problem
            self._report(
                f"MIDI port {name} ({path}): found {problem}, expected a port that opens; close "
                "what else uses it, or add the user to the group audio"
            )

    def _drop(self, port: _Port) -> None:
        with self._lock:
            is_there = self._ports.pop(port.fd, None) is not None
        if is_there:
            self._poll.unregister(port.fd)
            os.close(port.fd)
            self._report(f"MIDI port {port.name} is gone; it is opened again when it is back")
