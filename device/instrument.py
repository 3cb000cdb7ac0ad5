"""The instrument: one loop that reads switches, makes a block and hands it to the speaker."""

import math
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device.closing import Closing
from device.meter import Percentiles, level_db
from device.network import Network
from device.speakers import Speaker
from device.state import Bits, InstrumentState
from device.switches import Switches
from device.transport import BEATS_PER_BAR
from device.voice import Performance, Voice

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
    inversion_latency_ms, speaker_latency_ms : float
        What comes on top until the change is whole in the air.
    block_p50_ms, block_p99_ms, block_max_ms : float
        Time to make a block.
    block_deadline_ms : float
        Time to play it.
    missed_deadlines : int
        Blocks that took longer to make than to play.
    underruns : int
        Gaps the speaker counted.
    """

    seconds: float
    n_flips: int
    switch_to_sample_p50_ms: float
    switch_to_sample_p99_ms: float
    inversion_latency_ms: float
    speaker_latency_ms: float
    block_p50_ms: float
    block_p99_ms: float
    block_max_ms: float
    block_deadline_ms: float
    missed_deadlines: int
    underruns: int

    def to_dict(self) -> dict[str, Any]:
        """JSON-able, rounded to what can be trusted; unmeasured figures are None."""
        return {name: _rounded(value) for name, value in asdict(self).items()}


class Instrument(Closing):
    """Plays until it is stopped, the player quits or the time is up.

    Parameters
    ----------
    ahead : bool
        Compose ahead on a helper thread; for playing in real time.
    listeners : iterable of callable
        Each is called with the same snapshot once a block, as soon as the speaker has taken the
        block: a call says that the loop goes on. They know nothing of each other, run in the audio
        loop, and so must return at once and never raise: keep the snapshot, or set a flag, and
        work in a thread of your own.
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
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.voice = Voice(network, performance, ahead=ahead)
        self.switches = switches
        self.speaker = speaker
        self.stop = threading.Event()
        self._card = network.card
        self._listeners = tuple(listeners)
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
        self.voice.close()

    @property
    def seconds(self) -> float:
        """Music handed to the speaker so far."""
        return self._n_samples / self._card.sample_rate

    def play(self, seconds: float | None = None) -> Report:
        """Play for `seconds` of music, for ever by default, and end with a short fade."""
        block = self.voice.block_samples
        total = None if seconds is None else round(seconds * self._card.sample_rate)
        while not self.stop.is_set() and not self.switches.finished:
            if total is not None and self._n_samples + block >= total:
                break
            self._play_block()
        rest = block if total is None else min(block, total - self._n_samples)
        self._fade_out(max(rest, 0))
        return self.report()

    def _play_block(self) -> None:
        started = self._clock()
        bits = self._read(started)
        samples = self.voice.block(bits)
        ready = self._clock()
        self._time_block(1e3 * (ready - started))
        if self._flipped_at is not None and self.voice.sounding == bits:
            self._time_flip(1e3 * (ready - self._flipped_at))
        self._hand_over(samples)
        self._tell(bits, samples)

    def _read(self, now: float) -> Bits:
        bits = self.switches.read(self.seconds)
        if self._bits is not None and bits != self._bits:
            self._n_flips += 1
            if self._flipped_at is None:
                self._flipped_at = now
        self._bits = bits
        return bits

    def _hand_over(self, samples: NDArray[np.float32]) -> None:
        self.speaker.write(samples)
        self._n_samples += len(samples)

    def _tell(self, bits: Bits, samples: NDArray[np.float32]) -> None:
        if self._listeners:
            state = self._snapshot(bits, samples)
            for listener in self._listeners:
                listener(state)

    def _fade_out(self, n_samples: int) -> None:
        """The last block, down to silence, so that the end does not click."""
        if n_samples == 0:
            return
        samples = self.voice.block(self._read(self._clock()))[:n_samples]
        samples *= np.linspace(1, 0, len(samples), dtype=np.float32)
        self._hand_over(samples)

    def _time_block(self, milliseconds: float) -> None:
        self._block_ms.add(milliseconds)
        self._block_max_ms = max(self._block_max_ms, milliseconds)
        self._n_late += milliseconds > self._deadline_ms

    def _time_flip(self, milliseconds: float) -> None:
        self._flipped_at = None
        self._switch_ms.add(milliseconds)
        self._switch_p50_p99 = (self._switch_ms.at(50), self._switch_ms.at(99))

    @property
    def _deadline_ms(self) -> float:
        return 1e3 * self.voice.block_samples / self._card.sample_rate

    @property
    def _inversion_latency_ms(self) -> float:
        return 1e3 * self.voice.inversion.latency_samples / self._card.sample_rate

    def _snapshot(self, bits: Bits, samples: NDArray[np.float32]) -> InstrumentState:
        beat = self.voice.beat
        bar = int(beat // BEATS_PER_BAR)
        bars_per_loop = max(1, self._card.beats_per_loop // BEATS_PER_BAR)
        return InstrumentState(
            title=self._card.title,
            labels=self._card.switch_labels,
            bits=bits,
            sounding=self.voice.sounding or bits,
            bar=bar,
            beat=int(beat % BEATS_PER_BAR),
            n_beats=BEATS_PER_BAR,
            bar_in_loop=bar % bars_per_loop,
            bars_per_loop=bars_per_loop,
            tempo_bpm=self.voice.transport.tempo_bpm,
            level_db=level_db(samples),
            seconds=self.seconds,
            n_flips=self._n_flips,
            switch_p50_ms=self._switch_p50_p99[0],
            switch_p99_ms=self._switch_p50_p99[1],
            latency_ms=self._inversion_latency_ms + 1e3 * self.speaker.latency_seconds,
            n_underruns=self.speaker.n_underruns,
            n_late=self._n_late,
        )

    def report(self) -> Report:
        """What the performance was like so far."""
        return Report(
            seconds=self.seconds,
            n_flips=self._n_flips,
            switch_to_sample_p50_ms=self._switch_p50_p99[0],
            switch_to_sample_p99_ms=self._switch_p50_p99[1],
            inversion_latency_ms=self._inversion_latency_ms,
            speaker_latency_ms=1e3 * self.speaker.latency_seconds,
            block_p50_ms=self._block_ms.at(50),
            block_p99_ms=self._block_ms.at(99),
            block_max_ms=self._block_max_ms,
            block_deadline_ms=self._deadline_ms,
            missed_deadlines=self._n_late,
            underruns=self.speaker.n_underruns,
        )


def _rounded(value: float) -> float | int | None:
    if isinstance(value, int):
        return value
    return round(value, 3) if math.isfinite(value) else None
