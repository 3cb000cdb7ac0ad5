"""An instrument that plays from a store in simulated real time, and records what it plays."""

import threading
import time
from functools import partial

import numpy as np

from device.audio.speaker import SilentSpeaker
from device.closeable import Closeable
from device.playback.instrument import Instrument
from device.playback.model_loader import ModelLoader
from device.playback.model_selection import open_active_model
from device.playback.model_switcher import ModelSwitcher
from device.switches.script import ScriptSwitches
from device.synthesis.performance import Performance
from tests.support import faulty_models
from tests.support.waiting import wait_until

RATE = 22050
BLOCK_SECONDS = Performance().block_frames * 64 / RATE
PATIENCE_SECONDS = 20.0
until = partial(wait_until, limit_seconds=PATIENCE_SECONDS)
MONITOR_SECONDS = 3.0
OFF, FAULTY_STATE = (False,) * 8, faulty_models.FAULTY_STATE


class ProcessorClock:
    """Processor time of this thread and its simulated sleep, independent of the machine's load."""

    def __init__(self):
        self._slept = 0.0

    def __call__(self):
        return time.thread_time() + self._slept

    def sleep(self, seconds):
        self._slept += seconds


class Recorder(SilentSpeaker):
    """Plays by a clock and keeps the samples; calls `callbacks` at their seconds of music."""

    def __init__(self, clock):
        super().__init__(RATE, clock=clock, sleep=clock.sleep)
        self.callbacks = {}
        self._blocks = []
        self._n_samples = 0

    @property
    def samples(self):
        return np.concatenate(self._blocks)

    def write(self, samples):
        super().write(samples)
        self._blocks.append(samples.copy())
        self._n_samples += len(samples)
        for seconds in [s for s in self.callbacks if s <= self._n_samples / RATE]:
            self.callbacks.pop(seconds)()


class PlayingDevice(Closeable):
    """An instrument that plays from a store, with its loader and its model switcher."""

    def __init__(self, store, switches):
        self.store = store
        self.messages = []
        self.snapshots = []
        clock = ProcessorClock()
        self.speaker = Recorder(clock)
        network = open_active_model(store, self.messages.append)
        self.instrument = Instrument(
            network,
            switches,
            self.speaker,
            Performance(),
            ahead=True,
            listeners=[self.snapshots.append],
            clock=clock,
        )
        self.loader = ModelLoader(
            store,
            self.instrument.voice_of,
            playing=network.digest,
            report=self.messages.append,
            poll_seconds=0.005,
        )
        self.model_switcher = ModelSwitcher(
            self.instrument.voice_switcher, self.loader, monitor_seconds=MONITOR_SECONDS
        )
        self.instrument.listeners.append(self.model_switcher)

    def at(self, seconds, *callbacks):
        self.speaker.callbacks[seconds] = lambda: [schedule() for schedule in callbacks]

    def activate(self, digest):
        """Activate a model and wait until the loader has made its voice."""
        self.store.activate(digest)
        until(lambda: not self.loader._ready.empty())

    def settle(self):
        """Wait until the loader has finished its jobs, not only started them."""
        if not self.loader._helper.is_alive:
            return
        done = threading.Event()
        self.loader._jobs.put(done.set)
        # A loader that was closed during a long job takes no further one.
        until(lambda: done.is_set() or not self.loader._helper.is_alive)

    def play(self, seconds):
        with self.instrument, self.model_switcher:
            return self.instrument.play(seconds)

    def models_heard(self):
        """The models in the order in which they were heard."""
        order = []
        for state in self.snapshots:
            if not order or order[-1] != state.digest:
                order.append(state.digest)
        return order

    def digest_at(self, seconds):
        return next(state.digest for state in self.snapshots if state.seconds >= seconds)


def flipping_to_fault_at(seconds):
    return ScriptSwitches([(0.0, OFF), (seconds, FAULTY_STATE)], 8)


def longest_gap_ms(samples):
    """Music is never below -40 dB for 5 ms; the hiss of the tape, which goes on, is 20 dB lower."""
    step, n = RATE // 1000, 5 * RATE // 1000
    windows = np.lib.stride_tricks.sliding_window_view(samples, n)[::step]
    rms = np.sqrt((windows**2).mean(axis=1))
    loud = np.flatnonzero(np.r_[1.0, rms, 1.0] > 10 ** (-46 / 20))
    longest = int(np.diff(loud).max()) - 1
    return longest + 5 if longest else 0
