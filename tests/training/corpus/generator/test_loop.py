"""The loop generator is deterministic, its loops are seamless and have one loudness."""

from __future__ import annotations

import sys
from itertools import pairwise

import numpy as np
import pytest

from tests.support.sound_font import write_sound_font
from training.corpus.format import SAMPLE_RATE
from training.corpus.generator.arrangement import arrange
from training.corpus.generator.harmony import PROGRESSIONS, place_chords
from training.corpus.generator.instruments import INSTRUMENTS, key_frequency, play_note
from training.corpus.generator.loop import render_layers, render_loop
from training.corpus.generator.mix import PEAK_LIMIT, high_pass, low_pass
from training.corpus.generator.note_cache import NoteBank
from training.corpus.generator.plan import LAYERS, PlanError, draw_plan
from training.corpus.generator.soundfont import SoundFont, SoundFontError

SEED = 5
N_SAMPLES = 264600  # 16 beats at 80 BPM


@pytest.fixture(scope="module")
def loops():
    return [render_loop(SEED, index) for index in range(12)]


def layers_of(index, **fix):
    plan = draw_plan(SEED, index, fix)
    arrangement = arrange(plan, SEED, index, tempo_bpm=80.0, bars=4)
    return render_layers(arrangement, plan, N_SAMPLES)


def test_the_same_seed_and_index_give_the_same_samples_whatever_was_played_before(loops):
    assert np.array_equal(render_loop(SEED, 3).audio, loops[3].audio)
    assert render_loop(SEED, 3).labels == loops[3].labels


def test_another_index_or_seed_gives_other_music(loops):
    assert not np.array_equal(loops[0].audio, loops[1].audio)
    assert not np.array_equal(loops[0].audio, render_loop(SEED + 1, 0).audio)


def test_loops_are_finite_float32_sixteen_beats_long(loops):
    for loop in loops:
        assert loop.audio.dtype == np.float32
        assert loop.audio.shape == (N_SAMPLES,)
        assert np.all(np.isfinite(loop.audio))


def test_loops_have_one_loudness_and_stay_below_the_limit(loops):
    for loop in loops:
        assert 0.08 < np.sqrt(np.mean(loop.audio**2)) < 0.105
        assert np.abs(loop.audio).max() < PEAK_LIMIT


def test_the_wrap_is_as_smooth_as_the_rest_of_the_loop(loops):
    for loop in loops:
        twice = np.concatenate([loop.audio, loop.audio]).astype(np.float64)
        bends = np.abs(np.diff(twice, 2))
        seam = bends[N_SAMPLES - 4 : N_SAMPLES + 2].max()
        # A drum may well fall on the one: compare with the loop's own strokes.
        assert seam <= bends[: N_SAMPLES - 4].max()


def test_a_loop_without_onsets_at_the_seam_has_no_click_there():
    fix = dict.fromkeys(("chords_on", "bass_on", "drums_on", "melody_on"), False)
    audio = render_loop(SEED, 0, fix={**fix, "pad_on": True}).audio.astype(np.float64)
    bends = np.abs(np.diff(np.concatenate([audio, audio]), 2))
    assert bends[N_SAMPLES - 50 : N_SAMPLES + 50].max() < np.percentile(bends, 99.99)


@pytest.mark.parametrize("removed", LAYERS)
def test_removing_one_layer_leaves_the_others_identical(removed):
    everything = {f"{layer}_on": True for layer in LAYERS}
    for index in (0, 4):
        full = layers_of(index, **everything)
        without = layers_of(index, **{**everything, f"{removed}_on": False})
        assert not without[removed].any()
        assert full[removed].any()
        for layer in set(LAYERS) - {removed}:
            assert np.array_equal(full[layer], without[layer])


def test_fixing_one_decision_leaves_all_other_decisions_alone():
    plan, fixed = draw_plan(SEED, 7), draw_plan(SEED, 7, {"brightness": 0.123})
    differing = {name for name, value in plan.labels().items() if fixed.labels()[name] != value}
    assert differing == {"brightness"}


