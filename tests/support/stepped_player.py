"""`switchboard` whose recording continues only up to a given second, so that tests need no clock.

A process of its own: ``python -m tests.support.stepped_player play --speaker wav:FILE ...``. Each
line on its standard input is how many seconds may be recorded; when they have been, it prints
``held`` on standard output. After the end of its input, recording is not held.
"""

import math
import sys
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from device.audio.wav_file import WavSpeaker
from device.cli import main

RATE = 22050

Write = Callable[[WavSpeaker, NDArray[np.float32]], None]


def held(record: Write) -> Write:
    """Record, then wait until more may be recorded."""
    allowed_seconds = 0.0
    n_samples = 0

    def write(speaker: WavSpeaker, samples: NDArray[np.float32]) -> None:
        nonlocal allowed_seconds, n_samples
        record(speaker, samples)
        n_samples += len(samples)
        while n_samples >= allowed_seconds * RATE:
            sys.stdout.write("held\n")
            sys.stdout.flush()
            line = sys.stdin.readline()
            allowed_seconds = float(line) if line else math.inf

    return write


if __name__ == "__main__":
    WavSpeaker.write = held(WavSpeaker.write)  # type: ignore[method-assign]
    sys.exit(main())
