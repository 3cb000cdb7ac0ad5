"""When the instrument sleeps, wakes, is quiet and wanders.

Time is the sound written to the speaker, silence included: it needs no clock, and a recording does
the same as a device. Times of day come as commands from `device.playback.evening.day_clock`.
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from device.playback.evening.gesture import SleepGesture
from device.playback.evening.state import SILENT_DB, EveningSettings, EveningState
from device.playback.evening.wander import Wanderer
from device.switches.bits import Bits
from device.switches.commands import SetQuiet, Sleep, Wake, Wander

if TYPE_CHECKING:
    from device.playback.control import Control

MOST_SLEEP_MINUTES = 24 * 60.0
# After a hand: it is there, and waits for sound.
HAND_FADE_SECONDS = 1.5
# Into quiet hours that are not silent, and out of them.
QUIET_FADE_SECONDS = 10.0
# As long as this it has just started.
_START_SECONDS = 60.0
# The sound dips to say that the gesture was understood: down, up again, and the level between.
_DIP_SECONDS, _DIP_FADE_SECONDS, _DIP_LEVEL = 0.8, 0.3, 0.1


class Evening:
    """Decides the level of all sound, and flips what the wander flips; for the audio loop.

    Parameters
    ----------
    fade : callable
        Fades all sound to a level, 0 to 1, within so many seconds.
    is_silent : callable
        Whether a fade to 0 is over.
    place : callable
        Returns the beat of the next frame, and the number of switches of the model that is heard;
        called while it wanders.
    control : Control
        Its commands `Sleep`, `Wake`, `SetQuiet` and `Wander` are taken from now on.

    Attributes
    ----------
    now : float
        Seconds of sound written to the speaker; to be set before each block.
    due_at : float
        Before then there is nothing to `update`.
    """

    def __init__(
        self,
        fade: Callable[[float, float], None],
        is_silent: Callable[[], bool],
        place: Callable[[], tuple[float, int]],
        control: "Control",
    ) -> None:
        self._settings = EveningSettings()
        self._fade = fade
        self._is_silent = is_silent
        self._place = place
        self._wanderer = Wanderer(control.remote, control.performance.seed)
        self._gesture = SleepGesture()
        self.now = self.due_at = 0.0
        self._hand_at = 0.0
        self._sleep_at: float | None = None
        self._sleep_fade_seconds = 0.0
        self._is_falling_asleep = False
        self._asleep_at: float | None = None
        self._is_quiet = False
        self._must_wander = False
        self._dips_until: float | None = None
        control.remote.on_move = self._panel_moved
        control.on_hand = self.notice_hand
        control.handlers |= {
            Sleep: lambda command: self.sleep(command.minutes),
            Wake: lambda _: self.wake(),
            SetQuiet: lambda command: self.set_quiet(command.on),
            Wander: lambda _: self.wander(),
        }

    def configure(self, settings: EveningSettings) -> None:
        """Take the settings, before the music begins."""
        self._settings = settings
        self.sleep(settings.sleep_minutes or 0.0)

    @property
    def state(self) -> EveningState:
        """What it does now."""
        sleep_at, wakes_at = self._sleep_at, self._wakes_at
        return EveningState(
            sleep_in_seconds=None if sleep_at is None else max(sleep_at - self.now, 0.0),
            is_asleep=self._asleep_at is not None,
            wake_in_seconds=None if wakes_at == math.inf else max(wakes_at - self.now, 0.0),
            wake_at=self._settings.wake_at,
            is_quiet=self._is_quiet,
            is_wandering=self._wanderer.is_wandering,
        )

    def update(self) -> None:
        """Take account of the time, before the switches are read."""
        if self._dips_until is not None and self.now >= self._dips_until:
            self._dips_until = None
            self._fade(self._level, _DIP_FADE_SECONDS)
        if self._sleep_at is not None:
            self._fall_asleep(self._sleep_at)
        if self._asleep_at is not None:
            if self.now >= self._wakes_at:
                self.wake()
        elif self._must_wander or self.now >= self._wanders_at:
            beat, n_switches = self._place()
            self._wanderer.update(beat, self._settings.wander_bars, n_switches)
        self.due_at = self._next_at

    @property
    def _next_at(self) -> float:
        """When there is something to update, if nothing is done until then."""
        if self._is_falling_asleep and self._asleep_at is None:
            return self.now  # it waits for silence
        if self._asleep_at is not None:
            return self._wakes_at
        times = [self._wanders_at]
        if self._must_wander:
            times.append(self.now)
        if self._dips_until is not None:
            times.append(self._dips_until)
        if self._sleep_at is not None:
            times.append(self._sleep_at - self._sleep_fade_seconds)
        return min(times)

    def sleep(self, minutes: float) -> None:
        """Be asleep after so many minutes; 0 cancels that, also while it falls asleep."""
        self.due_at = 0.0
        if self._asleep_at is not None:
            return
        if self._is_falling_asleep:
            self._come_back(HAND_FADE_SECONDS)
        self._sleep_at = None
        if minutes > 0:
            seconds = 60 * min(minutes, MOST_SLEEP_MINUTES)
            self._sleep_at = self.now + seconds
            self._sleep_fade_seconds = min(60 * self._settings.sleep_fade_minutes, seconds)

    def wake(self) -> None:
        """Wake up, if it sleeps or falls asleep."""
        if self._is_falling_asleep:
            self._come_back(60 * self._settings.wake_fade_minutes)

    def wander(self) -> None:
        """Wander from the next bar on, if it is awake."""
        self.due_at = 0.0
        self._must_wander = not self._is_falling_asleep

    def set_quiet(self, on: bool) -> None:
        """Begin the quiet hours, or end them."""
        if on == self._is_quiet:
            return
        self._is_quiet = on
        if self._is_falling_asleep:
            return
        seconds = QUIET_FADE_SECONDS
        if self._settings.quiet_db <= SILENT_DB:
            settings = self._settings
            seconds = 60 * (settings.sleep_fade_minutes if on else settings.wake_fade_minutes)
        # At the start at once, and hardly later where the time is known a little later.
        self._fade(self._level, min(seconds, self.now) if self.now < _START_SECONDS else seconds)

    def notice_hand(self) -> None:
        """A hand has done something: end the wander, and wake up."""
        self._hand_at = self.now
        self._must_wander = False
        self._wanderer.stop()
        if self._is_falling_asleep:
            self._come_back(HAND_FADE_SECONDS)

    @property
    def _level(self) -> float:
        """Of all sound, as it is to be now."""
        if self._is_falling_asleep:
            return 0.0
        if not self._is_quiet:
            return 1.0
        quiet_db = self._settings.quiet_db
        return 0.0 if quiet_db <= SILENT_DB else 10 ** (quiet_db / 20)

    @property
    def _wanders_at(self) -> float:
        minutes = self._settings.wander_minutes
        return math.inf if minutes is None else self._hand_at + 60 * minutes

    @property
    def _wakes_at(self) -> float:
        """When it wakes up by itself; never while it is awake."""
        minutes, asleep_at = self._settings.wake_minutes, self._asleep_at
        return math.inf if minutes is None or asleep_at is None else asleep_at + 60 * minutes

    def _fall_asleep(self, sleep_at: float) -> None:
        if not self._is_falling_asleep and self.now >= sleep_at - self._sleep_fade_seconds:
            self._is_falling_asleep, self._dips_until = True, None
            self._fade(0.0, max(sleep_at - self.now, 0.0))
        if self._is_falling_asleep and self._is_silent():
            self._sleep_at, self._asleep_at = None, self.now

    def _come_back(self, fade_seconds: float) -> None:
        self.due_at = 0.0
        self._is_falling_asleep = False
        self._sleep_at = self._asleep_at = None
        # Whoever woke it is there, or has set it so.
        self._hand_at = self.now
        self._fade(self._level, fade_seconds)

    def _panel_moved(self, before: Bits, after: Bits) -> None:
        self.notice_hand()
        minutes = self._settings.gesture_minutes
        if self._gesture.update(self.now, before, after) and minutes > 0:
            self.sleep(0.0 if self._sleep_at is not None else minutes)
            self._dips_until, self.due_at = self.now + _DIP_SECONDS, 0.0
            self._fade(_DIP_LEVEL * self._level, _DIP_FADE_SECONDS)
