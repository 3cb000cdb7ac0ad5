"""A recording as a WAV file."""

import struct
import threading
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from device.audio.speaker import BUFFER_SECONDS, Clock, Pacer, Sleep
from device.closeable import Closeable
from device.errors import OutputError
from device.system.outputs import Output, not_written

# The sizes in a WAV header are 32 bits wide; at 22050 Hz that is 27 hours.
_MAX_WAV_BYTES = 2**32 - 4096


class WavSpeaker(Closeable):
    """Records 16-bit mono PCM; a file takes its name when it is complete, see `Output`.

    Leaving the ``with`` block by a signal, Ctrl-C or SystemExit is a clean end and keeps what was
    recorded, if anything was; any other exception drops it, and what was there before stays.
    `close` and `abort` may be called from another thread than `write`. The header for
    a pipe or a device states the largest size of WAV: the length is not known at the beginning.

    Parameters
    ----------
    whole : bool
        Discard a recording that any exception cut short.

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
    def is_live(self) -> bool:
        """Whether it keeps real time."""
        return self._pacer is not None

    @property
    def queued_seconds(self) -> float:
        """How long a card would have yet to play."""
        return self._pacer.queued_seconds if self._pacer else 0.0

    def wait(self, queued_seconds: float) -> float:
        """Return when a card would have no more than so much queued; how many seconds too late."""
        return self._pacer.wait(queued_seconds) if self._pacer else 0.0

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
                    output.file.write(wav_header(self._sample_rate, self._n_bytes))
                output.keep()
            except OSError as error:
                output.drop()
                raise not_written(self._path, error) from error

    def end(self) -> None:
        """Keep what was recorded so far; discard it if `whole` is set or it is empty."""
        if self._whole or self._n_bytes == 0:
            self.abort()
        else:
            self.close()

    def abort(self) -> None:
        """Discard the recording; may be called again."""
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
            self._output.file.write(to_pcm(samples).tobytes())
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
            output.file.write(wav_header(self._sample_rate, self._max_bytes))
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


def to_pcm(samples: NDArray[np.float32]) -> NDArray[np.int16]:
    """Samples (n,) as 16-bit ones; what is beyond full scale is clipped."""
    pcm: NDArray[np.int16] = np.rint(np.clip(samples, -1, 1) * np.float32(32767)).astype("<i2")
    return pcm


def wav_header(sample_rate: int, n_bytes: int) -> bytes:
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
