"""Sound cards through PortAudio: what this package uses of python-sounddevice.

Samples are written by blocking calls, never from a callback: no Python code runs in PortAudio's
thread, and a service may forbid writable code pages.
"""

from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from device.errors import SpeakerUnavailable


@dataclass(frozen=True)
class Card:
    """A card as PortAudio numbers it now; the number changes when cards come and go."""

    index: int
    name: str
    default_rate: int
    is_default: bool


class CardStream(Protocol):
    """An open card; the part of `sounddevice.OutputStream` used here."""

    @property
    def latency(self) -> float:
        """Seconds from the return of `write` until its last frame is heard."""
        ...

    @property
    def write_available(self) -> int:
        """Frames that `write` would take without blocking."""
        ...

    def start(self) -> None:
        """Begin to play what will be written."""
        ...

    def write(self, data: NDArray[np.float32], /) -> bool:
        """Play (n_frames, n_channels); whether the sound had broken off before."""
        ...

    def close(self) -> None:
        """Release the card at once."""
        ...


class AudioBackend(Protocol):
    """The part of PortAudio used here."""

    error: type[Exception]

    def cards(self) -> list[Card]:
        """List the cards that can play, as known since the last `rescan`."""
        ...

    def accepts(self, card: Card, sample_rate: int, n_channels: int) -> bool:
        """Whether the card takes float32 samples like these."""
        ...

    def open(
        self, card: Card, sample_rate: int, n_channels: int, latency_seconds: float
    ) -> CardStream:
        """Open the card; may raise `error`."""
        ...

    def rescan(self) -> None:
        """Look for the cards again; ends all streams; may raise `error`."""
        ...


class PortAudio:
    """`AudioBackend` on python-sounddevice.

    Raises
    ------
    SpeakerUnavailable
        If sounddevice cannot be imported, which is so when the PortAudio library is missing.
    """

    def __init__(self) -> None:
        problem = portaudio_problem()
        if problem:
            raise SpeakerUnavailable(problem)
        import sounddevice

        self._sounddevice = sounddevice
        self.error: type[Exception] = sounddevice.PortAudioError

    def cards(self) -> list[Card]:
        """List the cards that can play, as known since the last `rescan`."""
        default = self._default_index()
        return [
            Card(
                index=device["index"],
                name=device["name"],
                default_rate=round(device["default_samplerate"]),
                is_default=device["index"] == default,
            )
            for device in self._sounddevice.query_devices()
            if device["max_output_channels"] > 0
        ]

    def accepts(self, card: Card, sample_rate: int, n_channels: int) -> bool:
        """Whether the card takes float32 samples like these."""
        try:
            self._sounddevice.check_output_settings(
                device=card.index, channels=n_channels, dtype="float32", samplerate=sample_rate
            )
        except self.error:
            return False
        return True

    def open(
        self, card: Card, sample_rate: int, n_channels: int, latency_seconds: float
    ) -> CardStream:
        """Open the card for blocking writes; may raise `error`."""
        stream: CardStream = self._sounddevice.OutputStream(
            device=card.index,
            samplerate=sample_rate,
            channels=n_channels,
            dtype="float32",
            latency=latency_seconds,
        )
        return stream

    def rescan(self) -> None:
        """Look for the cards again; ends all streams; may raise `error`."""
        # PortAudio lists the cards once, when it is initialised: a card that was plugged in again
        # is seen only after a new start. There is no public way; sounddevice's author names these
        # two functions in its issue 125. Ending fails if the last start did, which does not matter.
        with suppress(self.error):
            self._sounddevice._terminate()
        self._sounddevice._initialize()

    def _default_index(self) -> int | None:
        try:
            index: int = self._sounddevice.query_devices(kind="output")["index"]
        except (self.error, ValueError):
            return None
        return index


def portaudio_problem() -> str | None:
    """Why no sound card can be used on this machine at all, or None."""
    try:
        import sounddevice  # noqa: F401  (only whether it can be imported)
    except ImportError as error:
        return f"speaker: found {error}, expected sounddevice; pip install sounddevice"
    except OSError as error:
        return f"speaker: found {error}, expected PortAudio; sudo apt install libportaudio2"
    return None


def list_cards(backend: AudioBackend | None = None) -> list[str]:
    """Names of the cards that can play."""
    return [card.name for card in (backend or PortAudio()).cards()]
