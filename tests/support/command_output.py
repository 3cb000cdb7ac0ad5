"""Running commands, and reading their recordings, reports and files."""

import subprocess
import sys
import wave
from pathlib import Path

import numpy as np

RATE = 22050

REPORT_KEYS = {
    "seconds",
    "n_flips",
    "switch_to_sample_p50_ms",
    "switch_to_sample_p99_ms",
    "inversion_halfway_ms",
    "inversion_latency_ms",
    "speaker_latency_ms",
    "guard_ms",
    "block_p50_ms",
    "block_p99_ms",
    "block_max_ms",
    "block_deadline_ms",
    "missed_deadlines",
    "passes_lowered",
    "underruns",
}


def samples_of(path):
    with wave.open(str(path)) as recording:
        assert recording.getparams()[:3] == (1, 2, RATE)
        return np.frombuffer(recording.readframes(recording.getnframes()), "<i2") / 32767


def settings_file(text, name="box.toml"):
    Path(name).write_text(text, encoding="utf-8")
    return Path(name)


def listing(folder):
    """Modification times of the files of a folder, by name."""
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def run_in_subprocess(command, prelude=""):
    """Run a command in a new interpreter, after the code of `prelude`."""
    # -B: a bytecode cache that a size limit cuts off would fail every later process.
    code = f"import sys\nfrom device.cli import main\n{prelude}\nsys.exit(main(sys.argv[1:]))"
    return subprocess.run(
        [sys.executable, "-B", "-c", code, *command.split()],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
