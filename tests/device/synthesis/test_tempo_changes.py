"""The tempo and the volume of a voice that plays."""

import numpy as np
import pytest

from device.synthesis.performance import Performance
from device.synthesis.voice import Voice

OFF, ALL = (False,) * 3, (True,) * 3
HOP, RATE = 64, 22050


@pytest.fixture
def make_voice(network):
    opened = []

    def make(*, ahead=False, **performance):
        opened.append(Voice(network, Performance(**{"tape": 0.0, **performance}), ahead=ahead))
        return opened[-1]

    yield make
    for voice in opened:
        voice.close()


def played(voice, n_blocks, bits=ALL):
    return np.concatenate([voice.block(bits) for _ in range(n_blocks)])


def test_the_tempo_that_it_has_already_changes_no_sample(make_voice):
    one, other = make_voice(), make_voice()
    before = played(one, 300), played(other, 300)
    one.set_tempo(None)
    one.set_tempo(120.0)
    assert np.array_equal(*before)
    assert np.array_equal(played(one, 300), played(other, 300))


def test_after_a_change_the_beats_go_on_at_the_new_tempo(make_voice):
    voice = make_voice()
    played(voice, 100)
    beat = voice.beat
    voice.set_tempo(60.0)
    assert voice.beat == beat
    played(voice, 200)
    assert voice.beat - beat == pytest.approx(200 * HOP / RATE * 60 / 60)
    voice.set_tempo(None)
    assert voice.transport.tempo_bpm == 120.0


def test_the_beat_that_is_heard_has_no_jump_where_the_tempo_changes(make_voice):
    voice = make_voice()
    played(voice, 100)
    beats = [voice.heard_beat]
    for tempo_bpm in (200.0, 40.0, 120.0):
        voice.set_tempo(tempo_bpm)
        for _ in range(20):
            played(voice, 1)
            beats.append(voice.heard_beat)
    least, most = (bpm / 60 * HOP / RATE for bpm in (40.0, 200.0))
    assert np.diff(beats).min() >= least - 1e-9
    assert np.diff(beats).max() <= most + 1e-9


def test_it_sounds_the_same_drawn_ahead_or_on_demand(make_voice):
    sounds = []
    for ahead in (False, True):
        voice = make_voice(ahead=ahead)
        parts = []
        for n, tempo_bpm in enumerate((87.0, 133.0, 76.0, 76.5)):
            voice.set_tempo(tempo_bpm)
            parts.append(played(voice, 150, ALL if n % 2 else OFF))
        sounds.append(np.concatenate(parts))
    assert np.array_equal(*sounds)


def test_a_change_is_heard_within_the_frames_that_are_open(make_voice):
    steady, changed = make_voice(), make_voice()
    played(steady, 203), played(changed, 203)
    changed.set_tempo(300.0)
    n_frames = 40
    one, other = played(steady, n_frames), played(changed, n_frames)
    first = int(np.flatnonzero(one != other)[0])
    assert first < (changed.vocoder.inversion.look_ahead + 2) * HOP


def test_the_variation_goes_on_where_it_was_when_the_tempo_changes(make_voice):
    """The loop index is counted in beats, so a pass of the loop has one score at any tempo."""
    voice = make_voice()
    while voice.beat < 2:
        played(voice, 1)
    n_misses = voice.n_misses
    for tempo_bpm in (60.0, 180.0, 90.0):
        voice.set_tempo(tempo_bpm)
        played(voice, 20)
    assert voice.beat < 4
    assert voice.n_misses == n_misses


def test_a_volume_that_changes_has_no_step(make_voice):
    voice, quiet = make_voice(gain_db=-20.0), make_voice(gain_db=-20.0)
    played(voice, 200), played(quiet, 200)
    voice.vocoder.tape.set_gain(1.0)
    ratio = played(voice, 30) / played(quiet, 30)
    n_ramp = round(0.02 * RATE)
    assert np.nanmax(np.abs(np.diff(ratio[np.isfinite(ratio)]))) < 0.05
    assert ratio[n_ramp + 1 :] == pytest.approx(10.0, rel=1e-3)
