"""How long a flip takes to be heard, found in the samples that a card was given.

Two tones stand for the music of the model: one while an even number of switches is on, the other
while it is odd. All else is what plays: the network computes its scores and frames, the inversion,
the tape and the queue of a card of 44,100 Hz that consumes in real time. Switches are flipped at
random moments, and the moment at which the other tone is the louder one is looked up in the sound.
"""

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from device.audio.doubler import RateDoubler
from device.audio.speaker import SilentSpeaker
from device.model.network import Network, Score
from device.playback.instrument import Instrument
from device.switches.base import SwitchesBase
from device.switches.bits import Bits, flipped
from device.synthesis.performance import Performance
from device.synthesis.windows import analysis_window

Samples = NDArray[np.float32]

# Shares of the bins at which the tones are: far enough apart for a short window to tell them.
_TONES = (1 / 12, 1 / 3)
_LEVEL = 0.2
# From one flip to the next, at random between the two.
_INTERVAL_SECONDS = (0.4, 0.7)
_START_SECONDS = 1.0
# Of the window that follows the levels of the tones.
_WINDOW_SECONDS = 0.003
_SEARCHED_SECONDS = 0.35


@dataclass(frozen=True)
class FlipLatency:
    """Milliseconds from a flip on; of each flip in turn, (n_flips,).

    Attributes
    ----------
    read
        Until the switches are read.
    first
        Until the first sample computed with the flip sounds.
    half, ninety_percent
        Until the new sound is so large a part of what is heard.
    """

    read: NDArray[np.float64]
    first: NDArray[np.float64]
    half: NDArray[np.float64]
    ninety_percent: NDArray[np.float64]

    def figures(self) -> dict[str, float | int]:
        """For JSON: medians and 99th percentiles in milliseconds."""
        names = {
            "flip_to_read": self.read,
            "flip_to_first_sample": self.first,
            "flip_to_heard": self.half,
            "flip_to_heard_90_percent": self.ninety_percent,
        }
        figures: dict[str, float | int] = {"n_timed_flips": len(self.half)}
        for name, values in names.items():
            for percent in (50, 99):
                figures[f"{name}_p{percent}_ms"] = round(float(np.percentile(values, percent)), 2)
        return figures


class ToneNetwork(Network):
    """A network that does its work, and whose music is one of two tones."""

    def __init__(self, network: Network) -> None:
        vars(self).update(vars(network))
        n_fft = self.card.n_fft
        window = analysis_window(self.card.window, n_fft)
        self.tone_bins = [round(share * n_fft / 2) for share in _TONES]
        angle = 2 * np.pi * np.arange(n_fft) / n_fft
        self._tones = [
            np.abs(np.fft.rfft(_LEVEL * window * np.cos(k * angle))).astype(np.float32)
            for k in self.tone_bins
        ]

    def compose(self, switches: NDArray[np.float32], variation: NDArray[np.float32]) -> Score:
        """The score, and in its first number which of the tones it stands for."""
        score = super().compose(switches, variation).copy()
        score[0, 0] = round(float(switches.sum())) % 2
        return score

    def frames(self, score: Score, position: NDArray[np.float32]) -> NDArray[np.float32]:
        """The frames of the score's tone, (n_frames, frame_size), without phase advance."""
        frames = super().frames(score, position)
        frames[:, : self.card.n_bins] = self._tones[int(score[0, 0])]
        frames[:, self.card.n_bins :] = 0
        return frames


