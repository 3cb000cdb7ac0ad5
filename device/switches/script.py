"""Switches that follow a script of times and states; the demonstration is one."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path

from device.errors import BitsError, ScriptError
from device.files import read_text
from device.switches.base import SwitchesBase
from device.switches.bits import Bits, parse_bits

# A change every 2.5 s: one switch, several, back, and all at once. The end leads into the start.
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


class ScriptSwitches(SwitchesBase):
    """Switches that follow a list of (seconds, bits) in music time, all off before the first.

    Parameters
    ----------
    flips : sequence of (float, Bits)
        Seconds strictly increasing.
    repeat_seconds : float or None
        Period after which the list repeats; None holds the last state.
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
        problem = error.strerror or str(error)
    except UnicodeDecodeError:
        problem = "bytes that are not UTF-8"
    raise ScriptError(f"{path}: found {problem}, expected a text file of lines like '2.5 10110000'")


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
