"""The voice switcher: one voice takes the place of another without a gap or a click."""

import numpy as np
import pytest

from device.model.network import Network
from device.playback.voice_switcher import VoiceSwitcher
from device.synthesis.performance import Performance
from device.synthesis.voice import Voice
from tests.support import tiny_model as tiny

RATE = 22050
SWITCHES = (True, False, True, True, False)
SCHEDULED_SECONDS, SECONDS = 1.0, 6.0
SILENCE = 1e-3

# What takes over from the tiny model (22,050 Hz, window 256, hop 64, 3 switches, 120 bpm).
NEXT_MODELS = {
    "same shape": {},
    "other switches and tempo": {"n_switches": 5, "metadata": {"tempo_bpm": "100.0"}},
    "fewer switches": {"n_switches": 2},
    "other loop": {"beats_per_loop": 8},
    "other window": {"n_fft": 512},
    "window of another shape": {"metadata": {"window": "asymmetric"}},
    "other hop and window": {"n_fft": 512, "hop_length": 128},
    "higher rate": {"sample_rate": 32000, "n_fft": 512, "hop_length": 128, "n_switches": 4},
    "lower rate": {"sample_rate": 16000},
    "guided bins": {"n_guided": 40},
}
SAME_SHAPE = ["same shape", "other switches and tempo", "fewer switches", "other loop"]


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("next")
    return {
        name: Network.open(tiny.build(folder / f"{i}.onnx", **changes))
        for i, (name, changes) in enumerate(NEXT_MODELS.items())
    }


@pytest.fixture
def make_switcher(network, networks):
    """Makes a switcher with a voice of the tiny model, and the next voice."""

    def make_switcher(name, **performance):
        performance = Performance(**{"tape": 0.0, "seed": 2, **performance})
        old = Voice(network, performance)
        new = Voice(networks[name], performance, sample_rate=RATE, after=old)
        return VoiceSwitcher(old), new

    return make_switcher


def play(switcher, n_samples, switch_states=SWITCHES):
    """At least `n_samples`, and how many had been played when the next voice was alone."""
    blocks, first, changed_at, n_played = [], switcher.voice, None, 0
    while n_played < n_samples:
        blocks.append(switcher.block(switch_states))
        n_played += len(blocks[-1])
        if changed_at is None and switcher.voice is not first:
            changed_at = n_played
    return np.concatenate(blocks), changed_at


