"""All metrics of one recording, by name."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from device.audio.loudness import SILENCE_LUFS
from training.metrics.levels import defects, levels
from training.metrics.notes import notes
from training.metrics.pitch_salience import pitch_salience
from training.metrics.rhythm import onset_pattern, rhythm
from training.metrics.spectra import SAMPLE_RATE, Floats, Samples
from training.metrics.timbre import timbre

GROUPS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "level": ("lufs", "true_peak_db", "crest_db", "dyn_range_db", "silence_share"),
        "defect": ("dc", "clip_share", "click_rate", "block_z", "hf_floor_db"),
        "timbre": (
            "centroid",
            "rolloff95",
            "flatness_db",
            "band_sub",
            "band_low",
            "band_mid",
            "band_hi",
            "band_air",
            "perc_db",
            "spec_sparsity",
        ),
        "sharp": (
            "phase_dev",
            "peak_sharp_db",
            "mod_4_12",
            "mod_12_30",
            "mod_30_80",
            "quef_hi",
            "melgrad_t",
            "melgrad_f",
            "onset_kurt",
        ),
        "rhythm": ("onset_rate", "grid_excess", "pulse_clarity", "tempo_bpm", "loop_repeat"),
        "notes": (
            "polyphony",
            "pitch_mean",
            "note_certainty",
            "note_ambiguity",
            "note_instability",
            "pitch_wander",
            "in_scale",
            "chord_fit",
            "chord_change",
            "roughness",
        ),
    }
)
METRIC_NAMES = tuple(name for names in GROUPS.values() for name in names)

# All figures but the level are measured at this loudness, so that they do not depend on it.
_MEASURED_AT_LUFS = -20.0
# Shorter recordings are padded with silence: they have no measurable rhythm.
_SHORTEST = SAMPLE_RATE // 4


@dataclass(frozen=True, slots=True)
class Analysis:
    """What was measured in one recording.

    Attributes
    ----------
    figures : (n_figures,)
        In the order of `METRIC_NAMES`.
    pitches : (n_half_seconds, n_pitches)
        How surely each pitch is heard in each half second, 0 to 1.
    onsets : (n_steps,)
        Strength of onsets in steps of 52 ms.
    """

    figures: NDArray[np.float64]
    pitches: Floats
    onsets: Floats


def measure(samples: Samples, sample_rate: int) -> NDArray[np.float64]:
    """Figures of a mono recording, (n_samples,), in the order of `METRIC_NAMES`: (n_figures,)."""
    return analyse(samples, sample_rate).figures


def analyse(samples: Samples, sample_rate: int) -> Analysis:
    """Figures and pitches of a mono recording, (n_samples,).

    What is not finite counts as silence; `device.audio.measurement` finds it.
    """
    padded = np.nan_to_num(at_our_rate(samples, sample_rate), posinf=0.0, neginf=0.0)
    padded = np.pad(padded, (0, max(0, _SHORTEST - len(padded))))
    figures = {**levels(padded), **defects(padded)}
    lufs = figures["lufs"]
    if lufs > SILENCE_LUFS:
        padded = padded * np.float32(10 ** ((_MEASURED_AT_LUFS - lufs) / 20))
    salience = pitch_salience(padded)
    figures |= {**timbre(padded), **rhythm(padded), **notes(salience)}
    ordered = np.array([figures[name] for name in METRIC_NAMES])
    return Analysis(ordered, salience.half_seconds(), onset_pattern(padded))


def at_our_rate(samples: Samples, sample_rate: int) -> Samples:
    """Bring a recording to `SAMPLE_RATE`."""
    return resampled(samples, sample_rate, SAMPLE_RATE)


def resampled(samples: Samples, before: int, after: int) -> Samples:
    """Bring a recording from one sample rate to another, in Hz."""
    samples = samples.astype(np.float32, copy=False)
    if before == after:
        return samples
    import soxr

    converted: Samples = soxr.resample(samples, before, after)
    return converted
