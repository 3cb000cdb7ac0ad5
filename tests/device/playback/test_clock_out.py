"""The clock that is sent, against the sound that a card with its own clock has played."""

import numpy as np
import pytest

from device.playback.beat_clock import BeatClock
from device.playback.clock_out import ClockOut
from device.switches.commands import SetTempo
from tests.support.clocked_music import PULSES_PER_BEAT, ClockedMusic, DriftingAudio, onset_seconds
from tests.support.instrument_state import snapshot
from tests.support.simulated_audio import BLOCK, BUILTIN, RATE, SimulatedClock, play_on

MOST_ERROR_SECONDS = 0.002


def played_with_pulses(music, seconds):
    """Play, and the times of the pulses, (n,), each asked for again until it is due."""
    times = []
    music.time.next_at = lambda: music.beats.time_of(len(times) / PULSES_PER_BEAT)
    music.time.do = lambda: times.append(music.time.now)
    music.play(seconds)
    return np.array(times)


@pytest.mark.parametrize("speed", [0.9998, 1.0, 1.0002])
def test_pulses_are_sent_when_their_beat_leaves_the_speaker(network, speed):
    music = ClockedMusic(network, speed=speed)
    times = played_with_pulses(music, 40.0)
    assert len(times) == pytest.approx(40 * 2 * PULSES_PER_BEAT, abs=4)
    samples = music.sample_at(times)
    errors = (music.beat_of(samples) - np.arange(len(times)) / PULSES_PER_BEAT) / 2
    inside = (samples > RATE) & (samples < len(music.sound) - RATE)
    assert np.percentile(np.abs(errors[inside]), 99) <= MOST_ERROR_SECONDS
    beats = np.interp(np.arange(len(music.sound)), samples, np.arange(len(times)) / PULSES_PER_BEAT)
    inner = slice(RATE, -RATE)
    assert abs(onset_seconds(music.sound[inner], beats[inner], 2.0)) <= MOST_ERROR_SECONDS


def test_pulses_follow_a_tempo_that_changes(network):
    music = ClockedMusic(network)
    music.instrument.listeners.append(
        lambda state: music.instrument.control.queue.put(
            SetTempo(120 * 1.02 ** (state.seconds % 3))
        )
    )
    times = played_with_pulses(music, 30.0)
    samples = music.sample_at(times)
    errors = (music.beat_of(samples) - np.arange(len(times)) / PULSES_PER_BEAT) / 2
    inside = (samples > RATE) & (samples < len(music.sound) - RATE)
    assert np.percentile(np.abs(errors[inside]), 99) <= MOST_ERROR_SECONDS


def test_the_clock_does_not_drift_in_an_hour():
    time = SimulatedClock()
    audio = DriftingAudio(1.0001)
    speaker = play_on(audio, time=time)
    beats, n, errors = BeatClock(speaker, clock=time.clock), 0, []
    while n < 3600 * RATE:
        speaker.wait(0.010)
        speaker.write(BLOCK)
        n += len(BLOCK)
        if n // len(BLOCK) % 3 == 0:
            beats(snapshot(seconds=n / RATE, heard_position=2 * n / RATE, tempo_bpm=120.0))
            buffer = audio.streams[-1].buffer
            errors.append(beats.time_of(2 * n / RATE) - time.now - buffer.queued_seconds)
    assert audio.plugged == [BUILTIN]
    a_minute = len(errors) // 60
    assert np.percentile(np.abs(errors[a_minute:]), 99) <= MOST_ERROR_SECONDS
    assert np.mean(errors[-a_minute:]) == pytest.approx(
        np.mean(errors[a_minute : 2 * a_minute]), abs=1e-4
    )


class Beats:
    """A beat clock that runs at two beats a second."""

    is_running = True

    def __init__(self, first=0.0):
        self.first = first

    def beat_at(self, at):
        return self.first + 2 * at

    def time_of(self, beat):
        return (beat - self.first) / 2


@pytest.fixture
def run():
    """Runs a clock for some seconds; returns (time, bytes or level of the pin)."""

    def run(beats, seconds, oversleep=lambda now: 0.0):
        time, sent = SimulatedClock(), []

        def sleep(seconds):
            time.sleep(seconds)
            time.now += oversleep(time.now)

        clock = ClockOut(
            beats,
            send=lambda data: sent.append((time.now, data)),
            set_pin=lambda level: sent.append((time.now, level)),
            clock=time.clock,
            sleep=sleep,
            is_threaded=False,
        )
        while time.now < seconds:
            clock.step()
        clock.close()
        return sent

    return run


def test_the_first_pulse_comes_with_start_and_the_end_with_stop(run):
    sent = run(Beats(first=-0.1), 1.0)
    messages = [item for item in sent if isinstance(item[1], bytes)]
    assert messages[0][1] == b"\xfa"
    assert messages[-1][1] == b"\xfc"
    times = [at for at, data in messages if data == b"\xf8"]
    assert times == pytest.approx(0.05 + np.arange(len(times)) / 48)
    assert len(times) in (46, 47)


def test_in_the_middle_of_the_music_it_says_where_and_continues(run):
    sent = [data for _, data in run(Beats(first=1000.3), 0.2) if isinstance(data, bytes)]
    assert sent[0] == bytes((0xF2, 4002 % 128, 4002 // 128, 0xFB))


def test_the_pin_has_two_pulses_a_beat(run):
    levels = [(at, level) for at, level in run(Beats(), 2.0) if isinstance(level, bool)]
    assert [at for at, level in levels if level][:8] == pytest.approx(np.arange(8) / 4)
    assert [at for at, level in levels if not level] == pytest.approx(
        1 / 48 + np.arange(len(levels) // 2) / 4
    )


@pytest.mark.parametrize(("pause", "n_missing"), [(0.1, 0), (0.4, 19), (3.0, 144)])
def test_after_a_pause_the_pulses_are_made_up_for_or_left_out(run, pause, n_missing):
    paused = []

    def oversleep(now):
        if now > 1.0 and not paused:
            paused.append(now)
            return pause
        return 0.0

    times = [at for at, data in run(Beats(), 6.0, oversleep) if data == b"\xf8"]
    assert len(times) == pytest.approx(6 * 48 - n_missing, abs=6)
    assert times[-10:] == pytest.approx(np.round(np.array(times[-10:]) * 48) / 48)


def test_the_thread_sends_the_pulses_of_a_real_clock():
    import time

    sent, started = [], time.monotonic()

    class RealBeats(Beats):
        def beat_at(self, at):
            return super().beat_at(at - started)

        def time_of(self, beat):
            return super().time_of(beat) + started

    with ClockOut(RealBeats(), send=sent.append):
        time.sleep(0.5)
    assert sent[0] in (b"\xfa", b"\xf2\x01\x00\xfb")
    assert sent.count(b"\xf8") > 10
