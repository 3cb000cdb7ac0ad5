"""The instrument: one loop that reads the switches, makes a block and writes it to the speaker."""

import math
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from device.audio.speaker import Speaker
from device.closeable import Closeable
from device.errors import Interrupted
from device.model.network import Network
from device.playback.control import Control
from device.playback.evening.evening import Evening
from device.playback.governor import Governor, qualities
from device.playback.queue_guard import QueueGuard
from device.playback.recording.recorder import Recorder
from device.playback.report import Report
from device.playback.state import InstrumentState, position_of
from device.playback.statistics import Percentiles, level_db
from device.playback.transition import fade_out
from device.playback.voice_switcher import VoiceSwitcher
from device.switches.base import Switches
from device.switches.bits import Bits, fit
from device.switches.commands import Keep
from device.switches.remote import RemoteSwitches
from device.synthesis.performance import Performance
from device.synthesis.voice import Voice
from device.system.threads import THREADS

Listener = Callable[[InstrumentState], None]

# Seconds to make a block, seconds by which it was begun too late, and its samples.
Block = tuple[float, float, NDArray[np.float32]]

# From one snapshot to the next while no switch is flipped.
PERIOD_SECONDS = 0.058
# Of the end of the music.
FADE_SECONDS = 0.058
_NO_SAMPLES = np.zeros(0, np.float32)