def longest_silence_ms(samples):
    loud = np.flatnonzero(np.abs(samples) > SILENCE)
    return 1e3 * np.diff(loud).max() / RATE


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize("name", NEXT_MODELS)
def test_there_is_neither_a_gap_nor_a_click_where_another_model_takes_over(
    make_switcher, name, at_once
):
    switcher, new = make_switcher(name)
    before, _ = play(switcher, SCHEDULED_SECONDS * RATE)
    switcher.schedule(new, at_once=at_once)
    after, changed_at = play(switcher, (SECONDS - SCHEDULED_SECONDS) * RATE)
    samples, changed_at = np.concatenate([before, after]), len(before) + changed_at
    assert switcher.voice is new
    assert longest_silence_ms(samples[RATE // 5 :]) < 5
    curvature = np.abs(np.diff(samples, 2))
    seam = slice(changed_at - round(0.2 * RATE), changed_at + round(0.1 * RATE))
    elsewhere = np.r_[curvature[RATE // 5 : seam.start], curvature[seam.stop :]]
    assert curvature[seam].max() <= 1.5 * np.percentile(elsewhere, 99.9)


@pytest.mark.parametrize("name", NEXT_MODELS)
def test_the_next_voice_is_heard_alone_from_the_next_bar_on(make_switcher, name):
    switcher, new = make_switcher(name)
    play(switcher, SCHEDULED_SECONDS * RATE)
    switcher.schedule(new)
    while switcher.voice is not new:
        earlier = switcher.voice.heard_beat
        switcher.block(SWITCHES)
    # What was heard last was before the bar line, what comes next is after it.
    assert earlier < 4.0 <= new.beat
    assert new.heard_beat == pytest.approx(4.0, abs=0.3)


@pytest.mark.parametrize("name", NEXT_MODELS)
def test_the_bar_lines_of_both_models_fall_together(make_switcher, name):
    switcher, new = make_switcher(name)
    old, beats_per_second = switcher.voice, switcher.voice.transport.beats_per_second
    play(switcher, SCHEDULED_SECONDS * RATE)
    switcher.schedule(new)
    n_played, began_at = 0, old.heard_beat
    while switcher.voice is not new:
        n_played += len(switcher.block(SWITCHES))
    # So long ago the bar line was heard, counted by the clock and by the new model's own beats.
    by_clock = n_played / RATE - (4.0 - began_at) / beats_per_second
    by_beats = (new.heard_beat - 4.0) / new.transport.beats_per_second
    hop_seconds = new.transport.hop_seconds
    tolerance = hop_seconds if name in SAME_SHAPE else 1.5 / RATE
    assert by_beats == pytest.approx(by_clock, abs=tolerance)


def test_a_voice_that_had_played_comes_back_in_time_at_another_tempo(make_switcher):
    switcher, new = make_switcher("other window")
    for _ in range(200):
        new.block(SWITCHES)
    new.set_tempo(75.0)
    play(switcher, SCHEDULED_SECONDS * RATE)
    switcher.schedule(new)
    while switcher.voice is not new:
        earlier = switcher.voice.heard_beat
        switcher.block(SWITCHES)
    assert earlier < 4.0
    assert new.heard_beat == pytest.approx(4.0, abs=0.01)


@pytest.mark.parametrize("name", NEXT_MODELS)
def test_only_models_of_one_shape_share_the_state_of_an_inversion(make_switcher, name):
    switcher, new = make_switcher(name)
    assert (new.vocoder is switcher.voice.vocoder) == (name in SAME_SHAPE)


def test_a_voice_of_the_same_shape_continues_exact_to_the_frame(make_switcher, network):
    switcher, new = make_switcher("same shape")
    twin, _ = play(VoiceSwitcher(Voice(network, Performance(tape=0.0, seed=2))), 3 * RATE)
    before, _ = play(switcher, RATE)
    switcher.schedule(new)
    after, _ = play(switcher, 2.5 * RATE)
    assert switcher.voice is new
    # The same model again, at the end of a pass of its loop: no difference.
    assert np.array_equal(np.concatenate([before, after])[: len(twin)], twin)


def test_an_immediate_takeover_between_equal_shapes_begins_with_the_next_frame(make_switcher):
    switcher, new = make_switcher("same shape")
    play(switcher, RATE)
    beat = switcher.voice.beat
    switcher.schedule(new, at_once=True)
    switcher.block(SWITCHES)
    assert switcher.voice is new
    assert new.beat == pytest.approx(beat + new.block_frames * new.transport.beats_per_frame)


def test_an_immediate_takeover_lasts_no_longer_than_the_lead_of_the_next_voice(make_switcher):
    switcher, new = make_switcher("higher rate")
    play(switcher, RATE)
    switcher.schedule(new, at_once=True)
    _, changed_at = play(switcher, RATE)
    assert changed_at / RATE < 0.2


def test_the_next_voice_plays_at_its_own_tempo_unless_the_player_fixed_one(make_switcher):
    for tempo_bpm, expected in ((None, 100.0), (90.0, 90.0)):
        switcher, new = make_switcher("other switches and tempo", tempo_bpm=tempo_bpm)
        switcher.schedule(new, at_once=True)
        switcher.block(SWITCHES)
        assert switcher.voice.transport.tempo_bpm == expected


def test_the_switch_states_are_fitted_to_each_model(make_switcher):
    switcher, new = make_switcher("other switches and tempo")
    switcher.block(SWITCHES)
    assert switcher.voice.sounding == SWITCHES[:3]
    switcher.schedule(new, at_once=True)
    switcher.block(SWITCHES[:4])
    assert switcher.voice.sounding == (*SWITCHES[:4], False)


def test_of_two_next_voices_before_the_bar_the_last_one_plays(make_switcher, networks):
    switcher, first = make_switcher("higher rate")
    switcher.schedule(first)
    switcher.block(SWITCHES)
    second = Voice(networks["other loop"], Performance(tape=0.0), after=switcher.voice)
    assert switcher.is_free
    switcher.schedule(second)
    play(switcher, 3 * RATE)
    assert switcher.voice is second


def test_while_two_voices_fade_the_switcher_is_not_free(make_switcher):
    switcher, new = make_switcher("other window")
    # Well into the music: before its first beat is heard there is nothing to fade from.
    for _ in range(RATE // switcher.voice.block_samples):
        switcher.block(SWITCHES)
    switcher.schedule(new, at_once=True)
    was_free = []
    while switcher.voice is not new:
        switcher.block(SWITCHES)
        was_free.append(switcher.is_free)
    assert not any(was_free[:-1])
    assert was_free[-1]


@pytest.mark.parametrize("name", ["same shape", "higher rate"])
def test_the_voice_before_may_come_back(make_switcher, name):
    switcher, new = make_switcher(name)
    old = switcher.voice
    for voice in (new, old, new, old):
        switcher.schedule(voice)
        samples, changed_at = play(switcher, 2.5 * RATE)
        assert switcher.voice is voice
        assert longest_silence_ms(samples) < 5
        curvature = np.abs(np.diff(samples, 2))
        assert curvature[: changed_at + 500].max() <= 1.5 * np.percentile(curvature, 99.9)


def test_the_sound_keeps_the_rate_of_the_first_model(make_switcher):
    switcher, new = make_switcher("higher rate")
    switcher.schedule(new, at_once=True)
    play(switcher, RATE)
    n_blocks = 100
    n_samples = sum(len(switcher.block(SWITCHES)) for _ in range(n_blocks))
    assert n_samples / RATE == pytest.approx(n_blocks * new.block_samples / 32000, rel=1e-3)
