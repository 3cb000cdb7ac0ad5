"""A sound card, through PortAudio.

Samples are written by blocking calls, never from a callback: no Python code runs in PortAudio's
thread, and a service may forbid writable code pages. A card may be plugged in and out while the
music runs.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from device.audio.resampler import Resampler
from device.audio.speaker import BUFFER_SECONDS, Clock, Pacer, Report, Sleep
from device.closeable import Closeable
from device.console import without_errors
from device.errors import SpeakerUnavailable

REOPEN_SECONDS = 1.0

# Rates that nearly every card accepts, if its default rate is refused too.
_USUAL_RATES = (48_000, 44_100)


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


class _OpenCard:
    """An open card, and the conversion of mono samples to its rate and channels."""

    def __init__(self, stream: CardStream, sample_rate: int, rate: int, n_channels: int) -> None:
        self._stream = stream
        self._n_channels = n_channels
        self._started = False
        self._resampler = Resampler(sample_rate, rate)
        self.latency_seconds = stream.latency + self._resampler.delay_seconds

    def write(self, samples: NDArray[np.float32]) -> bool:
        """Play; whether the sound had broken off before."""
        samples = self._resampler.process(samples)
        if len(samples) == 0:
            return False
        frames = np.repeat(samples[:, np.newaxis], self._n_channels, axis=1)  # (n, n_channels)
        if self._started:
            return self._stream.write(frames)
        # Started only now: the card would have run dry while the first block was computed.
        self._started = True
        self._stream.start()
        self._stream.write(frames)
        return False

    def close(self) -> None:
        self._stream.close()


class CardSpeaker(Closeable):
    """Plays on a card in real time, and continues unheard while the card is missing.

    Parameters
    ----------
    name : str or None
        Part of the card's name; None for the default card.
    latency_seconds : float
        Requested from the card; the attribute of the same name is what it grants.
    wait_for_device : bool
        Begin without the card where it is not there yet, or busy; it is tried again.
    report : callable
        Takes one line when the card goes or comes back.

    Raises
    ------
    SpeakerUnavailable
        If there is no PortAudio; and, without `wait_for_device`, if there is no such card now, or
        it cannot be opened.
    """

    def __init__(
        self,
        name: str | None,
        sample_rate: int,
        *,
        report: Report,
        wait_for_device: bool = False,
        latency_seconds: float = BUFFER_SECONDS,
        clock: Clock = time.monotonic,
        sleep: Sleep = time.sleep,
        backend: AudioBackend | None = None,
    ) -> None:
        self.n_underruns = 0
        self.name = name or "the default card"
        self.latency_seconds = latency_seconds
        self._requested_name = name
        self._sample_rate = sample_rate
        self._requested_latency = latency_seconds
        self._report = without_errors(report)
        self._clock = clock
        self._sleep = sleep
        self._backend = backend or PortAudio()
        self._retry_at = 0.0
        self._pacer = Pacer(sample_rate, buffer_seconds=latency_seconds, clock=clock, sleep=sleep)
        self._open_card: _OpenCard | None = self._open_first(wait_for_device=wait_for_device)

    @property
    def is_there(self) -> bool:
        """Whether the card is being played on."""
        return self._open_card is not None

    def write(self, samples: NDArray[np.float32]) -> None:
        """Queue samples of shape (n,); blocks while the card's buffer is full."""
        if self._open_card is None and self._clock() >= self._retry_at:
            self._reopen()
        if self._open_card is None:
            self._pacer.advance(len(samples))
            return
        try:
            self.n_underruns += self._open_card.write(samples)
        except self._backend.error as error:
            self._handle_disconnect(self._open_card, error)
            self._pacer.advance(len(samples))

    def close(self) -> None:
        """Play what is queued, then release the card; may be called again."""
        card, self._open_card = self._open_card, None
        self._retry_at = float("inf")
        if card is not None:
            # Not PortAudio's own way of waiting: that never returns from a card that hangs.
            self._sleep(card.latency_seconds)
            card.close()

    def _open_first(self, *, wait_for_device: bool) -> _OpenCard | None:
        try:
            return self._open()
        except SpeakerUnavailable as error:
            if not wait_for_device:
                raise
            self._report(f"{error}; the music goes on unheard until then")
            self._retry_at = self._clock() + REOPEN_SECONDS
            return None

    def _open(self) -> _OpenCard:
        card = _find_card(self._backend.cards(), self._requested_name)
        rate, n_channels = self._accepted(card)
        try:
            stream = self._backend.open(card, rate, n_channels, self._requested_latency)
        except self._backend.error as error:
            raise _refused(card, str(error)) from error
        self.name = card.name
        opened = _OpenCard(stream, self._sample_rate, rate, n_channels)
        self.latency_seconds = opened.latency_seconds
        return opened

    def _accepted(self, card: Card) -> tuple[int, int]:
        """Rate and channels, the model's own rate and mono first."""
        for rate in (self._sample_rate, card.default_rate, *_USUAL_RATES):
            for n_channels in (1, 2):
                if self._backend.accepts(card, rate, n_channels):
                    return rate, n_channels
        raise _refused(card, f"neither {self._sample_rate} nor {card.default_rate} Hz accepted")

    def _handle_disconnect(self, card: _OpenCard, error: Exception) -> None:
        self._report(f"the card {self.name} is gone ({error}); the music goes on unheard")
        card.close()
        self._open_card = None
        self._retry_at = self._clock() + REOPEN_SECONDS
        self._pacer.restart()

    def _reopen(self) -> None:
        try:
            self._backend.rescan()
            self._open_card = self._open()
        except (self._backend.error, SpeakerUnavailable):
            self._retry_at = self._clock() + REOPEN_SECONDS
        else:
            self._report(f"the card {self.name} is there")


def _find_card(cards: list[Card], requested: str | None) -> Card:
    """Return the card of that name, else the first with that part in its name."""
    for matches in _name_tests(requested):
        for card in cards:
            if matches(card):
                return card
    what = "a sound card" if requested is None else f"one whose name has {requested!r} in it"
    names = ", ".join(repr(card.name) for card in cards) or "no card at all"
    raise SpeakerUnavailable(
        f"speaker: found {names}, expected {what}; plug one in or choose another speaker"
    )


def _name_tests(requested: str | None) -> Iterator[Callable[[Card], bool]]:
    if requested is None:
        yield lambda card: card.is_default
        return
    part = requested.lower()
    yield lambda card: card.name.lower() == part
    yield lambda card: part in card.name.lower()


def _refused(card: Card, reason: str) -> SpeakerUnavailable:
    return SpeakerUnavailable(
        f"speaker {card.name}: found {reason}, expected a card that opens; "
        "close what else is using it or choose another speaker"
    )