class Instrument(Closeable):
    """Plays until `stop` is set, the switches have finished or the time is up.

    In real time the switches are read as late as possible: when the speaker's queue is down to a
    guard, which `QueueGuard` adapts. What is queued is what a flip must wait for.

    Parameters
    ----------
    ahead : bool
        Compose ahead on a helper thread; for playing in real time.
    listeners : iterable of callable
        Each is called with the same snapshot, every 58 ms and at every flip, as soon as the speaker
        has taken the block: a call means that the loop goes on. They are independent of each other,
        run in the audio loop, and so must return at once: keep the snapshot, or set a flag, and
        work in a `SupervisedThread`. An error of one is recorded in `THREADS`, and the music goes
        on.
    governed : bool
        Do less work for a hop while blocks are late. Not for a recording, which must not
        depend on the load of the machine.
    recorder : Recorder or None
        Takes the events and the samples, for the log and for `keep`.
    clock : callable
        Seconds, monotonic.

    Attributes
    ----------
    control : Control
        Takes commands for the music that plays, from any thread.
    evening : Evening
        When it sleeps, wakes and wanders; without settings it waits for commands.
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
        recorder: Recorder | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._ahead = ahead
        self._recorder = recorder
        self.voice_switcher = VoiceSwitcher(Voice(network, performance, ahead=ahead), recorder)
        self.switches = switches
        self.speaker = speaker
        self.stop = threading.Event()
        self._remote = RemoteSwitches(switches)
        self.control = Control(performance, self.voice_switcher, self._remote, self.stop.set)
        self.control.handlers[Keep] = lambda _: self.keep()
        self.evening = Evening(
            lambda level, seconds: self.voice_switcher.fade(level, self._samples_in(seconds)),
            lambda: self.voice_switcher.fader.is_silent,
            lambda: (self.voice_switcher.beat, self._card.n_switches),
            self.control,
        )
        self.listeners = list(listeners)
        self._qualities = qualities(self.voice.vocoder.inversion.n_iterations)
        self._governor = Governor(len(self._qualities) - 1) if governed else None
        # The speaker keeps the rate of the first model.
        self._sample_rate = network.card.sample_rate
        self._card = network.card
        self._clock = clock
        self._guard = QueueGuard()
        self._n_blocks = 0
        self._n_samples = 0
        self._end_samples = self._samples_of_end()
        self._period: list[Block] = []
        self._reported: Bits = ()
        self._report_at = 0
        self._states: Bits | None = None
        self._bits: Bits | None = None
        self._flipped_at: float | None = None
        self._n_flips = self._n_late = 0
        self._switch_ms = Percentiles()
        self._switch_p50_p99 = (math.nan, math.nan)
        self._block_ms = Percentiles()
        self._block_max_ms = 0.0
        self._ahead_seconds = 0.0

    def close(self) -> None:
        """End the helper thread of the voice."""
        self.voice_switcher.close()

    @property
    def voice(self) -> Voice:
        """The voice that is heard."""
        return self.voice_switcher.voice

    @property
    def performance(self) -> Performance:
        """How it plays now; commands change the tempo and the gain."""
        return self.control.performance

    @property
    def seconds(self) -> float:
        """Music written to the speaker so far."""
        return self._n_samples / self._sample_rate

    def voice_of(self, network: Network) -> Voice:
        """A voice for the same performance, to follow the current one."""
        return Voice(
            network,
            self.performance,
            ahead=self._ahead,
            sample_rate=self._sample_rate,
            after=self.voice,
        )

    def play(self, seconds: float | None = None) -> Report:
        """Play for `seconds` of music, without an end by default, and end with a fade of 58 ms.

        Without the fade if the network was interrupted: it computes no more samples.

        Raises
        ------
        ModelFailed
            If the model cannot go on and no other one is scheduled.
        """
        try:
            with suppress(Interrupted):
                self._play(None if seconds is None else self._samples_in(seconds))
        finally:
            self.voice_switcher.account()
            if self._recorder is not None:
                self._recorder.end(self._n_samples)
        return self.report()

    def keep(self) -> None:
        """Request that the last minutes are kept, if there is a recorder; from any thread."""
        if self._recorder is not None:
            self._recorder.keep()

    def _play(self, total: int | None) -> None:
        while not self.stop.is_set() and not self.switches.finished:
            if total is not None and self._n_samples + self._end_samples >= total:
                break
            if self.voice_switcher.fader.is_silent:
                self._rest(total)
            else:
                self._play_block()
        if self._period:
            self._end_period(self._reported, self._clock())
        rest = self._end_samples if total is None else total - self._n_samples
        self._fade_out(max(min(rest, self._end_samples), 0))

    def _play_block(self) -> None:
        overslept = self.speaker.wait(self._guard.seconds) if self.speaker.is_live else 0.0
        started = self._clock()
        switch_states = self._read(started)
        samples = self.voice_switcher.block(switch_states)
        ready = self._clock()
        self.speaker.write(samples)
        self._n_samples += len(samples)
        if self._flipped_at is not None and self.voice.sounding == self._bits:
            self._switch_ms.add(1e3 * (ready - self._flipped_at))
            self._switch_p50_p99 = (self._switch_ms.at(50), self._switch_ms.at(99))
            self._flipped_at = None
        self._period.append((ready - started, overslept, samples))
        if switch_states != self._reported or self._n_samples >= self._report_at:
            self._end_period(switch_states, ready)
        if self._ahead and not self.voice_switcher.n_ready:
            began = self._clock()
            self.voice_switcher.work_ahead()
            self._ahead_seconds += self._clock() - began

    def _rest(self, total: int | None) -> None:
        """Write silence for a period: the music stands still, and nothing is computed."""
        if self._period:
            self._end_period(self._reported, self._clock())
        if self.speaker.is_live:
            self.speaker.wait(self._guard.seconds)
        switch_states = self._read(self._clock())
        if not self.voice_switcher.fader.is_silent:
            return
        n_samples = self._samples_in(PERIOD_SECONDS)
        if total is not None:
            n_samples = min(n_samples, total - self._n_samples - self._end_samples)
        silence = np.zeros(n_samples, np.float32)
        # In ordinary blocks: for a longer one a card would take a larger buffer.
        for at in range(0, n_samples, self._block_samples):
            self.speaker.write(silence[at : at + self._block_samples])
        self._n_samples += n_samples
        if self._recorder is not None:
            self._recorder.rest(silence)
        self._notify(switch_states, silence)

    def _read(self, now: float) -> Bits:
        """The states of all switches."""
        if self.control.queue:
            self.control.apply()
        evening = self.evening
        evening.now = seconds = self.seconds
        if seconds >= evening.due_at:
            evening.update()
        switch_states = self._remote.read(seconds)
        if switch_states != self._states:
            self._follow_switches(switch_states, now)
        return switch_states

    def _follow_switches(self, switch_states: Bits, now: float) -> None:
        """A flip is a change of those that the model has."""
        self._states = switch_states
        bits = fit(switch_states, self._card.n_switches)
        if bits != self._bits:
            if self._bits is not None:
                self._n_flips += 1
                if self._flipped_at is None:
                    self._flipped_at = now
            self._bits = bits

    def _end_period(self, switch_states: Bits, now: float) -> None:
        """Do for some blocks together what need not be done for each: a block is short."""
        period, self._period = self._period, []
        self.voice_switcher.account()
        self._time_blocks([block for block in period if len(block[2])], now)
        together = _NO_SAMPLES
        if self._recorder is not None or self.listeners:
            together = np.concatenate([samples for _, _, samples in period])
        if self._recorder is not None:
            self._recorder.take(together)
        self._notify(switch_states, together)

    def _follow_model(self) -> None:
        card = self.voice.card
        if card is not self._card:
            self._card = card
            self._end_samples = self._samples_of_end()
            self.switches.fit(card.n_switches)
            self._states = self._bits = None  # a change that comes with the model is no flip

    def _notify(self, switch_states: Bits, samples: NDArray[np.float32]) -> None:
        self._reported = switch_states
        self._report_at = self._n_samples + self._samples_in(PERIOD_SECONDS)
        if self.listeners:
            state = self._snapshot(switch_states, samples)
            for listener in self.listeners:
                name = getattr(listener, "__qualname__", type(listener).__name__)
                with THREADS.guard(f"listener {name}"):
                    listener(state)
        self.voice_switcher.check()
        self._follow_model()

    def _fade_out(self, n_samples: int) -> None:
        """Write the end, faded to silence so that it does not click."""
        if self._recorder is not None:
            self._recorder.begin_fade(n_samples)
        for samples in fade_out(
            lambda: self.voice_switcher.block(self._read(self._clock())), n_samples
        ):
            self.speaker.write(samples)
            self._n_samples += len(samples)
            if self._recorder is not None:
                self._recorder.take(samples)

    def _time_blocks(self, period: list[Block], now: float) -> None:
        """Count and time blocks; a resampler may keep a short one, which is left out."""
        is_live, rate = self.speaker.is_live, self._sample_rate
        making_seconds = longest = 0.0
        n_samples = 0
        for seconds, overslept, samples in period:
            self._block_ms.add(1e3 * seconds)
            making_seconds += seconds
            longest = max(longest, seconds + overslept)
            n_samples += len(samples)
            # In real time, late is what came after the queue had been played.
            deadline = self._guard.seconds - overslept if is_live else len(samples) / rate
            self._n_late += seconds > deadline
            self._block_max_ms = max(self._block_max_ms, 1e3 * seconds)
        self._n_blocks += len(period)
        if is_live and period:
            self._guard.update(longest, self.speaker.n_underruns, now)
        if self._governor is not None and period:
            making_seconds += self._ahead_seconds
            level = self._governor.update(1e3 * making_seconds, 1e3 * n_samples / rate)
            self.voice_switcher.set_quality(
                self._qualities[level].n_iterations, self._qualities[level].held_frames
            )
        self._ahead_seconds = 0.0

    @property
    def _n_lowered(self) -> int:
        return 0 if self._governor is None else self._governor.n_lowered

    def _samples_of_end(self) -> int:
        """Length of the end, which is faded, in samples at the speaker's rate."""
        return max(self._block_samples, self._samples_in(FADE_SECONDS))

    def _samples_in(self, seconds: float) -> int:
        return round(seconds * self._sample_rate)

    @property
    def _block_samples(self) -> int:
        """Length of the longest ordinary block, in samples at the speaker's rate."""
        return math.ceil(self.voice.block_samples * self._sample_rate / self.voice.card.sample_rate)

    def _snapshot(self, switch_states: Bits, samples: NDArray[np.float32]) -> InstrumentState:
        voice, card = self.voice, self.voice.card
        bits = fit(switch_states, card.n_switches)
        return InstrumentState(
            title=card.title,
            digest=voice.network.digest,
            labels=card.switch_labels,
            switch_states=switch_states,
            bits=bits,
            holders=self._remote.holders,
            sounding=voice.sounding or bits,
            **position_of(voice),
            tempo_bpm=voice.transport.tempo_bpm,
            fixed_tempo_bpm=self.performance.tempo_bpm,
            gain_db=self.performance.gain_db,
            evening=self.evening.state,
            seed=self.performance.seed,
            still=self.performance.still,
            journey=self.performance.journey,
            level_db=level_db(samples),
            seconds=self.seconds,
            n_flips=self._n_flips,
            switch_p50_ms=self._switch_p50_p99[0],
            switch_p99_ms=self._switch_p50_p99[1],
            latency_ms=1e3 * (voice.vocoder.latency_seconds + self.speaker.latency_seconds),
            n_underruns=self.speaker.n_underruns,
            n_blocks=self._n_blocks,
            n_late=self._n_late,
            n_iterations=voice.vocoder.inversion.n_iterations,
            held_frames=voice.held_frames,
            n_lowered=self._n_lowered,
            n_not_finite=voice.network.n_not_finite,
            ends_soon=self.control.ends_soon,
            failure=None if voice.failure is None else str(voice.failure),
        )

    def report(self) -> Report:
        """Figures of the performance so far."""
        return Report(
            seconds=self.seconds,
            n_flips=self._n_flips,
            switch_to_sample_p50_ms=self._switch_p50_p99[0],
            switch_to_sample_p99_ms=self._switch_p50_p99[1],
            inversion_halfway_ms=1e3 * self.voice.vocoder.halfway_seconds,
            inversion_latency_ms=1e3 * self.voice.vocoder.latency_seconds,
            speaker_latency_ms=1e3 * self.speaker.latency_seconds,
            guard_ms=1e3 * self._guard.seconds if self.speaker.is_live else math.nan,
            block_p50_ms=self._block_ms.at(50),
            block_p99_ms=self._block_ms.at(99),
            block_max_ms=self._block_max_ms,
            block_deadline_ms=1e3 * self.voice.block_seconds,
            missed_deadlines=self._n_late,
            passes_lowered=self._n_lowered,
            underruns=self.speaker.n_underruns,
        )
