"""Commands from anything but the panel's switches: MIDI, knobs, buttons, phones; and their queue.

Any thread may queue a command. The audio loop takes it when it reads the switches.
"""

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True)
class FlipSwitch:
    """Flip switch `index`, counted from 0."""

    index: int
    source: str


@dataclass(frozen=True)
class SetSwitch:
    """Bring switch `index`, counted from 0, to a state."""

    index: int
    on: bool
    source: str


@dataclass(frozen=True)
class SetTempo:
    """Beats per minute from now on."""

    bpm: float


@dataclass(frozen=True)
class ChangeTempo:
    """So many beats per minute more, or fewer."""

    by_bpm: float


@dataclass(frozen=True)
class SetVolume:
    """Gain before the limiter, in dB."""

    gain_db: float


@dataclass(frozen=True)
class ChangeVolume:
    """So many dB more, or fewer, before the limiter."""

    by_db: float


@dataclass(frozen=True)
class Keep:
    """Keep what was just heard."""


@dataclass(frozen=True)
class NextModel:
    """Play the next model of the store."""


@dataclass(frozen=True)
class Recall:
    """Recall a scene by its place in the list of scenes, counted from 0."""

    scene: int
    source: str


@dataclass(frozen=True)
class ShutDown:
    """End the music, and switch the device off where it is permitted."""


@dataclass(frozen=True)
class Sleep:
    """Be asleep after so many minutes of music, with a fade before; 0 cancels that."""

    minutes: float


@dataclass(frozen=True)
class Wake:
    """Wake up, if it sleeps or falls asleep, with a slow fade."""


@dataclass(frozen=True)
class SetQuiet:
    """The quiet hours begin, or end."""

    on: bool


@dataclass(frozen=True)
class Wander:
    """Flip switches at random from the next bar on, until a hand comes."""


Command = (
    FlipSwitch | SetSwitch | SetTempo | ChangeTempo | SetVolume | ChangeVolume | Keep | NextModel
    | Recall | ShutDown | Sleep | Wake | SetQuiet | Wander
)  # fmt: skip

# What a hand does, and no clock: it wakes what sleeps.
OF_A_HAND = (
    FlipSwitch, SetSwitch, ChangeTempo, SetVolume, ChangeVolume, NextModel, Recall
)  # fmt: skip

# More than any hand does between two blocks: of a flood the oldest commands are dropped.
MOST_WAITING = 1024


class CommandQueue(deque[Command]):
    """Commands in the order of their arrival; `put` from any thread, `take` from the audio loop's.

    No lock is taken: both ends of a deque are atomic. An empty queue costs the loop one comparison,
    and no call of Python.
    """

    def __init__(self) -> None:
        super().__init__(maxlen=MOST_WAITING)

    def put(self, command: Command) -> None:
        """Queue a command; returns at once."""
        self.append(command)

    def take(self) -> Command:
        """The oldest command.

        Raises
        ------
        IndexError
            If there is none.
        """
        return self.popleft()
