"""A log that is not read: the pipe at standard error is full, and the music goes on."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import soundfile


def full_pipe():
    """A pipe that takes no more text, as (reader, writer)."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(writer, False)
    try:
        while os.write(writer, b"x" * 4096):
            pass
    except BlockingIOError:
        os.set_blocking(writer, True)
    return reader, writer


def test_a_standard_error_that_takes_no_more_text_does_not_stop_the_music(tmp_path):
    # Five pins for eight switches: there is a warning to print before the first block.
    pins = [option for pin in (5, 6, 13, 19, 26) for option in ("--pins", str(pin))]
    command = [
        str(Path(sys.executable).with_name("switchboard")),
        "play",
        "--switches",
        "gpio",
        *pins,
    ]
    command += ["--speaker", f"wav:{tmp_path / 'a.wav'}", "--seconds", "2", "--json"]
    reader, writer = full_pipe()
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=writer,
            env={**os.environ, "GPIOZERO_PIN_FACTORY": "mock"},
            timeout=60,
            check=False,
        )
    finally:
        os.close(writer)
        os.close(reader)
    assert done.returncode == 0
    assert soundfile.info(tmp_path / "a.wav").duration == 2.0
