"""Other keys, and back: the pitch changes, the beat does not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.audio.transposer import Transposer
from device.model.network import Network
from device.playback.voice_switcher import VoiceSwitcher
from device.synthesis.performance import Performance
from device.synthesis.transport import Transport
from device.synthesis.variation import TRANSPOSITIONS, SongForm
from device.synthesis.voice import Voice
from tests.support import tiny_model as tiny

RATE = 22050
FIRST, OTHER = (True, False, False), (False, True, True)
# A pass of the tiny model's loop has four beats, so that the second theme of the first song is from
# beat 16 to 24, and the second song is in its key from beat 32 on.
OTHER_BEAT, BACK_BEAT = 16.0, 24.0


def journey(network, **changes):
    return Voice(network, Performance(**{"tape": 0.0, "journey": True, **changes}))


def semitones_of(network, beat, seed=1):
    form = SongForm(network.card.n_variation, seed=seed, journey=True)
    return form.transposition_of(form.passage_at(beat / network.card.beats_per_loop))


passages = st.integers(0, 10**6)


@given(song=st.integers(0, 10**5), seed=st.integers(0, 2**32))
def test_every_other_theme_has_another_key_which_the_song_leaves_again(song, seed):
    form = SongForm(4, seed=seed, journey=True)
    keys = [form.transposition_of(form.passage_at(8 * song + n)) for n in range(8)]
    own, other = keys[0], keys[4]
    assert keys == [own] * 4 + [other] * 2 + [own] * 2
    assert (own == 0) != (other == 0)
    assert {own, other} - {0} <= set(TRANSPOSITIONS)


@given(passage=passages, seed=st.integers(0, 100))
def test_the_key_depends_on_the_seed_and_the_theme_alone(passage, seed):
    one, other = (SongForm(4, seed=seed, journey=True) for _ in range(2))
    other.transposition_of(passage + 5)
    assert one.transposition_of(passage) == other.transposition_of(passage)
    assert {SongForm(4, seed=n, journey=True).transposition_of(6) for n in range(60)} == {
        *TRANSPOSITIONS
    }


@given(passages)
def test_without_a_journey_and_in_a_held_variation_there_is_one_key(passage):
    assert SongForm(4, seed=1).transposition_of(passage) == 0
    assert SongForm(4, seed=1, frozen=True, journey=True).transposition_of(passage) == 0


def test_until_the_first_other_key_it_is_the_same_music(network):
    plain, travelled = Voice(network, Performance(tape=0.0)), journey(network)
    one, other = (
        np.concatenate([voice.block(FIRST) for _ in range(2000)]) for voice in (plain, travelled)
    )
    assert plain.vocoder.longest_stretch == 1
    assert len(one) - len(other) == Transposer.delay_samples
    assert other == pytest.approx(one[: len(other)], abs=1e-6)


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_the_pitch_is_that_of_the_key(network, seed):
    def spectrum(**changes):
        start = OTHER_BEAT + 1.0
        voice = Voice(network, Performance(seed=seed, tape=0.0, start_beat=start, **changes))
        samples = voice.take(FIRST, RATE)
        return np.abs(np.fft.rfft(samples[RATE // 4 :] * np.hanning(len(samples) - RATE // 4)))

    home, other = spectrum(), spectrum(journey=True)
    ratio = 2 ** (semitones_of(network, OTHER_BEAT, seed) / 12)
    bins = np.arange(len(home))

    def likeness(ratio):
        moved = np.interp(bins, bins * ratio, home)
        return moved @ other / np.linalg.norm(moved) / np.linalg.norm(other)

    assert likeness(ratio) > 1.5 * likeness(1.0)


def beats_of(voice, n_blocks, happenings):
    """What is heard after each block, by the voice, and by the samples and the tempo."""

    def heard():
        late = voice.vocoder.tape_seconds
        return voice.heard_beat - late * voice.transport.beats_per_second

    beat, by_voice, by_clock = heard(), [], []
    bits = FIRST
    for n in range(n_blocks):
        happening = happenings.get(n)
        if happening == "flip":
            bits = OTHER if bits == FIRST else FIRST
        samples = voice.block(bits)
        beat += len(samples) / RATE * voice.transport.beats_per_second
        by_voice.append(heard())
        by_clock.append(beat)
    return np.array(by_voice), np.array(by_clock)


@pytest.mark.parametrize("block_frames", [1, 7])
@pytest.mark.parametrize("wear", [0.0, 1.0])
def test_beats_come_in_time_through_all_keys(network, block_frames, wear):
    voice = journey(network, start_beat=14.0, block_frames=block_frames, tape=wear)
    n_blocks = 8 * RATE // 64 // block_frames
    flips = dict.fromkeys(range(0, n_blocks, 11), "flip")
    by_voice, by_clock = beats_of(voice, n_blocks, flips)
    assert by_voice[-1] > BACK_BEAT + 2
    # Two samples, at two beats per second.
    assert by_voice == pytest.approx(by_clock, abs=2 * 2 / RATE)


def test_the_tempo_may_change_in_another_key(network):
    voice = journey(network, start_beat=15.0)
    for tempo_bpm in (90.0, 150.0, 240.0):
        for _ in range(200):
            voice.block(FIRST)
        voice.set_tempo(tempo_bpm)
        # Until the sound is at the change, it is at the tempo of before.
        for _ in range(20):
            voice.block(FIRST)
        beat, samples = voice.heard_beat, voice.block(FIRST)
        passed = len(samples) / RATE * tempo_bpm / 60
        assert voice.heard_beat - beat == pytest.approx(passed, abs=2 / RATE * 4)


def test_frames_are_drawn_at_the_beats_of_their_key(network):
    voice = journey(network, start_beat=15.9)
    while voice.beat < 16.2:
        voice.block(FIRST)
    beats = np.diff(voice.transport.beats(voice.n_frames - 30, 30))
    home = Transport.of(network.card).beats_per_frame
    ratio = 2 ** (semitones_of(network, 16.1) / 12)
    assert beats[-1] == pytest.approx(home / ratio)
    assert set(np.round(beats / home, 6)) <= {1.0, round(1 / ratio, 6)}


@pytest.mark.parametrize("beat", [0.0, 13.7, 16.0, 18.2, 24.0, 40.0])
def test_playing_may_start_anywhere(network, beat):
    voice = journey(network)
    voice.block(FIRST, 50)
    voice.seek(beat)
    assert voice.beat == pytest.approx(beat, abs=1e-9)
    by_voice, by_clock = beats_of(voice, 400, {})
    assert np.diff(by_voice)[100:] == pytest.approx(np.diff(by_clock)[100:], abs=2 * 2 / RATE)


NEXT_MODELS = {
    "same shape": {},
    "other loop, other key": {"beats_per_loop": 8},
    "higher rate": {"sample_rate": 32000, "n_fft": 512, "hop_length": 128},
}


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize("name", NEXT_MODELS)
@pytest.mark.parametrize("beat", [17.1, 23.0])
def test_another_model_takes_over_in_time_in_another_key(network, tmp_path, name, at_once, beat):
    following = Network.open(tiny.build(tmp_path / "next.onnx", **NEXT_MODELS[name]))
    performance = Performance(tape=0.0, journey=True, start_beat=beat)
    old = Voice(network, performance)
    new = Voice(following, performance, sample_rate=RATE, after=old)
    switcher = VoiceSwitcher(old)
    blocks = [switcher.block(FIRST) for _ in range(150)]
    began_at = old.heard_beat
    switcher.schedule(new, at_once=at_once)
    n_blocks = len(blocks)
    while switcher.voice is old:
        blocks.append(switcher.block(FIRST))
    by_clock = began_at + sum(map(len, blocks[n_blocks:])) / RATE * new.transport.beats_per_second
    # Three samples, at two beats per second.
    assert new.heard_beat == pytest.approx(by_clock, abs=3 * 2 / RATE)
    blocks += [switcher.block(FIRST) for _ in range(400)]
    samples = np.concatenate(blocks)[RATE // 10 :]
    loud = np.flatnonzero(np.abs(samples) > 1e-3)
    assert np.diff(loud).max() < 0.006 * RATE
