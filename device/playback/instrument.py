"""The instrument: one loop that reads switches, makes a block and hands it to the speaker."""

import math
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device.audio.speaker import Speaker
from device.closeable import Closeable
from device.errors import Interrupted
from device.model.network import Network
from device.playback.governor import Governor
from device.playback.state import InstrumentState
from device.playback.statistics import Percentiles, level_db
from device.playback.transition import VoiceSwitcher
from device.switches.base import Switches
from device.switches.bits import Bits, fit
from device.synthesis.performance import Performance
from device.synthesis.transport import BEATS_PER_BAR
from device.synthesis.voice import Voice
from device.system.threads import THREADS

Listener = Callable[[InstrumentState], None]


@dataclass(frozen=True)
class Report:
    """What one performance was like; milliseconds are nan where nothing was measured.

    Attributes
    ----------
    seconds : float
        Music handed to the speaker.
    n_flips : int
    switch_to_sample_p50_ms, switch_to_sample_p99_ms : float
        From the reading of a flip to the handing over of the first sample computed with it.
    inversion_halfway_ms : float
        What comes on top until the new is the larger part of what is heard.
    inversion_latency_ms, speaker_latency_ms : float
        What comes on top until the change is whole in the air.
    block_p50_ms, block_p99_ms, block_max_ms : float
        Time to make a block.
    block_deadline_ms : float
        Time to play it.
    missed_deadlines : int
        Blocks that took longer to make than to play.
    passes_lowered : int
        How often the governor took a pass of the inversion away.
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
    block_p50_ms: float
    block_p99_ms: float
    block_max_ms: float
    block_deadline_ms: float
    missed_deadlines: int
    passes_lowered: int
    underruns: int

    def to_dict(self) -> dict[str, Any]:
        """JSON-able, rounded to what can be trusted; unmeasured figures are None."""
        return {name: _rounded(value) for name, value in asdict(self).items()}


class Instrument(Closeable):
    """Plays until it is stopped, the player quits or the time is up.

    Parameters
    ----------
    ahead : bool
        Compose ahead on a helper thread; for playing in real time.
    listeners : iterable of callable
        Each is called with the same snapshot once a block, as soon as the speaker has taken the
        block: a call says that the loop goes on. They know nothing of each other, run in the audio
        loop, and so must return at once: keep the snapshot, or set a flag, and work in a
        `SupervisedThread`.
        What one raises is noted on the registry, and the music goes on.
    governed : bool
        Lower the inversion's passes while blocks run late. Not for a recording, which must not
        depend on what else the machine did.
    clock : callable
        Seconds, monotonic.
    """

    def __init__(
        self,
        network: Network,
        switches: Switches,
        speaker: Speaker,
        performance: Performance,
        *,
        ahead: bool,
        listeners: Iterable[Listener] = (),
        governed: bool = False,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.performance = performance
        self._ahead = ahead
        self.stage = VoiceSwitcher(Voice(network, performance, ahead=ahead))
        self.switches = switches
        self.speaker = speaker
        self.stop = threading.Event()
        self.listeners = list(listeners)
        self._governor = Governor(self.voice.inversion.n_passes) if governed else None
        # The speaker's for as long as it plays, whatever models may come.
        self._sample_rate = network.card.sample_rate
        self._card = network.card
        self._clock = clock
        self._n_samples = 0
        self._bits: Bits | None = None
        self._flipped_at: float | None = None
        self._n_flips = 0
        self._n_late = 0
        self._switch_ms = Percentiles()
        self._switch_p50_p99 = (math.nan, math.nan)
        self._block_ms = Percentiles()
        self._block_max_ms = 0.0

    def close(self) -> None:
        """End the helper thread; the music is over."""
        self.stage.close()

    @property
    def voice(self) -> Voice:
        """The voice that is heard."""
        return self.stage.voice

    @property
    def seconds(self) -> float:
        """Music handed to the speaker so far."""
        return self._n_samples / self._sample_rate

    def voice_of(self, network: Network) -> Voice:
        """A voice for the same performance, to follow the one that is heard now."""
        return Voice(
            network,
            self.performance,
            ahead=self._ahead,
            sample_rate=self._sample_rate,
            after=self.voice,
        )

    def play(self, seconds: float | None = None) -> Report:
        """Play for `seconds` of music, for ever by default, and end with a short fade.

        Without the fade where the network was interrupted: there are no more samples.

        Raises
        ------
        ModelFailed
            If the model can play no more and no other one is to follow.
        """
        with suppress(Interrupted):
            self._play(None if seconds is None else round(seconds * self._sample_rate))
        return self.report()

    def _play(self, total: int | None) -> None:
        while not self.stop.is_set() and not self.switches.finished:
            if total is not None and self._n_samples + self._block_samples >= total:
                break
            self._play_block()
            self.stage.check()
        rest = self._block_samples if total is None else total - self._n_samples
        self._fade_out(max(min(rest, self._block_samples), 0))

    def _play_block(self) -> None:
        started = self._clock()
        panel = self._read(started)
        samples = self.stage.block(panel)
        ready = self._clock()
        self._time_block(1e3 * (ready - started), len(samples))
        if self._flipped_at is not None and self.voice.sounding == self._bits:
            self._time_flip(1e3 * (ready - self._flipped_at))
        self._hand_over(samples)
        self._tell(panel, samples)

    def _read(self, now: float) -> Bits:
        """How the panel stands; a flip is a change of what the model takes of it."""
        self._follow_model()
        panel = self.switches.read(self.seconds)
        bits = fit(panel, self._card.n_switches)
        if self._bits is not None and bits != self._bits:
            self._n_flips += 1
            if self._flipped_at is None:
                self._flipped_at = now
        self._bits = bits
        return panel

    def _follow_model(self) -> None:
        card = self.voice.card
        if card is not self._card:
            self._card = card
            self.switches.fit(card.n_switches)
            self._bits = None  # what has changed with the model is no flip

    def _hand_over(self, samples: NDArray[np.float32]) -> None:
        self.speaker.write(samples)
        self._n_samples += len(samples)

    def _tell(self, panel: Bits, samples: NDArray[np.float32]) -> None:
        if self.listeners:
            state = self._snapshot(panel, samples)
            for listener in self.listeners:
                with THREADS.guard(_name_of(listener)):
                    listener(state)

    def _fade_out(self, n_samples: int) -> None:
        """The last block, down to silence, so that the end does not click."""
        if n_samples == 0:
            return
        samples = np.zeros(0, np.float32)
        while len(samples) < n_samples:
            samples = np.concatenate([samples, self.stage.block(self._read(self._clock()))])
        samples = samples[:n_samples]
        samples *= np.linspace(1, 0, len(samples), dtype=np.float32)
        self._hand_over(samples)

    def _time_block(self, milliseconds: float, n_samples: int) -> None:
        if n_samples == 0:
            return  # A resampler may keep a short block to itself: nothing plays, nothing is late.
        self._block_ms.add(milliseconds)
        self._block_max_ms = max(self._block_max_ms, milliseconds)
        playing_ms = 1e3 * n_samples / self._sample_rate
        self._n_late += milliseconds > playing_ms
        if self._governor is not None:
            self.voice.inversion.n_passes = self._governor.judge(milliseconds, playing_ms)

    def _time_flip(self, milliseconds: float) -> None:
        self._flipped_at = None
        self._switch_ms.add(milliseconds)
        self._switch_p50_p99 = (self._switch_ms.at(50), self._switch_ms.at(99))

    @property
    def _n_lowered(self) -> int:
        return 0 if self._governor is None else self._governor.n_lowered

    @property
    def _block_samples(self) -> int:
        """Length of an ordinary block, of the speaker's samples."""
        return math.ceil(self.voice.block_samples * self._sample_rate / self.voice.card.sample_rate)

    def _snapshot(self, panel: Bits, samples: NDArray[np.float32]) -> InstrumentState:
        voice, card = self.voice, self.voice.card
        bits = fit(panel, card.n_switches)
        beat = voice.beat
        bar = int(beat // BEATS_PER_BAR)
        bars_per_loop = max(1, card.beats_per_loop // BEATS_PER_BAR)
        return InstrumentState(
            title=card.title,
            digest=voice.network.digest,
            labels=card.switch_labels,
            panel=panel,
            bits=bits,
            sounding=voice.sounding or bits,
            bar=bar,
            beat=int(beat % BEATS_PER_BAR),
            n_beats=BEATS_PER_BAR,
            bar_in_loop=bar % bars_per_loop,
            bars_per_loop=bars_per_loop,
            position=beat,
            tempo_bpm=voice.transport.tempo_bpm,
            fixed_tempo_bpm=self.performance.tempo_bpm,
            seed=self.performance.seed,
            still=self.performance.still,
            level_db=level_db(samples),
            seconds=self.seconds,
            n_flips=self._n_flips,
            switch_p50_ms=self._switch_p50_p99[0],
            switch_p99_ms=self._switch_p50_p99[1],
            latency_ms=1e3 * (voice.vocoder.latency_seconds + self.speaker.latency_seconds),
            n_underruns=self.speaker.n_underruns,
            n_late=self._n_late,
            n_passes=self.voice.inversion.n_passes,
            n_lowered=self._n_lowered,
            n_not_finite=voice.network.n_not_finite,
            failure=None if voice.failure is None else str(voice.failure),
        )

    def report(self) -> Report:
        """What the performance was like so far."""
        return Report(
            seconds=self.seconds,
            n_flips=self._n_flips,
            switch_to_sample_p50_ms=self._switch_p50_p99[0],
            switch_to_sample_p99_ms=self._switch_p50_p99[1],
            inversion_halfway_ms=1e3 * self.voice.vocoder.halfway_seconds,
            inversion_latency_ms=1e3 * self.voice.vocoder.latency_seconds,
            speaker_latency_ms=1e3 * self.speaker.latency_seconds,
            block_p50_ms=self._block_ms.at(50),
            block_p99_ms=self._block_ms.at(99),
            block_max_ms=self._block_max_ms,
            block_deadline_ms=1e3 * self._block_samples / self._sample_rate,
            missed_deadlines=self._n_late,
            passes_lowered=self._n_lowered,
            underruns=self.speaker.n_underruns,
        )


def _name_of(listener: Listener) -> str:
    return f"listener {getattr(listener, '__qualname__', type(listener).__name__)}"


def _rounded(value: float) -> float | int | None:
    if isinstance(value, int):
        return value
    return round(value, 3) if math.isfinite(value) else None
