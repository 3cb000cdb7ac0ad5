"""What tests of commands read and write: recordings, reports and configuration files."""

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
