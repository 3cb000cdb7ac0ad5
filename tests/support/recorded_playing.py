"""An instrument that is recorded while things happen to it, and its rendering from the log."""

import numpy as np

from device.commands.build_recording import header_of
from device.playback.evening.state import EveningSettings
from device.playback.instrument import Instrument
from device.playback.recording.performance_log import PerformanceLog, open_log_file
from device.playback.recording.recorder import Recorder
from device.playback.recording.replay import Replay, read_log
from device.playback.recording.ring import SampleRing
from device.switches.base import SwitchesBase
from device.switches.commands import SetTempo, SetVolume
from device.synthesis.transport import BEATS_PER_BAR, next_boundary
from tests.support.speakers import RecordingSpeaker

RATE = 22050


class ScheduledSwitches(SwitchesBase):
    """Reads whatever was set last; ends after a number of reads."""

    def __init__(self, n_switches, changes, n_reads):
        self.n_switches = n_switches
        self.bits = (False,) * n_switches
        self._changes = changes
        self._left = n_reads
        self._n_read = 0

    @property
    def finished(self):
        return self._n_read >= self._left

    def read(self, seconds):
        self.bits = self._changes.get(self._n_read, self.bits)
        self._n_read += 1
        return self.bits


class Happenings:
    """A listener that makes voices, schedules them and sets the quality, as loader and governor do.

    Parameters
    ----------
    by_call : dict
        Number of the call → list of (what, argument).
    """

    def __init__(self, networks, by_call):
        self.instrument = self.recorder = None
        self.n_takeovers = 0
        self._networks = networks
        self._by_call = by_call
        self._n_calls = 0
        self._made = []
        self._before = []
        self._all = []

    def __call__(self, state):
        for what, argument in self._by_call.get(self._n_calls, []):
            getattr(self, what)(argument, state)
        self._n_calls += 1

    def make(self, name, state):
        """Make a voice ready, as the loader does; it may be scheduled much later."""
        voice = self.instrument.voice_of(self._networks[name])
        voice.prefetch(state.switch_states, next_boundary(state.position, BEATS_PER_BAR))
        self._made.append(voice)
        self._all.append(voice)

    def take_over(self, at_once, state):
        if self._made and self.instrument.voice_switcher.is_free:
            self._schedule(self._made.pop(), at_once)

    def take_back(self, at_once, state):
        others = [voice for voice in self._before if voice is not self.instrument.voice]
        if others and self.instrument.voice_switcher.is_free:
            self._schedule(others[-1], at_once)

    def quality(self, quality, state):
        self.instrument.voice_switcher.set_quality(*quality)

    def tempo(self, bpm, state):
        self.instrument.control.queue.put(SetTempo(bpm))

    def volume(self, gain_db, state):
        self.instrument.control.queue.put(SetVolume(gain_db))

    def command(self, command, state):
        self.instrument.control.queue.put(command)

    def keep(self, _, state):
        """A rest is logged in parts where something is kept meanwhile."""
        self.recorder.keep()
        assert self.recorder.take_request()

    def _schedule(self, voice, at_once):
        self.n_takeovers += 1
        self._before = [self.instrument.voice]
        self._all.append(self.instrument.voice)
        self.instrument.voice_switcher.schedule(voice, at_once=at_once)

    def close(self):
        for voice in self._all:
            voice.close()


def play_recorded(
    network,
    performance,
    path,
    happenings,
    *,
    changes,
    n_reads,
    ahead,
    seconds=None,
    evening=EveningSettings(),  # noqa: B008
):
    """Play as fast as possible; the samples that the speaker was given, and the ring."""
    speaker, ring = RecordingSpeaker(), SampleRing(RATE, 600)
    switches = ScheduledSwitches(network.card.n_switches, changes, n_reads)
    header = header_of(network, performance)
    with (
        PerformanceLog(header, lambda: open_log_file(path), print) as log,
        Instrument(
            network, switches, speaker, performance, ahead=ahead,
            listeners=[happenings], recorder=(recorder := Recorder(log, ring)),
        ) as instrument,
    ):  # fmt: skip
        happenings.recorder = recorder
        instrument.evening.configure(evening)
        happenings.instrument = instrument
        instrument.play(seconds)
        happenings.close()
    return speaker.samples, ring


def rendered(path, networks, **options):
    """The samples of a log."""
    by_digest = {network.digest: network for network in networks.values()}
    replay = Replay(read_log(path), lambda digest, _: by_digest[digest], **options)
    blocks = list(replay.blocks())
    return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
