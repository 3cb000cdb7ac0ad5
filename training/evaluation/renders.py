"""Takes: one state of the panel played through the box's own voice, measured and made to show."""

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
from training.metrics.audio_metrics import NAMES, at_our_rate, describe
from training.metrics.spectra import SAMPLE_RATE, as_recorded

Samples = NDArray[np.float32]

# What is embedded goes round without a seam: its end fades into its beginning, and beyond both it
# goes on, because decoders of MP3 disagree about where a sound begins.
FADE_SECONDS = 0.02
WRAP_SECONDS = 0.1
# Variable bit rate, 0 best to 1 smallest: about 28 kbit/s at 22,050 Hz.
_COMPRESSION = 0.7
# A state is dead if this much of it is silence, or all of it this soft.
_DEAD_SHARE, _DEAD_LUFS = 0.3, -45.0
_BLOCK_FRAMES = 16


@dataclass(frozen=True, slots=True)
class TakeJob:
    """What to play: a state in the variation of a seed, and whether somebody will listen."""

    model: Path
    bits: Bits
    seed: int
    is_shown: bool


@dataclass(frozen=True, slots=True)
class Clip:
    """A sound to embed: MP3, and a picture of its spectrogram as WebP."""

    sound: bytes
    picture: bytes


@dataclass(frozen=True, slots=True)
class Render:
    """One state in the variation of one seed.

    Attributes
    ----------
    figures : (n_figures,)
        In the order of `training.metrics.audio_metrics.NAMES`.
    is_finite : bool
        Whether all of its samples are numbers.
    """

    bits: Bits
    seed: int
    figures: NDArray[np.float64]
    is_finite: bool
    clip: Clip | None

    @property
    def lufs(self) -> float:
        """Integrated loudness."""
        return float(self.figures[NAMES.index("lufs")])

    @property
    def true_peak_db(self) -> float:
        """True peak in dB below full scale."""
        return float(self.figures[NAMES.index("true_peak_db")])

    @property
    def silence_share(self) -> float:
        """Part of the time below -60 dB."""
        return float(self.figures[NAMES.index("silence_share")])

    @property
    def is_dead(self) -> bool:
        """Whether there is nothing to hear, or what is no sound."""
        return not self.is_finite or self.silence_share > _DEAD_SHARE or self.lufs < _DEAD_LUFS


def loop_seconds(card: ModelCard) -> float:
    """How long a take is: once round the loop at the model's tempo."""
    return card.beats_per_loop * 60.0 / card.tempo_bpm


def play_all(
    jobs: Sequence[TakeJob], n_workers: int, on_done: Callable[[], None]
) -> dict[tuple[int, Bits], Render]:
    """Play everything, in as many processes: (seed, bits) → take."""
    takes = {}
    for take in run_in_workers(play, jobs, n_workers):
        takes[take.seed, take.bits] = take
        on_done()
    return takes


def play(job: TakeJob) -> Render:
    """Play one state as the box would, without tape, and listen to it."""
    network = _network(job.model)
    sample_rate = network.card.sample_rate
    n_samples = round(loop_seconds(network.card) * sample_rate)
    n_fade = round(FADE_SECONDS * sample_rate)
    played = _sound(network, job.bits, job.seed, n_samples + n_fade)
    is_finite = bool(np.isfinite(played).all())
    figures = describe(as_recorded(played[:n_samples]), sample_rate)
    clip = _clip(_going_round(np.nan_to_num(played), n_fade), sample_rate) if job.is_shown else None
    return Render(job.bits, job.seed, figures, is_finite, clip)


@lru_cache(maxsize=1)
def _network(path: Path) -> Network:
    return Network.open(path)


def _sound(network: Network, bits: Bits, seed: int, n_samples: int) -> Samples:
    """Music from beat 0 on, without what the inversion is late by."""
    performance = Performance(seed=seed, tape=0.0, block_frames=_BLOCK_FRAMES)
    with Voice(network, performance) as voice:
        n_late = round(voice.vocoder.delay_seconds * network.card.sample_rate)
        n_blocks = math.ceil((n_late + n_samples) / voice.block_samples)
        blocks = [voice.block(bits) for _ in range(n_blocks)]
    return np.concatenate(blocks)[n_late : n_late + n_samples]


def _clip(round_again: Samples, sample_rate: int) -> Clip:
    import soundfile

    from training.reporting.html import thumbnail

    # MP3 knows few sample rates, and this is one of them.
    sound = at_our_rate(round_again, sample_rate)
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


def _going_round(played: Samples, n_fade: int) -> Samples:
    """A sound whose end leads into its beginning: (n + n_fade,) → (n,)."""
    rise = np.linspace(0, 1, n_fade, dtype=np.float32)
    n_samples = len(played) - n_fade
    joined = played[:n_samples].copy()
    joined[:n_fade] = joined[:n_fade] * rise + played[n_samples:] * (1 - rise)
    return joined
