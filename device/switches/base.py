"""Where the panel comes from: the port, and the switches that need no hardware.

The panel is a level, not a stream of events: whoever is asked says how the switches stand now, so
that a missed edge cannot exist. Pins are in `device.switches.gpio`, the terminal is in
`device.switches.keyboard`.
"""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Protocol, Self

from device.closeable import Closing
from device.errors import BitsError, ScriptError
from device.files import read_text
from device.playback.state import Bits

LOCKOUT_SECONDS = 0.03

# A flip every 2.5 s: alone, together, back, and a whole change of scene. Ends where it can repeat.
DEMO_SCRIPT: tuple[tuple[float, str], ...] = (
    (0.0, "10000000"),
    (2.5, "11000000"),
    (5.0, "11010000"),
    (7.5, "01010010"),
    (10.0, "01110010"),
    (12.5, "00100110"),
    (15.0, "10111101"),
    (17.5, "11001001"),
)
DEMO_SECONDS = 20.0


def parse_bits(text: str, n_switches: int) -> Bits:
    """Read a panel state written as one 0 or 1 per switch, first switch first.

    Raises
    ------
    BitsError
        If another character is in it, or it is not `n_switches` long.
    """
    if len(text) != n_switches or set(text) - {"0", "1"}:
        raise BitsError(
            f"switches: found {text!r}, expected {n_switches} characters 0 or 1; "
            f"write one per switch, such as {'10' * (n_switches // 2) + '1' * (n_switches % 2)}"
        )
    return tuple(character == "1" for character in text)


def format_bits(bits: Bits) -> str:
    """Write a panel state as `parse_bits` reads it."""
    return "".join("1" if bit else "0" for bit in bits)


def fit(bits: Bits, n_switches: int) -> Bits:
    """A panel state for a model with more or fewer switches: extra ignored, missing off."""
    return bits[:n_switches] + (False,) * (n_switches - len(bits))


def misfit(n_panel: int, n_model: int) -> str | None:
    """What to tell the player of a panel with another number of switches, if it has."""
    if n_panel == n_model:
        return None
    rest = "the extra ones are ignored" if n_panel > n_model else "the missing ones stay off"
    return f"the panel has {n_panel} switches, the model {n_model}: {rest}"


