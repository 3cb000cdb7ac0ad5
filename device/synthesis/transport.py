"""Musical time: which frame is at which beat, and when a flip is heard."""

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from device.model.contract import ModelCard

BEATS_PER_BAR = 4


class Quantize(StrEnum):
    """When a flip is heard."""

    OFF = "off"
    SIXTEENTH = "16th"
    BEAT = "beat"
    BAR = "bar"

    @property
    def beats(self) -> float:
        """Grid in beats; 0 for at once."""
        return {"off": 0.0, "16th": 0.25, "beat": 1.0, "bar": 4.0}[self.value]


@dataclass(frozen=True)
class Transport:
    """Frames to beats.

    Attributes
    ----------
    hop_seconds : float
        Time between frames.
    tempo_bpm : float
        How fast the position advances.
    beats_per_loop : int
    """

    hop_seconds: float
    tempo_bpm: float
    beats_per_loop: int

    @classmethod
    def of(cls, card: ModelCard, tempo_bpm: float | None = None) -> "Transport":
        """At the model's own tempo, or at `tempo_bpm`."""
        return cls(
            card.hop_length / card.sample_rate, tempo_bpm or card.tempo_bpm, card.beats_per_loop
        )

    @property
    def beats_per_frame(self) -> float:
        """How far the position advances from frame to frame."""
        return self.hop_seconds * self.tempo_bpm / 60

    @property
    def beats_per_second(self) -> float:
        """How fast the position advances."""
        return self.tempo_bpm / 60

    def beats(self, first_frame: int, n_frames: int) -> NDArray[np.float64]:
        """Positions of frames, (n_frames,), in beats since the start; they do not wrap."""
        # From whole frames each time: a running sum would drift.
        frames = np.arange(first_frame, first_frame + n_frames, dtype=np.float64)
        return frames * self.beats_per_frame

    def beat_at(self, frame: float) -> float:
        """Position of one frame, or of a moment between two."""
        return frame * self.beats_per_frame

    def frame_at(self, beat: float) -> int:
        """The first frame that is not before `beat`."""
        return math.ceil(beat / self.beats_per_frame - 1e-6)

    def in_loop(self, beats: NDArray[np.float64]) -> NDArray[np.float32]:
        """Positions within the loop, as the network takes them: 0 to beats_per_loop."""
        return np.mod(beats, self.beats_per_loop).astype(np.float32)


def next_boundary(beat: float, grid: float) -> float:
    """The first beat of a grid that is not before `beat`; `beat` itself without a grid."""
    if grid == 0:
        return beat
    return float(np.ceil(beat / grid - 1e-9) * grid)
