"""Why a stretch of a recording makes no loop."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.corpus.format import SAMPLE_RATE, Audio
from training.corpus.recordings.beats import BARS_PER_LOOP

CLEAR_METRE = 0.6
"""Least certainty of a metre that is not doubtful."""
CLEAR_KEY = 0.2
"""Least margin of a key that is not doubtful."""

_SILENCE_DB = -50.0
_CLIPPED_SHARE = 1e-3  # of all samples at full scale, in runs: the master was cut off
_STEADY_CLARITY = 0.4
_SPEECH_CLARITY = 0.5  # speech stays below this; what exceeds it has a beat, and is music
_SPEECH_STEADINESS = 0.25
_N_FFT, _HOP = 4096, 1024
_LOWEST_HZ, _HIGHEST_HZ = 100.0, 1300.0
_HELD_FRAMES = 9  # 0.42 s, longer than a syllable


class Selection(NamedTuple):
    """Which music becomes loops.

    Attributes
    ----------
    metres
        "4/4", "3/4" or "6/8".
    keeps_doubtful
        Whether music of uncertain metre or, where it is transposed, of uncertain key is kept.
    """

    metres: tuple[str, ...] = ("4/4",)
    keeps_doubtful: bool = False

    def find_fault(self, metre: str, certainty: float) -> str | None:
        """Return why music of this metre is left out; None if it is not."""
        if metre not in self.metres:
            return f"in {metre}, not {' or '.join(self.metres)}; --metre {metre} keeps it"
        if certainty < CLEAR_METRE and not self.keeps_doubtful:
            return (
                f"in no clear metre ({metre} by {certainty:.2f}, at least {CLEAR_METRE} expected); "
                "--keep-doubtful keeps it"
            )
        return None


FOUR_FOUR = Selection()


def find_fault(
    audio: Audio, beats: NDArray[np.int64], clarity: float, clipped: NDArray[np.float32]
) -> str | None:
    """Return why sixteen beats of a recording make no loop; None if they do.

    Parameters
    ----------
    audio
        The recording, (n_samples,).
    beats
        (BEATS_PER_LOOP + 1,), samples.
    clarity
        Of the loop's pulse, at most 1.
    clipped
        Share of every tenth of a second that is cut off at full scale, (n_tenths,).
    """
    quietest_db = min(
        20.0 * float(np.log10(np.sqrt(np.mean(audio[first:last] ** 2)) + 1e-9))
        for first, last in zip(
            beats[:-BARS_PER_LOOP:BARS_PER_LOOP], beats[BARS_PER_LOOP::BARS_PER_LOOP], strict=True
        )
    )
    if quietest_db < _SILENCE_DB:
        return f"silent (a bar of it is below {_SILENCE_DB:.0f} dBFS RMS)"
    first_tenth, last_tenth = (int(beat) * 10 // SAMPLE_RATE for beat in (beats[0], beats[-1]))
    clipped_share = float(clipped[first_tenth : last_tenth + 1].mean())
    if clipped_share > _CLIPPED_SHARE:
        return f"clipped ({clipped_share:.1%} of its samples at full scale)"
    if clarity < _SPEECH_CLARITY:
        return _find_unmusical(audio[beats[0] : beats[-1]], clarity)
    return None


def _find_unmusical(loop: Audio, clarity: float) -> str | None:
    steadiness = pitch_steadiness(loop)
    if steadiness < _SPEECH_STEADINESS:
        return f"speech-like (pulse clarity {clarity:.2f}, pitch steadiness {steadiness:.2f})"
    if clarity < _STEADY_CLARITY:
        return f"no steady beat (pulse clarity {clarity:.2f}, at least {_STEADY_CLARITY} expected)"
    return None


def pitch_steadiness(loop: Audio) -> float:
    """Return the share of energy between 100 and 1,300 Hz that holds its pitch, 0 to 1.

    The share that a median over 0.42 s leaves of every bin: it keeps notes and removes gliding
    voices and drums (the horizontal half of Fitzgerald, "Harmonic/Percussive Separation using
    Median Filtering", 2010).
    """
    import librosa
    from scipy.ndimage import median_filter

    spectrum = np.abs(librosa.stft(loop, n_fft=_N_FFT, hop_length=_HOP))
    first, last = (round(edge * _N_FFT / SAMPLE_RATE) for edge in (_LOWEST_HZ, _HIGHEST_HZ))
    band = spectrum[first:last]
    held = np.minimum(median_filter(band, size=(1, _HELD_FRAMES)), band)
    return float(np.sum(held**2) / max(float(np.sum(band**2)), 1e-12))
