"""The live view, on a recorded console."""

import io
import math
import threading
import time
from dataclasses import replace

import pytest
from rich.cells import cell_len
from rich.console import Console

from device.ui.terminal import TerminalDisplay, TerminalView
from tests.support.instrument_state import snapshot

STATE = snapshot(
    title="First Light",
    labels=(
        "Drums",
        "Bass",
        "Keys",
        "Vinyl",
        "Melody",
        "A label longer than a box",
        "7",
        "8",
    ),
    bits=(True, False, True, False, False, False, False, False),
    sounding=(True, False, False, False, False, False, False, False),
    bar=9,
    beat=1,
    n_beats=4,
    bar_in_loop=1,
    bars_per_loop=8,
    tempo_bpm=78.0,
    level_db=-12.0,
    seconds=3723.0,
    n_flips=5,
    switch_p50_ms=12.4,
    switch_p99_ms=31.2,
    latency_ms=92.0,
    n_underruns=0,
    n_blocks=100,
    n_late=0,
)
SIZES = [(80, 24), (120, 40), (60, 24), (44, 20), (30, 24), (20, 24)]


def console_of(width, height=24):
    return Console(file=io.StringIO(), force_terminal=True, width=width, height=height)


def view_of(state, width=80, height=24):
    console = Console(file=io.StringIO(), width=width, height=height, color_system=None)
    view = TerminalView()
    view.update(state)
    console.print(view)
    return console.file.getvalue()


def with_switches(n):
    off = (False,) * n
    return replace(STATE, labels=("A long label",) * n, bits=off, sounding=off)


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("n_switches", [1, 2, 3, 5, 8, 16])
def test_the_view_fits_the_terminal(width, height, n_switches):
    lines = view_of(with_switches(n_switches), width, height).splitlines()
    assert all(cell_len(line) <= width for line in lines)
    assert len(lines) < 24


def test_the_view_has_title_tempo_time_position_level_and_latency():
    text = view_of(STATE)
    for part in (
        "First Light",
        "78 bpm",
        "1:02:03",
        "2.2 of 8",
        "-12.0 dB",
        "12 ms",
        "92 ms",
    ):
        assert part in text


def test_switches_that_are_on_off_and_waiting_look_different():
    text = view_of(STATE)
    assert "┃ ● Drums" in text
    assert "│ ○ Bass" in text
    assert "┃ ◐ Keys" in text


def test_without_room_for_boxes_there_is_an_led_per_switch():
    text = view_of(STATE, width=28)
    assert "┃" not in text
    assert "1 ● Drums" in text


def test_the_beat_moves_one_mark_at_a_time():
    marks = [
        view_of(replace(STATE, bar_in_loop=bar, beat=beat)).count("■")
        for bar in range(8)
        for beat in range(4)
    ]
    assert marks == list(range(1, 33))


def test_dropouts_and_late_blocks_are_shown_only_if_there_are_any():
    assert "dropout" not in view_of(STATE)
    assert "late" not in view_of(STATE)
    assert "2 dropouts   1 late block" in view_of(replace(STATE, n_underruns=2, n_late=1))


def test_silence_and_no_flip_yet_are_readable():
    text = view_of(replace(STATE, level_db=-math.inf, switch_p50_ms=math.nan, n_flips=0))
    assert "silent" in text
    assert "none yet" in text
    assert "nan" not in text


def test_labels_are_shown_as_they_are_written():
    labels = ("[red]x[/red]", *STATE.labels[1:])
    assert "[red]x[/red]" in view_of(replace(STATE, labels=labels))


def test_the_display_redraws_by_itself_and_shows_the_last_state_at_the_end():
    console = console_of(80)
    with TerminalDisplay(console) as display:
        display.update(STATE)
        deadline = time.monotonic() + 5
        while "First Light" not in console.file.getvalue() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert "First Light" in console.file.getvalue()
        display.update(replace(STATE, title="Last Light"))
    assert "Last Light" in console.file.getvalue()


def test_the_cursor_is_restored_and_the_thread_ends_even_after_an_exception():
    console = console_of(80)
    with pytest.raises(ZeroDivisionError), TerminalDisplay(console) as display:
        display.update(STATE)
        raise ZeroDivisionError
    assert console.file.getvalue().rstrip().endswith("\x1b[?25h")
    assert "display" not in {thread.name for thread in threading.enumerate()}
    display.close()


def test_a_new_state_costs_the_audio_loop_one_assignment():
    display = TerminalDisplay(console_of(80))
    display.update(STATE)
    assert display._console.file.getvalue() == ""


def test_the_switches_are_drawn_anew_only_when_they_change(monkeypatch):
    drawn = []
    monkeypatch.setattr("device.ui.terminal._switches", lambda *args: drawn.append(args) or "")
    console, view = console_of(80), TerminalView()
    later = replace(STATE, beat=2, level_db=-3.0)
    for state in (
        STATE,
        later,
        replace(STATE, bits=STATE.sounding),
    ):
        view.update(state)
        console.print(view)
    assert len(drawn) == 2


def test_where_there_is_no_terminal_nothing_is_drawn():
    console = Console(file=io.StringIO(), force_terminal=False)
    with TerminalDisplay(console) as display:
        display.update(STATE)
    assert console.file.getvalue() == ""


def test_a_given_help_line_replaces_the_keys():
    console = console_of(80)
    with TerminalDisplay(console, help_line="flip a switch") as display:
        display.update(STATE)
    assert "flip a switch" in console.file.getvalue()
    assert "r random" not in console.file.getvalue()
