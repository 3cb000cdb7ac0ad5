"""Renders of one state through the device's synthesis, measured and encoded for the page."""

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from device.model.contract import ModelCard
from device.model.network import Network
from device.switches.bits import Bits
from device.synthesis.performance import Performance
from device.synthesis.voice import Voice
from training.corpus.parallel import run_in_workers
from training.metrics.audio_metrics import METRIC_NAMES, analyse, at_our_rate
from training.metrics.spectra import SAMPLE_RATE, as_recorded

Samples = NDArray[np.float32]

# The embedded sound loops without a seam: its end fades into its beginning. It continues beyond
# both ends, because MP3 decoders differ in where a sound begins.
FADE_SECONDS = 0.02
WRAP_SECONDS = 0.1
# Variable bit rate, 0 best to 1 smallest: about 28 kbit/s at 22,050 Hz.
_COMPRESSION = 0.7
# A render counts as silent if more than this share of it is silence, or if it is softer than this.
_MOST_SILENCE, _LEAST_LUFS = 0.3, -45.0
_BLOCK_FRAMES = 16


@dataclass(frozen=True, slots=True)
class RenderJob:
    """A state in a pass of the loop of a seed, and whether the page embeds its sound."""

    model: Path
    bits: Bits
    seed: int
    is_shown: bool
    first_pass: int = 0


@dataclass(frozen=True, slots=True)
class Clip:
    """A sound to embed: MP3, and a picture of its spectrogram as WebP."""

    sound: bytes
    picture: bytes


@dataclass(frozen=True, slots=True)
class Render:
    """One state in one pass of the loop of one seed.

    Attributes
    ----------
    figures : (n_figures,)
        In the order of `training.metrics.audio_metrics.METRIC_NAMES`.
    pitches : (n_half_seconds, n_pitches)
        How surely each pitch is heard, 0 to 1.
    onsets : (n_steps,)
        Strength of onsets in steps of 52 ms.
    is_finite : bool
        Whether all of its samples are numbers.
    first_pass : int
        How many passes of the loop come before it.
    """

    bits: Bits
    seed: int
    figures: NDArray[np.float64]
    pitches: NDArray[np.float32]
    onsets: NDArray[np.float32]
    is_finite: bool
    clip: Clip | None
    first_pass: int = 0

    @property
    def lufs(self) -> float:
        """Integrated loudness."""
        return float(self.figures[METRIC_NAMES.index("lufs")])

    @property
    def true_peak_db(self) -> float:
        """True peak in dB below full scale."""
        return float(self.figures[METRIC_NAMES.index("true_peak_db")])

    @property
    def silence_share(self) -> float:
        """Part of the time below -60 dB."""
        return float(self.figures[METRIC_NAMES.index("silence_share")])

    @property
    def is_silent(self) -> bool:
        """Whether the render is silent, too soft or not finite."""
        return not self.is_finite or self.silence_share > _MOST_SILENCE or self.lufs < _LEAST_LUFS


def loop_seconds(card: ModelCard) -> float:
    """Duration of a render: one loop at the model's tempo, in seconds."""
    return card.beats_per_loop * 60.0 / card.tempo_bpm


def render_all(
    jobs: Sequence[RenderJob], n_workers: int, on_done: Callable[[], None]
) -> dict[tuple[int, Bits], Render]:
    """Render all jobs in `n_workers` processes: (seed, bits) → render."""
    renders = {}
    for render in run_in_workers(render_state, jobs, n_workers):
        renders[render.seed, render.bits] = render
        on_done()
    return renders


def render_state(job: RenderJob) -> Render:
    """Render one state as the device does, without tape, and measure it."""
    network = network_of(job.model)
    sample_rate = network.card.sample_rate
    n_samples = round(loop_seconds(network.card) * sample_rate)
    n_fade = round(FADE_SECONDS * sample_rate)
    played = _sound(network, job, n_samples + n_fade)
    is_finite = bool(np.isfinite(played).all())
    measured = analyse(as_recorded(played[:n_samples]), sample_rate)
    clip = _clip(_seamless(np.nan_to_num(played), n_fade), sample_rate) if job.is_shown else None
    return Render(
        job.bits,
        job.seed,
        measured.figures,
        measured.pitches,
        measured.onsets,
        is_finite,
        clip,
        job.first_pass,
    )


@lru_cache(maxsize=1)
def network_of(path: Path) -> Network:
    """The network of a model file, opened once in a process for many jobs."""
    return Network.open(path)


def _sound(network: Network, job: RenderJob, n_samples: int) -> Samples:
    """Samples from the job's pass on, without the latency of the inversion: (n_samples,)."""
    performance = Performance(
        seed=job.seed,
        tape=0.0,
        block_frames=_BLOCK_FRAMES,
        start_beat=float(job.first_pass * network.card.beats_per_loop),
    )
    with Voice(network, performance) as voice:
        n_late = round(voice.vocoder.delay_seconds * network.card.sample_rate)
        n_blocks = math.ceil((n_late + n_samples) / voice.block_samples)
        blocks = [voice.block(job.bits) for _ in range(n_blocks)]
    return np.concatenate(blocks)[n_late : n_late + n_samples]


def _clip(loop: Samples, sample_rate: int) -> Clip:
    import soundfile

    from training.reporting.html import thumbnail

    # MP3 has few sample rates, and `SAMPLE_RATE` is one of them.
    sound = at_our_rate(loop, sample_rate)
    n_wrap = min(round(WRAP_SECONDS * SAMPLE_RATE), len(sound))
    wrapped = np.concatenate([sound[-n_wrap:], sound, sound[:n_wrap]])
    file = io.BytesIO()
    soundfile.write(
        file,
        np.clip(wrapped, -1, 1),
        SAMPLE_RATE,
        format="MP3",
        subtype="MPEG_LAYER_III",
        compression_level=_COMPRESSION,
        bitrate_mode="VARIABLE",
    )
    return Clip(file.getvalue(), thumbnail(sound, SAMPLE_RATE))


def _seamless(played: Samples, n_fade: int) -> Samples:
    """Cross-fade the end into the beginning, for a seamless loop: (n + n_fade,) → (n,)."""
    rise = np.linspace(0, 1, n_fade, dtype=np.float32)
    n_samples = len(played) - n_fade
    joined = played[:n_samples].copy()
    joined[:n_fade] = joined[:n_fade] * rise + played[n_samples:] * (1 - rise)
    return joined