class Switches(Protocol):
    """A panel of switches: hardware, or its twin."""

    @property
    def n_switches(self) -> int:
        """How many switches the panel has."""
        ...

    @property
    def finished(self) -> bool:
        """Whether the player asked to end."""
        ...

    @property
    def chattering(self) -> Bits:
        """Which switches are held because they chatter."""
        ...

    def read(self, seconds: float) -> Bits:
        """How the panel stands now, `seconds` of music after the start."""
        ...

    def fit(self, n_switches: int) -> None:
        """Have so many switches from now on, if that is possible."""
        ...

    def close(self) -> None:
        """Let go of the hardware; may be called again."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: object, error: object, trace: object, /) -> None: ...


class OpenSwitches(Closing):
    """What is the same for every panel: never finished, of one size, holding nothing."""

    @property
    def finished(self) -> bool:
        """Whether the player asked to end."""
        return False

    @property
    def chattering(self) -> Bits:
        """Which switches are held because they chatter; none, where there are no wires."""
        return ()

    def fit(self, n_switches: int) -> None:
        """Stay as it is: hardware has the switches it has."""


class Debounce:
    """Believes a contact that moved at once, then is deaf to it for the lockout.

    So a flip costs no latency, and bounce is swallowed whether the contact closes or opens. After
    the lockout the level is read again: what the output says is then what the panel says.
    """

    def __init__(self, n: int, lockout_seconds: float) -> None:
        self._lockout_seconds = lockout_seconds
        self._levels = [False] * n
        self._deaf_until = [float("-inf")] * n

    def update(self, raw: Bits, now: float) -> Bits:
        """Return the contacts as believed at `now` (seconds of any steady clock)."""
        for i, level in enumerate(raw):
            if level != self._levels[i] and now >= self._deaf_until[i]:
                self._levels[i] = level
                self._deaf_until[i] = now + self._lockout_seconds
        return tuple(self._levels)


class FixedSwitches(OpenSwitches):
    """One state for ever, to render it."""

    def __init__(self, bits: Bits) -> None:
        self.n_switches = len(bits)
        self._bits = bits

    def read(self, seconds: float) -> Bits:
        """Return the one state."""
        return self._bits


class ScriptSwitches(OpenSwitches):
    """A panel that follows a list of (seconds, bits) in music time, all off before the first.

    Parameters
    ----------
    flips : sequence of (float, Bits)
        Seconds strictly increasing.
    repeat_seconds : float or None
        Where the list starts again; None holds the last state.
    """

    def __init__(
        self,
        flips: Sequence[tuple[float, Bits]],
        n_switches: int,
        *,
        repeat_seconds: float | None = None,
    ) -> None:
        self.n_switches = n_switches
        self._times = [seconds for seconds, _ in flips]
        self._states = [(False,) * n_switches, *(bits for _, bits in flips)]
        self._repeat_seconds = repeat_seconds

    def read(self, seconds: float) -> Bits:
        """Return the state of the last line at or before `seconds`."""
        if self._repeat_seconds is not None:
            seconds %= self._repeat_seconds
        return self._states[bisect_right(self._times, seconds)]


def load_script(path: Path, n_switches: int) -> ScriptSwitches:
    """Read a script: lines of ``seconds bits``, blank lines and ``# comments``.

    Raises
    ------
    ScriptError
        Naming the file and the line.
    """
    flips: list[tuple[float, Bits]] = []
    for number, line in enumerate(_script_lines(path), start=1):
        words = line.partition("#")[0].split()
        if words:
            place = f"{path}:{number}"
            flip = _parse_flip(words, n_switches, place)
            _check_order(flip[0], flips, place)
            flips.append(flip)
    return ScriptSwitches(flips, n_switches)


def demo_switches(n_switches: int) -> ScriptSwitches:
    """`DEMO_SCRIPT` for any number of switches, over and over."""
    flips = [
        (seconds, parse_bits("".join(islice(cycle(bits), n_switches)), n_switches))
        for seconds, bits in DEMO_SCRIPT
    ]
    return ScriptSwitches(flips, n_switches, repeat_seconds=DEMO_SECONDS)


def _script_lines(path: Path) -> list[str]:
    try:
        return read_text(path).splitlines()
    except OSError as error:
        found = error.strerror or str(error)
    except UnicodeDecodeError:
        found = "bytes that are not UTF-8"
    raise ScriptError(f"{path}: found {found}, expected a text file of lines like '2.5 10110000'")


def _parse_flip(words: list[str], n_switches: int, place: str) -> tuple[float, Bits]:
    if len(words) != 2:
        raise ScriptError(
            f"{place}: found {' '.join(words)!r}, expected seconds and bits, "
            f"such as '2.5 {'1' * n_switches}'"
        )
    try:
        bits = parse_bits(words[1], n_switches)
    except BitsError as error:
        raise ScriptError(f"{place}: {error}") from None
    return _parse_seconds(words[0], place), bits


def _parse_seconds(word: str, place: str) -> float:
    try:
        seconds = float(word)
    except ValueError:
        seconds = float("nan")
    if not 0 <= seconds < float("inf"):
        raise ScriptError(
            f"{place}: found {word!r}, expected seconds from 0 on; write a number such as 2.5"
        )
    return seconds


def _check_order(seconds: float, earlier: list[tuple[float, Bits]], place: str) -> None:
    if earlier and seconds <= earlier[-1][0]:
        raise ScriptError(
            f"{place}: found {seconds:g} s, expected more than the {earlier[-1][0]:g} s before it; "
            "sort the lines by time"
        )
