"""Lines for the player are printed by a helper thread: the audio loop waits for no terminal."""

import threading
import time

from device.ui.display import MOST_LINES, QueuedDisplay
from tests.support.instrument_state import snapshot


class RecordingDisplay:
    """Keeps the lines; `unblocked` is what each line waits for."""

    def __init__(self):
        self.lines, self.states, self.n_closed = [], [], 0
        self.unblocked = threading.Event()
        self.unblocked.set()

    def update(self, state):
        self.states.append(state)

    def print_line(self, line):
        self.unblocked.wait()
        self.lines.append(line)

    def close(self):
        self.n_closed += 1


def test_lines_are_printed_in_order_and_all_of_them_before_the_display_is_closed():
    recording = RecordingDisplay()
    with QueuedDisplay(recording) as display:
        for i in range(50):
            display.print_line(f"line {i}")
    assert recording.lines == [f"line {i}" for i in range(50)]
    assert recording.n_closed == 1


def test_a_display_that_takes_no_more_text_holds_up_neither_a_line_nor_the_end():
    recording = RecordingDisplay()
    recording.unblocked.clear()
    started = time.monotonic()
    with QueuedDisplay(recording) as display:
        for i in range(3 * MOST_LINES):
            display.print_line(f"line {i}")
        display.update(snapshot())
    assert time.monotonic() - started < 5.0
    assert len(recording.states) == 1
    recording.unblocked.set()


def test_the_lines_that_waited_are_printed_once_the_display_takes_text_again():
    recording = RecordingDisplay()
    recording.unblocked.clear()
    with QueuedDisplay(recording) as display:
        for i in range(3 * MOST_LINES):
            display.print_line(f"line {i}")
        recording.unblocked.set()
    assert recording.lines[:MOST_LINES] == [f"line {i}" for i in range(MOST_LINES)]
    assert len(recording.lines) <= MOST_LINES + 1


def test_the_share_code_is_that_of_the_latest_snapshot_and_none_before_the_first():
    recording = RecordingDisplay()
    with QueuedDisplay(recording) as display:
        display.print_share_code()
        display.update(snapshot(bar=3, position=12.0))
        display.print_share_code()
    assert len(recording.lines) == 1
    assert "share" in recording.lines[0]
