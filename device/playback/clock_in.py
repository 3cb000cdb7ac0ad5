"""Clock in: the tempo and the phase of a MIDI clock, followed within bounds."""

from collections import deque

from device.playback.beat_clock import BeatClock
from device.switches.commands import CommandQueue, SetTempo
from device.switches.midi import parser
from device.switches.midi.parser import PULSES_PER_BEAT, PULSES_PER_SIXTEENTH, Message

LEAST_BPM, MOST_BPM = 40.0, 200.0
# Of the tempo, to catch up with the phase.
MOST_SLEW = 0.02
# Share of the tempo by which a phase that is a beat off is corrected, before that bound.
_SLEW_PER_BEAT = 0.2
_N_PULSES = 2 * PULSES_PER_BEAT
# A clock that pauses for longer begins anew.
_MOST_PAUSE_SECONDS = 0.25
# Between two changes of the tempo: each has the frames ahead drawn again.
_EVERY_PULSES = 12
# Share of the tempo; a smaller change is none.
_LEAST_CHANGE = 1e-4
# A second port may take over after so long.
_SILENT_SECONDS = 1.0


class ClockIn:
    """Takes the real-time messages of a port, and queues tempos; for one thread, the port's.

    The tempo is that of the last two beats, from 40 to 200 bpm. After Start or Continue the beats
    that are heard move towards those of the clock, at 2 % of the tempo at most. After Stop, or when
    the clock ends, the last tempo stays: the music has no end.

    Parameters
    ----------
    beats : BeatClock
        Which beat is heard when.
    """

    def __init__(self, beats: BeatClock, queue: CommandQueue) -> None:
        self._beats = beats
        self._queue = queue
        self._times: deque[float] = deque(maxlen=_N_PULSES)
        self._port = ""
        self._heard_at = float("-inf")
        self._is_started = False
        self._position = 0  # of the next pulse, in pulses since the song's start
        self._until_change = _EVERY_PULSES
        self._tempo_bpm: float | None = None

    def __call__(self, message: Message, at: float, port: str) -> None:
        """Take a message that came at `at`, in s of `time.monotonic`."""
        if port != self._port and at - self._heard_at < _SILENT_SECONDS:
            return
        self._port, self._heard_at = port, at
        match message.status:
            case parser.CLOCK:
                self._take_pulse(at)
            case parser.START:
                self._is_started, self._position = True, 0
            case parser.CONTINUE | parser.STOP:
                self._is_started = message.status == parser.CONTINUE
            case parser.SONG_POSITION:
                sixteenths = message.data[0] + 128 * message.data[1]
                self._position = PULSES_PER_SIXTEENTH * sixteenths

    def _take_pulse(self, at: float) -> None:
        if self._times and not 0 <= at - self._times[-1] <= _MOST_PAUSE_SECONDS:
            self._times.clear()
        self._times.append(at)
        self._until_change -= 1
        if self._until_change <= 0 and len(self._times) >= PULSES_PER_BEAT:
            self._until_change = _EVERY_PULSES
            self._follow()
        self._position += self._is_started

    def _follow(self) -> None:
        seconds, latest = _fitted(self._times)
        if seconds <= 0:
            return  # pulses that came all at once say nothing
        bpm = 60 / (PULSES_PER_BEAT * seconds)
        if self._is_started and LEAST_BPM <= bpm <= MOST_BPM and self._beats.is_running:
            early = self._position / PULSES_PER_BEAT - self._beats.beat_at(latest)
            early -= round(early)  # the nearest beat
            bpm *= 1 + min(max(_SLEW_PER_BEAT * early, -MOST_SLEW), MOST_SLEW)
        bpm = min(max(bpm, LEAST_BPM), MOST_BPM)
        if self._tempo_bpm is None or abs(bpm / self._tempo_bpm - 1) > _LEAST_CHANGE:
            self._tempo_bpm = bpm
            self._queue.put(SetTempo(bpm))


def _fitted(times: deque[float]) -> tuple[float, float]:
    """Seconds from pulse to pulse, and the time of the last one, by least squares."""
    n = len(times)
    middle, mean = (n - 1) / 2, sum(times) / n
    slope = sum((i - middle) * (time - mean) for i, time in enumerate(times))
    slope /= n * (n * n - 1) / 12
    return slope, mean + slope * middle
