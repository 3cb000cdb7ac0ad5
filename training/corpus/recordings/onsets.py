"""Onset envelopes of a recording, and the beats that fit them at a tempo.

The beats are those of librosa's tracker (Ellis, "Beat Tracking by Dynamic Programming", 2007) with
a high tightness: it weighs onsets against an even tempo, and at its default tightness it jumps
wherever a bar is quiet.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.corpus.format import SAMPLE_RATE, Audio

HOP = 256
"""Samples from one frame of the onset envelope to the next."""
TRACKER_DELAY = 3 * HOP // 2
"""How late librosa's beats fall on clicks, measured [samples]."""

_TIGHTNESS = 1600.0  # librosa's own is 100
_N_MELS = 128
_BAND_MELS = (0, 5, 53, 98, _N_MELS)  # edges at 150, 1,500 and 5,000 Hz
_N_FFT = 2048
_BLOCK_FRAMES = 4096

Curve = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Onsets:
    """Onset strength in every frame of `HOP` samples [dB a frame, mean of mel bands].

    Attributes
    ----------
    bands
        (4, n_frames): below 150 Hz, to 1,500 Hz, to 5,000 Hz, and above.
    all
        (n_frames,), over all bands.
    """

    bands: Curve
    all: Curve


def find_onsets(audio: Audio) -> Onsets:
    """Return the onset envelopes of a recording, (n_samples,)."""
    import librosa

    # The mean over the bands, not librosa's median: with few instruments playing, most bands
    # are empty, and their median is 0.
    bands = librosa.onset.onset_strength_multi(
        S=librosa.power_to_db(_mel_spectrogram(audio)),
        sr=SAMPLE_RATE,
        hop_length=HOP,
        aggregate=np.mean,
        channels=list(_BAND_MELS),
    )
    return Onsets(bands, np.diff(_BAND_MELS).astype(np.float32) @ bands / np.float32(_N_MELS))


def _mel_spectrogram(audio: Audio) -> Curve:
    """Return librosa's mel power spectrogram, (n_mels, n_frames), in little memory."""
    import librosa

    padded = np.pad(audio, _N_FFT // 2)
    n_frames = 1 + len(audio) // HOP
    blocks = [
        librosa.feature.melspectrogram(
            y=padded[first * HOP : (min(first + _BLOCK_FRAMES, n_frames) - 1) * HOP + _N_FFT],
            sr=SAMPLE_RATE,
            n_fft=_N_FFT,
            hop_length=HOP,
            n_mels=_N_MELS,
            fmax=SAMPLE_RATE / 2,
            center=False,
        )
        for first in range(0, n_frames, _BLOCK_FRAMES)
    ]
    return np.concatenate(blocks, axis=1)


def track_beats(onsets: Onsets, bpm: float) -> NDArray[np.int64]:
    """Return the samples on which the beats fall at about a tempo, (n_beats,)."""
    import librosa

    if len(onsets.all) < SAMPLE_RATE // HOP or not onsets.all.any():
        return np.zeros(0, dtype=np.int64)
    # Two beats of silence on either side. librosa gives every beat a predecessor, however unlikely
    # its distance: where the true one lies before the start, up to four beats would be moved so
    # that the first falls on the start, and likewise at the end.
    n_silent = round(2.0 * 60.0 * SAMPLE_RATE / (HOP * bpm)) + 1
    frames = librosa.beat.beat_track(
        onset_envelope=np.pad(onsets.all, n_silent),
        sr=SAMPLE_RATE,
        hop_length=HOP,
        bpm=bpm,
        tightness=_TIGHTNESS,
        trim=False,
        units="frames",
    )[1]
    inside = np.asarray(frames, dtype=np.int64) - n_silent
    inside = inside[(inside >= 0) & (inside < len(onsets.all))]
    return np.unique(np.maximum(inside * HOP - TRACKER_DELAY, 0))
