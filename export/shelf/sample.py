"""What a model sounds like: every switch in turn, as the device would play it."""

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from device.audio.encoded_file import open_recording_file
from device.errors import MissingExtra
from device.model.network import Network
from device.synthesis.performance import Performance
from device.synthesis.voice import Voice

SECONDS = 20.0
_BLOCK_FRAMES = 16


def sample(network: Network, seconds: float = SECONDS) -> NDArray[np.float32]:
    """Play from all switches off to all on, one more at equal intervals: (n_samples,)."""
    voice = Voice(network, Performance(block_frames=_BLOCK_FRAMES))
    n_samples = round(seconds * network.card.sample_rate)
    n_blocks = math.ceil(n_samples / voice.block_samples)
    n_switches, blocks = network.card.n_switches, []
    with voice:
        for n in range(n_blocks):
            n_on = n * (n_switches + 1) // n_blocks
            blocks.append(voice.block(tuple(number < n_on for number in range(n_switches))))
    return np.concatenate(blocks)[:n_samples]


def write_sample(network: Network, stem: Path, seconds: float = SECONDS) -> Path:
    """Write a sample as Ogg Vorbis, or WAV where soundfile is not installed; its path.

    Raises
    ------
    OutputError
    """
    samples, rate = sample(network, seconds), network.card.sample_rate
    path = stem.with_suffix(".ogg")
    try:
        speaker = open_recording_file(path, rate)
    except MissingExtra:
        path = stem.with_suffix(".wav")
        speaker = open_recording_file(path, rate)
    with speaker:
        speaker.write(samples)
    return path
