"""The figures of one performance, as `play` and `bench` print them."""

import math
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Report:
    """Figures of one performance; milliseconds are nan where nothing was measured.

    Attributes
    ----------
    seconds : float
        Music written to the speaker.
    n_flips : int
    switch_to_sample_p50_ms, switch_to_sample_p99_ms : float
        From the reading of a flip until the first sample computed with it is written.
    inversion_halfway_ms : float
        Added until the new score is the larger part of the sound.
    inversion_latency_ms, speaker_latency_ms : float
        Added until nothing of the old score is heard.
    guard_ms : float
        Left in the speaker's queue when the switches are read.
    block_p50_ms, block_p99_ms, block_max_ms : float
        Time to make a block.
    block_deadline_ms : float
        Time to play it.
    missed_deadlines : int
        Blocks that took longer to make than what was queued took to play; of a recording: than
        they themselves take to play.
    passes_lowered : int
        How often the governor chose less work for a hop.
    underruns : int
        Gaps the speaker counted.
    """

    seconds: float
    n_flips: int
    switch_to_sample_p50_ms: float
    switch_to_sample_p99_ms: float
    inversion_halfway_ms: float
    inversion_latency_ms: float
    speaker_latency_ms: float
    guard_ms: float
    block_p50_ms: float
    block_p99_ms: float
    block_max_ms: float
    block_deadline_ms: float
    missed_deadlines: int
    passes_lowered: int
    underruns: int

    def to_dict(self) -> dict[str, Any]:
        """For JSON, rounded to three decimals; unmeasured figures are None."""
        return {
            name: value
            if isinstance(value, int)
            else (round(value, 3) if math.isfinite(value) else None)
            for name, value in asdict(self).items()
        }
