"""A sound card as a speaker: it may come and go while the music runs."""

import time
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from device.audio.card_output import CardOutput
from device.audio.port_audio import AudioBackend, Card, PortAudio
from device.audio.speaker import BUFFER_SECONDS, Clock, Pacer, Report, Sleep
from device.closeable import Closeable
from device.console import without_errors
from device.errors import SpeakerUnavailable

REOPEN_SECONDS = 1.0
# Requested from a card, one after the other as the queue needs more room. The first is what most
# cards play without gaps at real-time priority; the driver's own minimum is not.
BUFFERS_SECONDS = (0.024, 0.040, 0.060)

# What nearly every card has, should its default rate be refused too.
_USUAL_RATES = (48_000, 44_100)


class CardSpeaker(Closeable):
    """Plays on a card in real time, and continues unheard while the card is missing.

    Parameters
    ----------
    name : str or None
        Part of the card's name; None for the default card.
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
        clock: Clock = time.monotonic,
        sleep: Sleep = time.sleep,
        backend: AudioBackend | None = None,
    ) -> None:
        self.n_underruns = 0
        self.name = name or "the default card"
        self._requested_name = name
        self._sample_rate = sample_rate
        self._n_enlarged = 0
        self._block_seconds = 0.0
        self._report = without_errors(report)
        self._clock = clock
        self._sleep = sleep
        self._backend = backend or PortAudio()
        self._retry_at = 0.0
        self._pacer = Pacer(sample_rate, buffer_seconds=BUFFER_SECONDS, clock=clock, sleep=sleep)
        self._output: CardOutput | None = self._open_first(wait_for_device=wait_for_device)

    is_live = True

    @property
    def is_there(self) -> bool:
        """Whether the card is being played on."""
        return self._output is not None

    @property
    def queued_seconds(self) -> float:
        """How long what is queued plays."""
        return (self._output or self._pacer).queued_seconds

    @property
    def latency_seconds(self) -> float:
        """From now until what was written last has been heard."""
        return self.queued_seconds + (self._output.delay_seconds if self._output else 0.0)

    def wait(self, queued_seconds: float) -> float:
        """Return when no more than so much is queued; by how many seconds too late."""
        if self._output is None:
            return self._pacer.wait(queued_seconds)
        if self._output.capacity_seconds < queued_seconds + self._block_seconds:
            self._enlarge(self._output)
        surplus = self.queued_seconds - queued_seconds
        if surplus <= 0:
            return 0.0
        self._sleep(surplus)
        return max(queued_seconds - self.queued_seconds, 0.0)

    def write(self, samples: NDArray[np.float32]) -> None:
        """Queue samples of shape (n,); blocks while the card's buffer is full."""
        self._block_seconds = len(samples) / self._sample_rate
        if self._output is None and self._clock() >= self._retry_at:
            self._reopen()
        if self._output is None:
            self._pacer.advance(len(samples))
            return
        try:
            self.n_underruns += self._output.write(samples)
        except self._backend.error as error:
            self._handle_disconnect(self._output, error)
            self._pacer.advance(len(samples))

    def close(self) -> None:
        """Play what is queued, then release the card; may be called again."""
        seconds = self.latency_seconds
        output, self._output = self._output, None
        self._retry_at = float("inf")
        if output is not None:
            # Not PortAudio's own way of waiting: that never returns from a card that hangs.
            self._sleep(min(seconds, 2 * BUFFER_SECONDS))
            output.close()

    def _open_first(self, *, wait_for_device: bool) -> CardOutput | None:
        try:
            return self._open()
        except SpeakerUnavailable as error:
            if not wait_for_device:
                raise
            self._report(f"{error}; the music goes on unheard until then")
            self._retry_at = self._clock() + REOPEN_SECONDS
            return None

    def _open(self) -> CardOutput:
        card = _find_card(self._backend.cards(), self._requested_name)
        rate, n_channels = self._accepted(card)
        try:
            buffer_seconds = BUFFERS_SECONDS[self._n_enlarged]
            stream = self._backend.open(card, rate, n_channels, buffer_seconds)
        except self._backend.error as error:
            raise _refused(card, str(error)) from error
        self.name = card.name
        return CardOutput(stream, self._sample_rate, rate, n_channels, clock=self._clock)

    def _accepted(self, card: Card) -> tuple[int, int]:
        """Rate and channels; mono first, and the model's own rate or twice as much."""
        rates = (self._sample_rate, 2 * self._sample_rate, card.default_rate, *_USUAL_RATES)
        for rate in rates:
            for n_channels in (1, 2):
                if self._backend.accepts(card, rate, n_channels):
                    return rate, n_channels
        raise _refused(card, f"neither {self._sample_rate} nor {card.default_rate} Hz accepted")

    def _enlarge(self, output: CardOutput) -> None:
        """Open the card again with a larger buffer, if there is a larger one."""
        if self._n_enlarged + 1 == len(BUFFERS_SECONDS):
            return
        self._n_enlarged += 1
        milliseconds = 1e3 * BUFFERS_SECONDS[self._n_enlarged]
        self._report(f"the card {self.name} needs a buffer of {milliseconds:.0f} ms from now on")
        output.close()
        self._output = None
        try:
            self._output = self._open()
        except SpeakerUnavailable as error:
            self._report(f"{error}; the music goes on unheard until then")
            self._retry_at = self._clock() + REOPEN_SECONDS
            self._pacer.restart()

    def _handle_disconnect(self, card: CardOutput, error: Exception) -> None:
        self._report(f"the card {self.name} is gone ({error}); the music goes on unheard")
        card.close()
        self._output = None
        self._retry_at = self._clock() + REOPEN_SECONDS
        self._pacer.restart()

    def _reopen(self) -> None:
        try:
            self._backend.rescan()
            self._output = self._open()
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
