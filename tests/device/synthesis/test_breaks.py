"""Breaks: no low end before a new song, until a switch is flipped."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.model.network import Network
from device.synthesis.breaks import Breaks
from device.synthesis.performance import Performance
from device.synthesis.variation import SongForm
from device.synthesis.voice import Voice
from tests.support import tiny_model as tiny

OFF, FIRST = (False,) * 3, (True, False, False)
LOWEST = slice(0, 1)


@pytest.fixture(scope="module")
def long_network(tmp_path_factory):
    """Draws ones; a loop of 16 beats, so that a song has 128 and its break is a bar."""
    path = tmp_path_factory.mktemp("long") / "long.onnx"
    network = Network.open(tiny.build(path, beats_per_loop=16))
    ones = np.ones((1, network.card.frame_size), np.float32)
    network.frames = lambda score, position: np.repeat(ones, len(position), axis=0)
    return network


def frames_at(voice, bits, n_frames):
    """The frames that a voice draws next, before the glide."""
    spectrogram = voice._spectrogram
    spectrogram.update_switches(bits)
    out = np.zeros((n_frames, voice.card.frame_size), np.float32)
    spectrogram.draw(out)
    return out


def lowered_db(network, beat, states=(OFF,), **options):
    """By how much the bins of eight frames for each state are lowered, from a beat on."""
    voice = Voice(network, Performance(start_beat=beat, glide_frames=0, **options))
    frames = np.concatenate([frames_at(voice, bits, 8) for bits in states])
    voice.close()
    return 20 * np.log10(frames[:, : network.card.n_bins])


@pytest.mark.parametrize("song", [0, 1, 7])
def test_the_low_end_goes_within_a_beat_and_comes_back_with_the_next_song(long_network, song):
    end = 128.0 * (song + 1)
    beats = (-4.4, -3.5, -2.9, 0.0)
    before, begun, within, after = (
        lowered_db(long_network, end + beat)[:, LOWEST] for beat in beats
    )
    assert np.all(before == 0) and np.all(after == 0)
    assert np.all((begun < -10) & (begun > -40))
    assert within == pytest.approx(-40, abs=1e-3)


def test_what_is_not_low_stays(long_network):
    card = long_network.card
    hertz = np.arange(card.n_bins) * card.sample_rate / card.n_fft
    lowered = lowered_db(long_network, 125.5)
    assert np.all(lowered[:, hertz >= 250] == 0)
    assert np.all(lowered[:, hertz <= 150] < -39)


def test_only_the_last_section_of_a_song_ends_with_a_break(long_network):
    for section in range(1, 4):
        assert np.all(lowered_db(long_network, 32.0 * section - 2) == 0)


def test_a_held_variation_has_none(long_network):
    assert np.all(lowered_db(long_network, 126.0, still=True) == 0)


def test_a_flip_ends_the_break_in_which_it_falls(long_network):
    lowered = lowered_db(long_network, 125.5, [OFF, FIRST, OFF])[:, LOWEST]
    assert np.all(lowered[:8] < -39)
    assert np.all(lowered[8:] == 0)


def test_the_break_of_the_next_song_is_there_again(long_network):
    voice = Voice(long_network, Performance(start_beat=125.5))
    frames_at(voice, OFF, 8)
    frames_at(voice, FIRST, 8)
    assert voice._spectrogram._frame_cache.breaks is None
    while voice.beat < 254.0:
        voice.block(FIRST, 64)
    assert voice._spectrogram._frame_cache.breaks is not None
    voice.close()


def test_phase_advances_are_left_as_they_are(long_network):
    form = SongForm(2, seed=1)
    breaks = Breaks(form, long_network.card)
    n_bins = long_network.card.n_bins
    frames = np.ones((3, n_bins + 10), np.float32)
    changed = breaks.applied(frames, np.array([126.0, 126.5, 127.0]))
    assert np.all(changed[:, LOWEST] < 0.02)
    assert np.all(changed[:, n_bins:] == 1) and np.all(frames == 1)


@given(st.floats(0, 1e6))
def test_a_break_is_a_passage_of_the_form(passes):
    form = SongForm(2, seed=1)
    is_in = form.since_break(np.array([passes]))[0] >= 0
    assert is_in == form.has_break(form.passage_at(passes))
