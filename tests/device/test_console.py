"""Printing: a line that cannot be written is lost, and nothing else."""

import io
import os
import sys
from pathlib import Path

import pytest
from rich.console import Console

from device.console import SafeStream, say, without_errors
from device.ui.terminal import TerminalDisplay
from tests.support.faulty_calls import ERRORS, RaisingCall


def closed_file():
    file = io.StringIO()
    file.close()
    return file


def pipe_without_a_reader(encoding="utf-8"):
    reader, writer = os.pipe()
    os.close(reader)
    return io.TextIOWrapper(io.FileIO(writer, "w"), encoding=encoding, write_through=True)


def full_disk():
    return io.TextIOWrapper(io.FileIO("/dev/full", "w"), encoding="utf-8", write_through=True)


@pytest.mark.parametrize("broken", [closed_file, pipe_without_a_reader, full_disk, lambda: None])
def test_a_line_that_cannot_be_written_is_lost_without_an_error(broken, monkeypatch):
    stream = broken()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(sys, "stdout", stream)
    say("lost", err=True)
    with TerminalDisplay() as display:
        display.print_line("lost")
    Console(file=SafeStream(stream)).print("lost")
    if stream is not None and not stream.closed:
        # Its buffered text must not raise when it is closed.
        with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
            os.dup2(nowhere.fileno(), stream.fileno())
        stream.close()


def test_a_character_that_the_encoding_lacks_is_escaped():
    content = io.BytesIO()
    stream = SafeStream(io.TextIOWrapper(content, encoding="latin-1", write_through=True))
    assert stream.encoding == "latin-1"
    stream.write("\xe9t\xe9 \u266a\n")
    assert content.getvalue() == b"\xe9t\xe9 \\u266a\n"


@pytest.mark.parametrize("error", [*ERRORS[:-1]], ids=lambda error: type(error).__name__)
def test_a_report_that_fails_loses_only_its_line(error):
    without_errors(RaisingCall(error))("a line")
