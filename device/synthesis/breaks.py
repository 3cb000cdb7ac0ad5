"""Breaks: the low end goes away before a new song, and comes back with its first beat."""

import numpy as np
from numpy.typing import NDArray

from device.model.contract import ModelCard
from device.synthesis.variation import SongForm

Frames = NDArray[np.float32]

# Bins up to the first frequency are lowered by all of it, those from the second one on by nothing.
LOW_HERTZ = (150.0, 250.0)
DEPTH_DB = 40.0
FADE_BEATS = 1.0


class Breaks:
    """Lowers the magnitudes of the lowest bins in the breaks of a song.

    What is drawn for a beat depends on the beat alone. Phase advances stay as they are.

    Attributes
    ----------
    shape_db : (n_low,)
        How much each of the lowest bins is lowered, negative.
    """

    def __init__(self, form: SongForm, card: ModelCard) -> None:
        self._form = form
        self._beats_per_loop = card.beats_per_loop
        hertz = np.arange(card.n_bins) * (card.sample_rate / card.n_fft)
        low, high = LOW_HERTZ
        hertz = hertz[hertz < high]
        above = np.clip((hertz - low) / (high - low), 0, 1)
        self.shape_db = -DEPTH_DB * (0.5 + 0.5 * np.cos(np.pi * above))

    def applied(self, frames: Frames, beats: NDArray[np.float64]) -> Frames:
        """Frames, (n_frames, frame_size), at their positions in beats: changed ones are copied."""
        since = self._beats_per_loop * self._form.since_break(beats / self._beats_per_loop)
        is_in = since >= 0
        if not is_in.any():
            return frames
        share = np.minimum(since[is_in] / FADE_BEATS, 1)
        gain = 10 ** (np.multiply.outer(share, self.shape_db) / 20)
        frames = frames.copy()
        frames[is_in, : gain.shape[1]] *= gain.astype(np.float32)
        return frames
