"""`switchboard` whose recording continues only as far as it is told: a test waits for no clock.

A process of its own: ``python -m tests.support.stepped_player play --speaker wav:FILE ...``. Each
line on its
standard input is how many seconds may have been recorded; when they have been, it says ``held`` on
standard output. From the end of its input on nothing is held.
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
    """The same, and then wait until more may be recorded."""
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
