"""Sound files, and damaged ones made from them byte by byte."""

from __future__ import annotations

import io
import re
import struct
from functools import cache
from pathlib import Path

import numpy as np
import soundfile

from training.corpus.format import SAMPLE_RATE
from training.corpus.recordings.audio_files import decode

SECONDS = 10.0

KINDS = {
    "mp3": {"format": "MP3"},
    "vbr.mp3": {"format": "MP3", "bitrate_mode": "VARIABLE"},
    "flac": {"format": "FLAC"},
    "ogg": {"format": "OGG", "subtype": "VORBIS"},
    "opus": {"format": "OGG", "subtype": "OPUS"},
    "wav": {"format": "WAV", "subtype": "PCM_16"},
    "float.wav": {"format": "WAV", "subtype": "FLOAT"},
    "aiff": {"format": "AIFF", "subtype": "PCM_16"},
}


def encoded(kind, audio, sample_rate=SAMPLE_RATE):
    """A whole file of a kind, as bytes."""
    if kind == "opus":
        audio, sample_rate = (
            np.interp(np.arange(0, len(audio), SAMPLE_RATE / 24000), np.arange(len(audio)), audio),
            24000,
        )
    file = io.BytesIO()
    soundfile.write(file, audio, sample_rate, **KINDS[kind])
    return file.getvalue()


def claiming_mpeg_frames(data, n_frames):
    """An MP3 whose Xing header claims a number of frames."""
    position = re.search(rb"Xing|Info", data).start() + 8
    return data[:position] + struct.pack(">I", n_frames) + data[position + 4 :]


def without_xing(data):
    """An MP3 without the frame that holds its length."""
    head = data[:4]
    following = re.compile(re.escape(head[:2])).search(data, re.search(b"Xing|Info", data).end())
    return data[following.start() :]


def claiming_flac_samples(data, n_samples):
    """A FLAC whose header claims a number of samples; 0: unknown, as in a pipe."""
    field = int.from_bytes(data[18:26], "big") >> 36 << 36 | n_samples
    return data[:18] + field.to_bytes(8, "big") + data[26:]


def claiming_chunk_bytes(data, name, n_bytes, order="<"):
    """A WAV or AIFF whose sound chunk claims a number of bytes."""
    position = data.index(name) + 4
    return data[:position] + struct.pack(order + "I", n_bytes) + data[position + 4 :]


def with_sample_rate(data, hertz):
    """A WAV that claims another sample rate."""
    return data[:24] + struct.pack("<I", hertz) + data[28:]


@cache
def ten_seconds():
    """Ten seconds without a repetition, so that no part of it resembles another."""
    rng = np.random.default_rng(7)
    n = round(SECONDS * SAMPLE_RATE)
    hertz = np.repeat(rng.uniform(150.0, 1200.0, 100), n // 100)
    return (0.3 * np.sin(2 * np.pi * np.cumsum(hertz) / SAMPLE_RATE)).astype(np.float32)


@cache
def whole_file(kind):
    return encoded(kind, ten_seconds())


def decoded(directory, kind, data):
    path = Path(directory) / f"a.{kind}"
    path.write_bytes(data)
    return decode(path)
