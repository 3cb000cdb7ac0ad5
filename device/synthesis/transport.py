"""Musical time: which frame is at which beat, and when a flip is heard."""

import math
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from device.model.contract import ModelCard

BEATS_PER_BAR = 4
# So many frames before a change of tempo or key keep their positions: more than wait to be heard.
_MOST_KEPT_FRAMES = 32


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
    """Frames to beats: a line, or several with one corner at each change of the tempo or the key.

    Attributes
    ----------
    hop_seconds : float
        Time between frames; in another key it is another.
    tempo_bpm : float
        How fast the position advances.
    beats_per_loop : int
    first_frame : int
        From which on this line applies; `first_beat` is its position.
    before : Transport or None
        What applies to the frames before that.
    """

    hop_seconds: float
    tempo_bpm: float
    beats_per_loop: int
    first_frame: int = 0
    first_beat: float = 0.0
    before: "Transport | None" = None

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
        n_before = min(max(self.first_frame - first_frame, 0), n_frames)
        if self.before is not None and n_before:
            rest = self.beats(first_frame + n_before, n_frames - n_before)
            return np.concatenate([self.before.beats(first_frame, n_before), rest])
        first_frame -= self.first_frame
        frames = np.arange(first_frame, first_frame + n_frames, dtype=np.float64)
        return self.first_beat + frames * self.beats_per_frame

    def beat_at(self, frame: float) -> float:
        """Position of one frame, or of a moment between two."""
        if self.before is not None and frame < self.first_frame:
            return self.before.beat_at(frame)
        return self.first_beat + (frame - self.first_frame) * self.beats_per_frame

    def beat_earlier(self, frame: float, seconds: float) -> float:
        """Position so many seconds before a frame."""
        if self.before is not None:
            n_seconds = (frame - self.first_frame) * self.hop_seconds
            if n_seconds < seconds:
                return self.before.beat_earlier(self.first_frame, seconds - n_seconds)
        return self.beat_at(frame) - seconds * self.beats_per_second

    def frame_at(self, beat: float) -> int:
        """The first frame that is not before `beat`."""
        if self.before is not None and beat < self.first_beat:
            return min(self.before.frame_at(beat), self.first_frame)
        beats = beat - self.first_beat
        return self.first_frame + math.ceil(beats / self.beats_per_frame - 1e-6)

    def frame_before(self, beat: float) -> int:
        """The last frame that is not after `beat`."""
        if self.before is not None and beat < self.first_beat:
            return self.before.frame_before(beat)
        return self.first_frame + math.floor((beat - self.first_beat) / self.beats_per_frame)

    def with_tempo(self, tempo_bpm: float, frame: int) -> "Transport":
        """The same positions up to a frame, and another tempo from it on; beats have no gap."""
        return self._with_corner(frame, tempo_bpm, self.hop_seconds)

    def with_hop(self, hop_seconds: float, frame: int) -> "Transport":
        """The same up to a frame, and another time between frames from it on, at this tempo."""
        return self._with_corner(frame, self.tempo_bpm, hop_seconds)

    def _with_corner(self, frame: int, tempo_bpm: float, hop_seconds: float) -> "Transport":
        kept = self.before if frame == self.first_frame else self
        return replace(
            self,
            hop_seconds=hop_seconds,
            tempo_bpm=tempo_bpm,
            first_frame=frame,
            first_beat=self.beat_at(frame),
            before=None if kept is None else kept._since(frame - _MOST_KEPT_FRAMES),
        )

    def _since(self, frame: int) -> "Transport":
        """Without the corners that come before a frame."""
        if self.before is None:
            return self
        kept = None if self.first_frame <= frame else self.before._since(frame)
        return replace(self, before=kept)

    def in_loop(self, beats: NDArray[np.float64]) -> NDArray[np.float32]:
        """Positions within the loop, as the network takes them: 0 to beats_per_loop."""
        return np.mod(beats, self.beats_per_loop).astype(np.float32)


def speed_of(semitones: int) -> float:
    """The speed at which a tape is so many semitones higher."""
    return float(2 ** (semitones / 12))


def next_boundary(beat: float, grid: float) -> float:
    """The first beat of a grid that is not before `beat`; `beat` itself without a grid."""
    if grid == 0:
        return beat
    return float(np.ceil(beat / grid - 1e-9) * grid)