class RandomFlips(SwitchesBase):
    """Switches that are flipped at random moments of the clock, one at a time.

    Attributes
    ----------
    flipped_at, read_at : list of float
        Seconds: when each flip happened, and when it was read.
    """

    def __init__(self, n_switches: int, n_flips: int, seed: int) -> None:
        self.n_switches = n_switches
        self.flipped_at: list[float] = []
        self.read_at: list[float] = []
        self._rng = np.random.default_rng(seed)
        self._n_flips = n_flips
        self._bits: Bits = (False,) * n_switches
        self._next_at = time.perf_counter() + _START_SECONDS

    @property
    def finished(self) -> bool:
        """Whether the last flip has been heard."""
        return len(self.flipped_at) == self._n_flips and time.perf_counter() > self._next_at

    def read(self, seconds: float) -> Bits:
        """The present states."""
        del seconds
        now = time.perf_counter()
        if now >= self._next_at and len(self.flipped_at) < self._n_flips:
            i = int(self._rng.integers(self.n_switches))
            self._bits = flipped(self._bits, i)
            self.flipped_at.append(self._next_at)
            self.read_at.append(now)
            self._next_at += float(self._rng.uniform(*_INTERVAL_SECONDS))
        return self._bits


class RecordingCard(SilentSpeaker):
    """A card of twice the instrument's rate that plays in real time, and keeps what it was given.

    Attributes
    ----------
    sound : list of (2 n,) arrays
    written_at, played_at : list of float
        Seconds at which each of them came, and at which its first sample sounds.
    """

    name = "simulated"

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = 2 * sample_rate
        self.sound: list[Samples] = []
        self.written_at: list[float] = []
        self.played_at: list[float] = []
        self._doubler = RateDoubler()
        super().__init__(self.sample_rate, clock=time.perf_counter)

    @property
    def latency_seconds(self) -> float:
        """From now until what was written last has been heard."""
        return self.queued_seconds + self._doubler.delay_samples / self.sample_rate

    def write(self, samples: Samples) -> None:
        """Queue samples of shape (n,)."""
        self.sound.append(self._doubler.process(samples))
        self.written_at.append(time.perf_counter())
        self.played_at.append(self.written_at[-1] + self.queued_seconds)
        super().write(self.sound[-1])


def measure_flips(
    network: Network, performance: Performance, *, n_flips: int, seed: int
) -> FlipLatency:
    """Play in real time, flip switches at random moments, and find each flip in the sound."""
    tones = ToneNetwork(network)
    switches = RandomFlips(network.card.n_switches, n_flips, seed)
    card = RecordingCard(network.card.sample_rate)
    with Instrument(tones, switches, card, performance, ahead=True) as instrument:
        instrument.play()
    hertz = [k * network.card.sample_rate / network.card.n_fft for k in tones.tone_bins]
    return _find_flips(card, switches, hertz)


def _find_flips(card: RecordingCard, switches: RandomFlips, hertz: list[float]) -> FlipLatency:
    sound = np.concatenate(card.sound)
    lengths = [len(block) for block in card.sound]
    begins = np.concatenate([[0], np.cumsum(lengths)])[:-1]
    times = np.concatenate(
        [
            played_at + np.arange(n) / card.sample_rate
            for played_at, n in zip(card.played_at, lengths, strict=True)
        ]
    )
    levels = [tone_level(sound, tone, card.sample_rate) for tone in hertz]
    levels = [level / np.percentile(level, 90) for level in levels]
    rows = []
    for i, read_at in enumerate(switches.read_at):
        # Each flip changes the number of switches that are on by one.
        old, new = levels[i % 2], levels[(i + 1) % 2]
        block = int(np.searchsorted(card.written_at, read_at))
        here = slice(int(begins[block]), int(begins[block] + _SEARCHED_SECONDS * card.sample_rate))
        share = new[here] / (new[here] + old[here] + 1e-9)
        half, most = (float(times[here][np.argmax(share >= part)]) for part in (0.5, 0.9))
        rows.append([read_at, card.played_at[block], half, most])
    seconds = np.array(rows) - np.array(switches.flipped_at)[:, np.newaxis]
    return FlipLatency(*(1e3 * seconds).T)


def tone_level(sound: Samples, hertz: float, sample_rate: int) -> NDArray[np.float64]:
    """The level of a tone at every sample, (n,), by a short window around it."""
    n = round(_WINDOW_SECONDS * sample_rate) | 1
    carrier = np.exp(-2j * np.pi * hertz * np.arange(len(sound)) / sample_rate)
    window = np.hanning(n + 2)[1:-1]
    return np.abs(np.convolve(sound * carrier, window / window.sum(), "same"))
