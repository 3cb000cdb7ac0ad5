"""Clock out: 24 pulses a beat by MIDI and two by a pin, sent when the beat leaves the speaker."""

import math
import time
from collections.abc import Callable

from device.closeable import Closeable
from device.playback.beat_clock import BeatClock
from device.switches.midi.parser import (
    CLOCK,
    CONTINUE,
    PULSES_PER_BEAT,
    PULSES_PER_SIXTEENTH,
    SONG_POSITION,
    START,
    STOP,
)
from device.system.threads import SupervisedThread

_PULSES_PER_PIN_PULSE = 12
# The beat's time is asked for again at least so often: it moves with the tempo and the card.
_NAP_SECONDS = 0.02
# After a gap, as many pulses are sent late; after a longer one the rest is left out.
_MOST_LATE_PULSES = 6

Send = Callable[[bytes], None]
SetPin = Callable[[bool], None]


class ClockOut(Closeable):
    """A thread that sleeps until each pulse and sends it.

    Start is sent with the first beat of all, Continue with the song position in any other place,
    Stop at the end. The pin is high for one pulse of 24, twice a beat.

    Parameters
    ----------
    beats : BeatClock
    send : callable
        Takes MIDI bytes; None sends none.
    set_pin : callable or None
        Takes the level of the pulse pin.
    """

    def __init__(
        self,
        beats: BeatClock,
        *,
        send: Send | None = None,
        set_pin: SetPin | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        is_threaded: bool = True,
    ) -> None:
        self._beats = beats
        self._send = send
        self._set_pin = set_pin
        self._clock = clock
        self._sleep = sleep
        self._next: int | None = None
        self._helper = SupervisedThread("clock", self.step) if is_threaded else None

    def close(self) -> None:
        """End the thread, send Stop; idempotent."""
        if self._helper is not None:
            self._helper.close()
        if self._next is not None and self._send is not None:
            self._send(bytes((STOP,)))
        self._next = None

    def step(self) -> None:
        """Sleep for a while, or until the next pulse, and send it."""
        if not self._beats.is_running:
            self._sleep(_NAP_SECONDS)
            return
        wait_seconds = self._beats.time_of(self._pulse() / PULSES_PER_BEAT) - self._clock()
        if wait_seconds > _NAP_SECONDS:
            self._sleep(_NAP_SECONDS / 2)
            return
        self._sleep(max(wait_seconds, 0.0))
        self._fire(self._pulse())

    def _pulse(self) -> int:
        """The next pulse, counted from beat 0; where it is too far off, one that is not."""
        now = self._beats.beat_at(self._clock()) * PULSES_PER_BEAT
        if self._next is None or not -PULSES_PER_BEAT < self._next - now < PULSES_PER_BEAT:
            self._next = self._first_pulse(now)
        elif self._next - now < -_MOST_LATE_PULSES:
            self._next = math.ceil(now)
        return self._next

    def _first_pulse(self, now: float) -> int:
        sixteenth = max(math.ceil(now / PULSES_PER_SIXTEENTH), 0)
        if self._send is not None and sixteenth == 0:
            self._send(bytes((START,)))
        elif self._send is not None:
            position = sixteenth % 2**14
            self._send(bytes((SONG_POSITION, position % 128, position // 128, CONTINUE)))
        return sixteenth * PULSES_PER_SIXTEENTH

    def _fire(self, pulse: int) -> None:
        self._next = pulse + 1
        if self._send is not None:
            self._send(bytes((CLOCK,)))
        if self._set_pin is not None and pulse % _PULSES_PER_PIN_PULSE < 2:
            self._set_pin(pulse % _PULSES_PER_PIN_PULSE == 0)
