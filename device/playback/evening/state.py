"""Settings of the evening, and a snapshot of what it does."""

from dataclasses import dataclass

# The volume from which on quiet hours are silence.
SILENT_DB = -60.0


@dataclass(frozen=True)
class EveningSettings:
    """Minutes are of sound written to the speaker, which needs no clock.

    Attributes
    ----------
    sleep_minutes : float or None
        From the start until it is asleep; None: it does not fall asleep by itself.
    sleep_fade_minutes, wake_fade_minutes : float
        Length of the fades.
    wake_minutes : float or None
        How long it sleeps; None: until a hand or a command wakes it.
    wake_at : str or None
        Time of day at which a `Wake` is sent, for displays.
    quiet_db : float
        Level of the quiet hours; `SILENT_DB` is silence.
    wander_minutes : float or None
        Without a hand for so long, it wanders; None: by command alone.
    wander_bars : int
        From one flip of the wander to the next.
    gesture_minutes : float
        Of the sleep timer that the gesture on the switches starts; 0: there is no such gesture.
    """

    sleep_minutes: float | None = None
    sleep_fade_minutes: float = 5.0
    wake_fade_minutes: float = 1.0
    wake_minutes: float | None = None
    wake_at: str | None = None
    quiet_db: float = -20.0
    wander_minutes: float | None = None
    wander_bars: int = 8
    gesture_minutes: float = 0.0


@dataclass(frozen=True)
class EveningState:
    """A snapshot.

    Attributes
    ----------
    sleep_in_seconds : float or None
        Until it is asleep; None: there is no sleep timer.
    is_asleep : bool
    wake_in_seconds : float or None
        Until it wakes by its timer; None: it is awake, or there is no such timer.
    wake_at : str or None
        Time of day at which it wakes, such as ``07:00``.
    is_quiet : bool
        Whether these are quiet hours.
    is_wandering : bool
    """

    sleep_in_seconds: float | None = None
    is_asleep: bool = False
    wake_in_seconds: float | None = None
    wake_at: str | None = None
    is_quiet: bool = False
    is_wandering: bool = False

    @property
    def words(self) -> str:
        """In words, for people; empty where it just plays."""
        parts = []
        if self.is_asleep:
            parts.append("asleep")
        if self.sleep_in_seconds is not None:
            parts.append(f"asleep in {_minutes(self.sleep_in_seconds)}")
        if self.wake_in_seconds is not None:
            parts.append(f"wakes in {_minutes(self.wake_in_seconds)}")
        if self.wake_at is not None and self.is_asleep:
            parts.append(f"wakes at {self.wake_at}")
        if self.is_quiet:
            parts.append("quiet hours")
        if self.is_wandering:
            parts.append("wanders")
        return ", ".join(parts)


def time_of(minute: int) -> str:
    """A minute of the day as it is written, such as ``07:00``."""
    return f"{minute // 60:02}:{minute % 60:02}"


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 60 else f"{seconds:.0f} s"
