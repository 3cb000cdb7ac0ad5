"""Status LEDs: playing, fault and beat.

The audio loop only queues what should be lit; a helper thread switches the pins when the sound that
belongs to it leaves the speaker.
"""

import time
from collections.abc import Callable, Mapping
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from device.closeable import Closeable
from device.errors import SwitchesUnavailable
from device.playback.state import InstrumentState
from device.switches.header_pins import pin_errors, prepare_gpiozero
from device.switches.pinout import describe
from device.system.threads import SupervisedThread

if TYPE_CHECKING:
    from gpiozero import LED

PLAYING, FAULT, BEAT = "playing", "fault", "beat"
BEAT_SECONDS = 0.12
# On, and off, while the button that shuts down is held.
BLINK_SECONDS = 0.125
WAIT_SECONDS = 5.0

LedStates = tuple[bool, bool, bool]
_ALL_OFF: LedStates = (False, False, False)


class StatusLeds(Closeable):
    """A listener that shows the state on up to three LEDs.

    Parameters
    ----------
    pins : mapping of str to int
        BCM number of each LED there is: `PLAYING`, `FAULT`, `BEAT`.
    is_faulty : callable
        Whether there is a fault that the snapshot does not contain.

    Raises
    ------
    SwitchesUnavailable
        If a pin does not exist, is taken or not permitted.
    """

    def __init__(
        self,
        pins: Mapping[str, int],
        is_faulty: Callable[[], bool],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._is_faulty = is_faulty
        self._clock = clock
        self._requested: LedStates = _ALL_OFF
        self._beat = -1
        self._beat_until = 0.0
        self._queue: SimpleQueue[tuple[float, LedStates] | None] = SimpleQueue()
        self._leds = _open(pins)
        self._helper = SupervisedThread("leds", self._switch)

    def __call__(self, state: InstrumentState) -> None:
        """Another block was taken by the speaker."""
        beat = state.bar * state.n_beats + state.beat
        if beat != self._beat:
            self._beat, self._beat_until = beat, state.seconds + BEAT_SECONDS
        # While the button that shuts down is held, the LED of playing blinks.
        is_lit = not state.evening.is_asleep
        if state.ends_soon:
            is_lit = int(state.seconds / BLINK_SECONDS) % 2 == 0
        states = (is_lit, self._is_faulty(), state.seconds < self._beat_until)
        if states != self._requested:
            self._requested = states
            self._queue.put((self._clock() + state.latency_ms / 1e3, states))

    def close(self) -> None:
        """All off; may be called again."""
        self._helper.end()
        self._queue.put(None)
        self._helper.close()
        errors = pin_errors() if self._leds else ()
        while self._leds:
            _, led = self._leds.popitem()
            try:
                led.close()
            except errors:
                # The kernel frees the lines of an ended process anyway.
                continue

    def _switch(self) -> None:
        try:
            item = self._queue.get(timeout=WAIT_SECONDS)
        except Empty:
            return
        if item is None:
            return
        due, states = item
        time.sleep(max(0.0, due - self._clock()))
        for name, on in zip((PLAYING, FAULT, BEAT), states, strict=True):
            if name in self._leds:
                self._leds[name].value = on


def _open(pins: Mapping[str, int]) -> "dict[str, LED]":
    prepare_gpiozero()
    from gpiozero import LED

    leds: dict[str, LED] = {}
    for name, pin in pins.items():
        try:
            leds[name] = LED(pin)
        except pin_errors() as error:
            raise SwitchesUnavailable(
                f"LED {name!r}: found {' '.join(str(error).split())}, expected an LED on "
                f"{describe(pin)}; choose a pin that is free, or none"
            ) from error
    return leds
