"""The live view in the terminal, drawn by a helper thread eight times a second.

The audio loop only keeps its latest `InstrumentState` here.
"""

import math
import sys
from collections.abc import Iterator
from typing import IO, Self, cast

from rich.box import HEAVY, ROUNDED
from rich.console import Console, ConsoleOptions, RenderableType
from rich.live import Live
from rich.panel import Panel as Frame
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from device.closeable import Closeable
from device.console import SafeStream, without_errors
from device.plain_text import visible
from device.playback.state import InstrumentState
from device.switches.keyboard import SWITCH_KEYS, key_help
from device.system.threads import SupervisedThread

REDRAW_SECONDS = 0.125
JOIN_SECONDS = 1.0

METER_FLOOR_DB = -48.0
METER_FALL_DB = 2.5
METER_HOT_DB = -3.0
METER_CELLS = 40
MAX_MARKS = 32

# Below this width a label does not fit beside its LED.
BOX_WIDTH = 16
LED_WIDTH = 10
BOX_HEIGHT = 3
# Title, two blank lines, three dials, warnings, help and the line of the cursor.
OTHER_LINES = 9
MAX_WIDTH = 88
LABEL_WIDTH = 7

# Replacements of equal width for terminals that are not UTF-8.
_IN_ASCII = str.maketrans("●○◐■·━─…", "*.+#.=-~")


class TerminalDisplay(Closeable):
    """Shows the state passed to `update` until closed; nothing where there is no terminal.

    Parameters
    ----------
    help_line : str or None
        The line of help; None names the keys of `device.switches.keyboard`.
    """

    def __init__(self, console: Console | None = None, *, help_line: str | None = None) -> None:
        self._console = console or Console(file=cast(IO[str], SafeStream(sys.stdout)))
        self._view = TerminalView(help_line)
        self._state: InstrumentState | None = None
        self._shown: InstrumentState | None = None
        self._live = Live(console=self._console, auto_refresh=False, transient=False)
        self._helper: SupervisedThread | None = None

    def update(self, state: InstrumentState) -> None:
        """Keep the state for the helper thread; costs the caller one assignment."""
        self._state = state

    def print_line(self, line: str) -> None:
        """Print a line above the live view; never raises."""
        without_errors(
            lambda text: self._console.print(visible(text), markup=False, highlight=False)
        )(line)

    def close(self) -> None:
        """Draw the last state and restore the terminal; may be called again."""
        helper, self._helper = self._helper, None
        if helper is None:
            return
        helper.close(JOIN_SECONDS)
        # A thread still alive waits for a terminal that takes no more text; this would block, too.
        if not helper.is_alive:
            try:
                self._redraw()
            finally:
                self._live.stop()

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
            self._helper = SupervisedThread("display", self._redraw, every=REDRAW_SECONDS)
        return self

    def _redraw(self) -> None:
        state = self._state
        if state is None or state is self._shown:
            return
        self._shown = state
        self._view.update(state)
        self._live.update(self._view, refresh=True)


class TerminalView:
    """The latest state as text, fitted to the width and height of the terminal."""

    def __init__(self, help_line: str | None = None) -> None:
        self._help_line = help_line
        self._meter_db = METER_FLOOR_DB
        self._state: InstrumentState | None = None
        self._switches_key: object = None
        self._switches: list[Segment] = []

    def update(self, state: InstrumentState) -> None:
        """Render this state from now on."""
        self._state = state
        # Immediate attack, slow release, as level meters have.
        level_db = max(state.level_db, METER_FLOOR_DB)
        self._meter_db = max(level_db, self._meter_db - METER_FALL_DB)

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType | Segment]:
        rows = self._rows(console, options)
        if not options.ascii_only:
            yield from rows
            return
        for row in rows:
            segments = [row] if isinstance(row, Segment) else console.render(row, options)
            for text, style, control in segments:
                encoded = text.translate(_IN_ASCII).encode(options.encoding, "replace")
                yield Segment(encoded.decode(options.encoding), style, control)

    def _rows(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType | Segment]:
        if self._state is None:
            return
        width = min(options.max_width, MAX_WIDTH)
        yield _title(self._state, width)
        yield ""
        yield from self._draw_switches(self._state, console, options.update(width=width))
        yield ""
        inner = width - LABEL_WIDTH
        yield _dial("bar", _position(self._state, inner))
        yield _dial("level", _meter(self._state.level_db, self._meter_db, inner))
        yield _dial("flips", _latency(self._state, inner))
        yield _warnings(self._state)
        keys = key_help(len(self._state.bits)) if self._help_line is None else self._help_line
        yield _one_line(keys, style="dim")

    def _draw_switches(
        self, state: InstrumentState, console: Console, options: ConsoleOptions
    ) -> list[Segment]:
        # Cached while they do not change: they cost several times as much as the rest, and the
        # audio loop competes for the processor.
        height = options.size.height - OTHER_LINES
        key = (state.bits, state.sounding, state.labels, options.max_width, height)
        if key != self._switches_key:
            grid = _switches(state, options.max_width, height)
            self._switches_key, self._switches = key, list(console.render(grid, options))
        return self._switches


