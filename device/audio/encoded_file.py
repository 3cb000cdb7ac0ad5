"""A recording as FLAC, Ogg Vorbis or MP3, where the package soundfile is installed."""

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device.audio.wav_file import WavSpeaker, to_pcm
from device.closeable import Closeable
from device.errors import MissingExtra, OutputError
from device.system.outputs import Output, not_written

# By the end of a file's name: format and coding, as libsndfile names them.
FORMATS = {
    ".flac": ("FLAC", "PCM_16"),
    ".ogg": ("OGG", "VORBIS"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
}


class EncodedFile(Closeable):
    """Records mono as fast as it is written to; the file is complete or absent, see `Output`.

    FLAC has the samples of the WAV file that `WavSpeaker` would write.

    Raises
    ------
    MissingExtra
        If soundfile is not installed.
    OutputError
        Here, from `write` or from `close`, if the file cannot be written.
    """

    is_live = False
    queued_seconds = latency_seconds = 0.0
    n_underruns = 0

    def __init__(self, path: Path, sample_rate: int) -> None:
        self.name = str(path)
        self._path = path
        library = _soundfile(path)
        kind, coding = FORMATS[path.suffix.lower()]
        self._errors = (OSError, library.SoundFileError)
        self._output: Output | None = None
        try:
            output = Output(path)
            if output.is_stream:
                output.drop()
                raise OutputError(
                    f"{path}: found a pipe or a device, expected a file: {kind} is not written in "
                    "one pass; write WAV"
                )
            self._output = output
            self._encoder = library.SoundFile(output.file, "w", sample_rate, 1, coding, format=kind)
        except self._errors as error:
            raise self._failed(error) from error

    def wait(self, queued_seconds: float) -> float:
        """Return at once: it is not in real time."""
        del queued_seconds
        return 0.0

    def write(self, samples: NDArray[np.float32]) -> None:
        """Record samples of shape (n,), rounded to 16 bits."""
        try:
            self._encoder.write(to_pcm(samples))
        except self._errors as error:
            raise self._failed(error) from error

    def close(self) -> None:
        """Complete the file and give it its name; may be called again."""
        output, self._output = self._output, None
        if output is None:
            return
        try:
            self._encoder.close()
            output.keep()
        except self._errors as error:
            output.drop()
            raise self._failed(error) from error

    def abort(self) -> None:
        """Discard the recording; may be called again."""
        output, self._output = self._output, None
        if output is not None:
            self._encoder.close()
            output.drop()

    def __exit__(self, kind: object, error: object, trace: object, /) -> None:
        if error is None:
            self.close()
        else:
            self.abort()

    def _failed(self, error: BaseException) -> OutputError:
        output, self._output = self._output, None
        if output is not None:
            output.drop()
        if isinstance(error, OutputError):
            return error
        cause = error if isinstance(error, OSError) else OSError(str(error))
        return not_written(self._path, cause)


def open_recording_file(path: Path, sample_rate: int) -> WavSpeaker | EncodedFile:
    """A file in the format that its name ends with; WAV for any other name.

    Raises
    ------
    MissingExtra, OutputError
    """
    if path.suffix.lower() in FORMATS:
        return EncodedFile(path, sample_rate)
    return WavSpeaker(path, sample_rate, paced=False, whole=True)


def _soundfile(path: Path) -> Any:
    # By name: it is no package of the device, which needs it for nothing else.
    try:
        return import_module("soundfile")
    except (ImportError, OSError) as error:
        raise MissingExtra(
            f"{path}: found no package soundfile, expected it for {path.suffix}; pip install "
            "soundfile, or write WAV"
        ) from error
