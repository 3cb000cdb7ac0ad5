"""Where the sound goes: the port, and the speakers that need no sound card.

A speaker paces the instrument: `Speaker.write` blocks while its buffer is full. Sound cards are in
`device.audio.sound_card`.
"""

import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from device.closeable import Closing
from device.errors import OutputError, SpeakerUnavailable
from device.system.outputs import Output, not_written

Clock = Callable[[], float]
Sleep = Callable[[float], None]
Report = Callable[[str], None]

FALLBACK_PATH = Path("performance.wav")
BUFFER_SECONDS = 0.06

# The sizes in a WAV header are 32 bits wide; at 22050 Hz that is 27 hours.
_MAX_WAV_BYTES = 2**32 - 4096


class Speaker(Protocol):
    """Somewhere to play mono float32 samples between -1 and 1, in real time or as a file."""

    @property
    def name(self) -> str:
        """What the player calls it."""
        ...

    @property
    def latency_seconds(self) -> float:
        """From the return of `write` until its last sample is heard; 0 for files."""
        ...

    @property
    def n_underruns(self) -> int:
        """How often the sound broke off because a block came too late."""
        ...

    def write(self, samples: NDArray[np.float32]) -> None:
        """Queue samples of shape (n,); blocks while the buffer is full."""
        ...

    def close(self) -> None:
        """End cleanly; may be called again."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: object, error: object, trace: object, /) -> None: ...


class Pacer:
    """A queue that exists only as the time at which it will have been played."""

    def __init__(
        self, sample_rate: int, *, buffer_seconds: float, clock: Clock, sleep: Sleep
    ) -> None:
        self.n_underruns = 0
        self._sample_rate = sample_rate
        self._buffer_seconds = buffer_seconds
        self._clock = clock
        self._sleep = sleep
        self._played_at: float | None = None

    def advance(self, n_samples: int) -> None:
        """Queue `n_samples`; sleeps until they fit."""
        if n_samples == 0:
            return  # A queue of nothing would count as one that has run dry.
        start = self._start()
        self._played_at = start + n_samples / self._sample_rate
        surplus = self._played_at - self._clock() - self._buffer_seconds
        if surplus > 0:
            self._sleep(surplus)

    def restart(self) -> None:
        """Begin with an empty queue that has not run dry."""
        self._played_at = None

    def _start(self) -> float:
        now = self._clock()
        if self._played_at is None:
            return now
        if now > self._played_at:
            self.n_underruns += 1
            return now
        return self._played_at


class SilentSpeaker(Closing):
    """Plays nothing, in real time."""

    name = "silent"

    def __init__(
        self,
        sample_rate: int,
        *,
        buffer_seconds: float = BUFFER_SECONDS,
        clock: Clock = time.monotonic,
        sleep: Sleep = time.sleep,
    ) -> None:
        self.latency_seconds = buffer_seconds
        self._pacer = Pacer(sample_rate, buffer_seconds=buffer_seconds, clock=clock, sleep=sleep)

    @property
    def n_underruns(self) -> int:
        """How often the sound broke off because a block came too late."""
        return self._pacer.n_underruns

    def write(self, samples: NDArray[np.float32]) -> None:
        """Wait as a card with this buffer would."""
        self._pacer.advance(len(samples))


class WavSpeaker(Closing):
    """Records 16-bit mono PCM; a file takes its name when it is complete, see `Output`.

    Leaving the ``with`` block by a signal, Ctrl-C or SystemExit is a clean end and keeps what was
    recorded, if anything was; any other exception drops it, and what was there before stays.
    `close` and `abort` may be called from another thread than `write`. A pipe or a device gets a
    header that promises as much as WAV allows: its length is not known when it begins.

    Parameters
    ----------
    whole : bool
        Keep nothing that any exception has cut short.

    Raises
    ------
    OutputError
        Here, from `write` or from `close`, if the file cannot be written.
    """

    latency_seconds = 0.0

    def __init__(
        self,
        path: Path,
        sample_rate: int,
        *,
        paced: bool,
        whole: bool = False,
        clock: Clock = time.monotonic,
        sleep: Sleep = time.sleep,
        max_bytes: int = _MAX_WAV_BYTES,
    ) -> None:
        self.name = str(path)
        self._path = path
        self._sample_rate = sample_rate
        self._whole = whole
        self._max_bytes = max_bytes
        self._n_bytes = 0
        # Reentrant: a recording that is full closes itself while it is written to.
        self._lock = threading.RLock()
        pacer = Pacer(sample_rate, buffer_seconds=BUFFER_SECONDS, clock=clock, sleep=sleep)
        self._pacer = pacer if paced else None
        self._output: Output | None = self._open()

    @property
    def n_underruns(self) -> int:
        """How often the sound broke off because a block came too late."""
        return self._pacer.n_underruns if self._pacer else 0

    def write(self, samples: NDArray[np.float32]) -> None:
        """Record samples of shape (n,); what is beyond full scale is clipped."""
        with self._lock:
            self._record(samples)
        if self._pacer:
            self._pacer.advance(len(samples))

    def close(self) -> None:
        """Complete the file and give it its name; may be called again."""
        with self._lock:
            output, self._output = self._output, None
            if output is None:
                return
            try:
                if not output.is_stream:
                    output.file.seek(0)
                    output.file.write(_wav_header(self._sample_rate, self._n_bytes))
                output.keep()
            except OSError as error:
                output.drop()
                raise not_written(self._path, error) from error

    def end(self) -> None:
        """Keep what was recorded so far, or drop it where only the whole is wanted or none is."""
        if self._whole or self._n_bytes == 0:
            self.abort()
        else:
            self.close()

    def abort(self) -> None:
        """Forget the recording; may be called again."""
        with self._lock:
            output, self._output = self._output, None
            if output is not None:
                output.drop()

    def __exit__(self, kind: object, error: object, trace: object, /) -> None:
        if isinstance(error, Exception):
            self.abort()
        elif error is not None:
            self.end()
        else:
            self.close()

    def _record(self, samples: NDArray[np.float32]) -> None:
        if self._output is None:
            raise OutputError(f"{self._path}: found a closed recording, expected an open one")
        self._make_room(2 * len(samples))
        try:
            self._output.file.write(_to_pcm(samples))
            if self._output.is_stream:
                self._output.file.flush()
        except OSError as error:
            self.abort()
            raise not_written(self._path, error) from error
        self._n_bytes += 2 * len(samples)

    def _open(self) -> Output:
        output: Output | None = None
        try:
            output = Output(self._path)
            output.file.write(_wav_header(self._sample_rate, self._max_bytes))
        except OSError as error:
            if output is not None:
                output.drop()
            raise not_written(self._path, error) from error
        return output

    def _make_room(self, n_bytes: int) -> None:
        if self._n_bytes + n_bytes > self._max_bytes:
            self.close()
            raise OutputError(
                f"{self._path}: found the recording full, expected less than 4 GiB as WAV allows; "
                "what was played so far is kept, start another one"
            )


def open_speaker(
    spec: str, sample_rate: int, *, live: bool, report: Report, patient: bool = False
) -> Speaker:
    """Open the speaker a player asked for.

    Parameters
    ----------
    spec : str
        ``auto`` (the default card, or a recording where there is none), ``card`` (the default card
        or an error), ``silent``, ``wav:FILE``, or a part of a card's name.
    live : bool
        Whether a recording keeps real time.
    report : callable
        Takes one line for the player.
    patient : bool
        Wait for a card, unheard, instead of refusing or recording.

    Raises
    ------
    SpeakerUnavailable, OutputError
    """
    if spec == "silent":
        return SilentSpeaker(sample_rate)
    if spec.startswith("wav:"):
        return WavSpeaker(_wav_path(spec), sample_rate, paced=live)
    if spec == "auto" and not patient:
        return _open_card_or_recording(sample_rate, live=live, report=report)
    name = None if spec in ("auto", "card") else spec
    return _open_card(name, sample_rate, report=report, patient=patient)


def _wav_path(spec: str) -> Path:
    text = spec.removeprefix("wav:")
    if not text:
        raise OutputError("speaker 'wav:': found no file name, expected one; write wav:FILE")
    return Path(text)


def _open_card(
    name: str | None, sample_rate: int, *, report: Report, patient: bool = False
) -> Speaker:
    # Imported here: PortAudio is loaded, and its cards are searched, only for who wants a card.
    from device.audio.sound_card import CardSpeaker

    return CardSpeaker(name, sample_rate, report=report, patient=patient)


def _open_card_or_recording(sample_rate: int, *, live: bool, report: Report) -> Speaker:
    try:
        return _open_card(None, sample_rate, report=report)
    except SpeakerUnavailable as error:
        report(f"{error}; recording to {FALLBACK_PATH} meanwhile")
        return WavSpeaker(FALLBACK_PATH, sample_rate, paced=live)


def _wav_header(sample_rate: int, n_bytes: int) -> bytes:
    """Header of 16-bit mono PCM.

    Written out here because the standard library's `wave` goes back to the header at the end, which
    a pipe does not allow.
    """
    pcm, n_channels, n_sample_bytes = 1, 1, 2
    frame_bytes = n_channels * n_sample_bytes
    return struct.pack(
        "<4sI4s 4sIHHIIHH 4sI",
        *(b"RIFF", 36 + n_bytes, b"WAVE"),
        *(b"fmt ", 16, pcm, n_channels, sample_rate, sample_rate * frame_bytes),
        *(frame_bytes, 8 * n_sample_bytes),
        *(b"data", n_bytes),
    )


def _to_pcm(samples: NDArray[np.float32]) -> bytes:
    pcm: NDArray[np.int16] = np.rint(np.clip(samples, -1, 1) * np.float32(32767)).astype("<i2")
    return pcm.tobytes()