def test_brightness_opens_the_highs():
    dark, bright = (render_loop(SEED, 2, fix={"brightness": b}).audio for b in (0.0, 1.0))
    share = [np.sum(np.abs(np.fft.rfft(audio))[N_SAMPLES // 8 :] ** 2) for audio in (dark, bright)]
    assert share[1] > 10.0 * share[0]


def test_some_layer_always_carries_the_harmony():
    for index in range(400):
        plan = draw_plan(SEED, index)
        assert plan.chords_on or plan.melody_on or plan.pad_on


def test_most_loops_have_chords_drums_and_bass_and_half_have_a_melody():
    plans = [draw_plan(SEED, index) for index in range(400)]
    band = np.mean([plan.chords_on and plan.drums_on and plan.bass_on for plan in plans])
    assert 0.55 < band < 0.8
    assert 0.4 < np.mean([plan.melody_on for plan in plans]) < 0.6


@pytest.mark.parametrize(
    ("fix", "message"),
    [
        ({"loudness": 1}, "unknown decision 'loudness', expected one of"),
        ({"kit": "tabla"}, "kit is 'tabla', expected one of: dusty"),
        (dict.fromkeys([f"{layer}_on" for layer in LAYERS], False), "no layer is left to play"),
    ],
)
def test_impossible_plans_are_refused_in_one_line(fix, message):
    with pytest.raises(PlanError, match=message) as refused:
        render_loop(SEED, 0, fix=fix)
    assert "\n" not in str(refused.value)


def test_labels_are_plain_json_values(loops):
    for loop in loops:
        for value in loop.labels.values():
            assert type(value) in {str, int, float, bool, list}
        assert len(loop.labels["chord_names"]) in {4, 8}


def test_every_progression_is_voiced_in_the_middle_with_little_movement():
    for progression in PROGRESSIONS:
        placed = place_chords(progression, 4, 0)
        for chord in placed:
            assert min(chord.keys) >= 50
            assert max(chord.keys) <= 79
            assert {key % 12 for key in chord.keys} <= set(chord.chord.pitch_classes)
        means = [np.mean(chord.keys) for chord in placed]
        assert max(abs(b - a) for a, b in pairwise(means)) < 7.0


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_instruments_play_in_tune(instrument):
    spec = INSTRUMENTS[instrument]
    key = (spec.lowest_key + spec.highest_key) // 2
    note = play_note(instrument, key, spec.velocity_layers[-1])[: 2 * SAMPLE_RATE]
    spectrum = np.abs(np.fft.rfft(note * np.hanning(len(note)), 8 * len(note)))
    # The fundamental, or the loudest of its first harmonics, within a sixth of a semitone.
    peak_hz = np.argmax(spectrum) * SAMPLE_RATE / (8 * len(note))
    harmonic = max(1, round(peak_hz / key_frequency(key)))
    assert abs(1200 * np.log2(peak_hz / harmonic / key_frequency(key))) < 17.0


def test_the_note_bank_stays_within_its_memory_and_dropping_notes_changes_no_sample():
    small = NoteBank(max_bytes=400_000)
    first, _ = small.note("tine piano", 60, 90.0)
    for key in range(48, 72):
        small.note("tine piano", key, 90.0)
        assert small.n_bytes <= small.max_bytes
    again, _ = small.note("tine piano", 60, 90.0)
    assert np.array_equal(first.samples, again.samples)


def test_filters_have_their_corner_at_their_cutoff():
    bins = np.array([1000, 100]) * N_SAMPLES // SAMPLE_RATE
    for order in (2, 3):
        response = np.abs(low_pass(N_SAMPLES, 1000.0, order))
        assert response[bins[0]] == pytest.approx(np.sqrt(0.5), abs=1e-3)
        assert response[0] == pytest.approx(1.0)
    assert np.abs(high_pass(N_SAMPLES, 100.0))[bins[1]] == pytest.approx(np.sqrt(0.5), abs=1e-3)


@pytest.mark.parametrize(("tempo_bpm", "bars"), [(73.3, 4), (90.0, 2), (120.0, 1), (60.0, 8)])
def test_other_tempos_and_lengths_can_be_rendered(tempo_bpm, bars):
    loop = render_loop(SEED, 1, tempo_bpm=tempo_bpm, bars=bars)
    assert len(loop.audio) == round(bars * 240.0 / tempo_bpm * SAMPLE_RATE)
    assert np.all(np.isfinite(loop.audio))


# -- stems ----------------------------------------------------------------------------------


@pytest.mark.parametrize("index", [0, 3])
def test_stems_add_up_to_the_mix_of_a_loop_without_drive(index):
    loop = render_loop(SEED, index, fix={"drive": 0.0}, with_stems=True)
    error = sum(loop.stems.values()) - loop.audio
    # What is left is what saturates all the same: -20 dB of it, on the loudest strokes.
    assert np.sqrt(np.mean(error**2)) < 0.15 * np.sqrt(np.mean(loop.audio**2))
    np.testing.assert_array_equal(loop.audio, render_loop(SEED, index, fix={"drive": 0.0}).audio)


def test_the_stem_of_a_layer_that_is_off_is_silent_and_that_of_one_that_is_on_is_not():
    loop = render_loop(SEED, 1, fix={"melody_on": False, "bass_on": True}, with_stems=True)
    assert tuple(loop.stems) == LAYERS
    assert np.abs(loop.stems["melody"]).max() < 1e-6
    assert np.abs(loop.stems["bass"]).max() > 0.01


# -- a sound font ---------------------------------------------------------------------------


def test_a_file_that_is_no_sound_font_is_refused_in_one_line(tmp_path):
    (tmp_path / "text.sf2").write_text("not a sound font")
    for path, message in (("text.sf2", "is not a sound font"), ("none.sf2", "cannot be read")):
        with pytest.raises(SoundFontError, match=message):
            SoundFont(tmp_path / path)


def test_a_sound_font_without_a_player_is_reported_with_what_to_install(tmp_path, monkeypatch):
    write_sound_font(tmp_path / "sine.sf2")
    monkeypatch.setitem(sys.modules, "fluidsynth", None)
    with pytest.raises(SoundFontError, match=r"lofi-switchboard\[soundfont\]"):
        SoundFont(tmp_path / "sine.sf2")


@pytest.fixture
def sine_font(tmp_path):
    try:
        import fluidsynth  # noqa: F401
    except ImportError as error:
        pytest.skip(f"no FluidSynth on this machine ({error})")
    return write_sound_font(tmp_path / "sine.sf2")


def test_a_sound_font_plays_in_tune_at_our_level_whatever_it_played_before(sine_font):
    font = SoundFont(sine_font)
    first, other = font.play_note("piano", 60, 90), font.play_note("piano", 72, 90)
    np.testing.assert_array_equal(SoundFont(sine_font).play_note("piano", 72, 90), other)
    for note, key in ((first, 60), (other, 72)):
        second = note[:SAMPLE_RATE]
        spectrum = np.abs(np.fft.rfft(second * np.hanning(len(second))))
        assert spectrum.argmax() == pytest.approx(key_frequency(key), abs=1.5)
    assert np.sqrt(np.mean(first[:SAMPLE_RATE] ** 2)) == pytest.approx(0.1, rel=0.01)


def test_a_loop_with_a_sound_font_keeps_plan_and_drums(sine_font):
    fix = {"drums_on": True, "chords_on": True}
    plain = render_loop(SEED, 2, fix=fix, with_stems=True)
    played = render_loop(SEED, 2, fix=fix, soundfont=sine_font, with_stems=True)
    assert played.labels == plain.labels
    ratio = played.stems["drums"] / np.where(plain.stems["drums"] == 0, 1, plain.stems["drums"])
    loud = np.abs(plain.stems["drums"]) > 0.05
    # The same strokes, but for the level that the whole loop is brought to.
    assert np.ptp(ratio[loud]) < 0.05 * np.median(ratio[loud])
    assert not np.allclose(played.stems["chords"], plain.stems["chords"], atol=0.01)