def _title(state: InstrumentState, width: int) -> Text:
    right = f" {state.tempo_bpm:g} bpm   {_clock(state.seconds)}"
    left = Text.assemble(("Lo-Fi Switchboard", "bold"), "  ", visible(state.title))
    left.truncate(max(width - len(right), 1), overflow="ellipsis", pad=True)
    return _one_line(left.append(right))


def _one_line(text: Text | str, *, style: str = "") -> Text:
    line = Text(text, style=style) if isinstance(text, str) else text
    line.no_wrap, line.overflow = True, "ellipsis"
    return line


def _switches(state: InstrumentState, width: int, height: int) -> Table:
    n_columns = _n_columns(len(state.bits), width // BOX_WIDTH)
    n_rows = math.ceil(len(state.bits) / n_columns)
    boxed = n_rows * BOX_HEIGHT <= height
    if not boxed:
        n_columns = _n_columns(len(state.bits), width // LED_WIDTH)
    grid = Table.grid(expand=False, padding=(0, 1, 0, 0))
    for _ in range(n_columns):
        grid.add_column(width=width // n_columns - 1)
    cells = [
        _box(state, i)
        if boxed
        else _one_line(Text.assemble(f"{SWITCH_KEYS[i]} ", _label(state, i)))
        for i in range(len(state.bits))
    ]
    for start in range(0, len(cells), n_columns):
        grid.add_row(*cells[start : start + n_columns])
    return grid


def _n_columns(n_switches: int, n_fitting: int) -> int:
    """Four in a row, or as many as fit."""
    return max(1, min(4, n_switches, n_fitting))


def _box(state: InstrumentState, i: int) -> Frame:
    style = _style(state, i)
    return Frame(
        _label(state, i),
        title=f"[{style}]{SWITCH_KEYS[i]}[/]",
        title_align="left",
        box=HEAVY if state.bits[i] else ROUNDED,
        border_style=style,
    )


def _label(state: InstrumentState, i: int) -> Text:
    """An LED and the label: full is on, empty is off, half is a flip that is not yet heard."""
    waiting = state.bits[i] != state.sounding[i]
    led = "◐" if waiting else "●" if state.bits[i] else "○"
    return _one_line(f"{led} {visible(state.labels[i])}", style=_style(state, i))


def _style(state: InstrumentState, i: int) -> str:
    if state.bits[i] != state.sounding[i]:
        return "yellow"
    return "bold green" if state.bits[i] else "dim"


def _dial(name: str, reading: Text) -> Text:
    return _one_line(Text.assemble((name.ljust(LABEL_WIDTH), "dim"), reading))


def _position(state: InstrumentState, width: int) -> Text:
    """Draw a mark per beat of the loop, where there is room, and bar.beat in numbers."""
    n_wide = len(str(state.bars_per_loop))
    count = f"{state.bar_in_loop + 1:{n_wide}}.{state.beat + 1} of {state.bars_per_loop}"
    n_marks = state.bars_per_loop * state.n_beats
    if n_marks > MAX_MARKS or n_marks + state.bars_per_loop + 1 + len(count) > width:
        return Text(count)
    return _marks(state).append(f" {count}")


def _marks(state: InstrumentState) -> Text:
    """Past beats are dim squares, the present one is bright, later ones are dots."""
    now = state.bar_in_loop * state.n_beats + state.beat
    n_to_come = state.bars_per_loop * state.n_beats - now - 1
    beats = "■" * (now + 1) + "·" * n_to_come
    bars = [beats[i : i + state.n_beats] for i in range(0, len(beats), state.n_beats)]
    marks = Text(" ".join(bars) + " ", style="dim")
    here = now + state.bar_in_loop
    marks.stylize("not dim bold", here, here + 1)
    return marks


def _meter(level_db: float, meter_db: float, width: int) -> Text:
    reading = f"  {level_db:5.1f} dB" if math.isfinite(level_db) else "  silent"
    n_cells = max(min(METER_CELLS, width - len("  -48.0 dB")), 0)
    share = (meter_db - METER_FLOOR_DB) / -METER_FLOOR_DB
    n_lit = round(n_cells * min(max(share, 0.0), 1.0))
    return Text.assemble(
        ("━" * n_lit, "red" if meter_db > METER_HOT_DB else "green"),
        ("─" * (n_cells - n_lit), "dim"),
        reading,
    )


def _latency(state: InstrumentState, width: int) -> Text:
    fixed = f"{state.latency_ms:.0f} ms output"
    if math.isnan(state.switch_p50_ms):
        return Text(f"none yet   {fixed}")
    median, worst = f"{state.switch_p50_ms:.0f}", f"{state.switch_p99_ms:.0f}"
    full = f"{state.n_flips}   median {median} ms (99 % within {worst} ms)   + {fixed}"
    return Text(full if len(full) <= width else f"{state.n_flips}   {median} ms + {fixed}")


def _warnings(state: InstrumentState) -> Text:
    parts = [state.evening.words] if state.evening.words else []
    if state.n_underruns:
        parts.append(f"{state.n_underruns} dropouts")
    if state.n_late:
        parts.append(f"{state.n_late} late blocks")
    return _one_line("   ".join(parts), style="yellow")


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
