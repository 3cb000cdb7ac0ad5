"""How to play: all parameters of the samples beside the model and the switches."""

from dataclasses import dataclass

from device.synthesis.transport import Quantize


@dataclass(frozen=True)
class Performance:
    """How to play; with the model and the switches it determines every sample.

    Attributes
    ----------
    seed : int
        Of the variation and the tape.
    tempo_bpm : float or None
        None for the model's own tempo.
    quantize : Quantize
    still : bool
        Freeze the variation.
    journey : bool
        Play every other theme in another key; not if the variation is frozen.
    tape : float
        0 clean to 1 worn.
    gain_db : float
        Before the limiter.
    volume_limit_db : float
        Lowers the limiter's ceiling: 0 or less.
    glide_frames : int
        Frames that lead from the score before a flip into the one after it.
    block_frames : int
        Hops per block; switches are read once per block. It changes latency and load, not the
        music.
    start_beat : float
        Where to start, in beats.
    """

    seed: int = 1
    tempo_bpm: float | None = None
    quantize: Quantize = Quantize.OFF
    still: bool = False
    journey: bool = False
    tape: float = 0.25
    gain_db: float = 0.0
    volume_limit_db: float = 0.0
    glide_frames: int = 1
    block_frames: int = 1
    start_beat: float = 0.0
