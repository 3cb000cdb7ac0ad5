"""Frames, beats and the grid on which flips wait."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.synthesis.transport import Quantize, Transport, next_boundary
from tests.support.tiny_model import Sizes, describe

CARD = describe(Sizes())
YEAR_OF_FRAMES = 365 * 24 * 3600 * CARD.sample_rate // CARD.hop_length


@given(first=st.integers(0, YEAR_OF_FRAMES), n=st.integers(1, 40), tempo=st.floats(20, 400))
def test_a_frame_has_the_same_beat_whatever_block_it_comes_in(first, n, tempo):
    transport = Transport.of(CARD, tempo)
    together = transport.beats(first, n)
    alone = np.concatenate([transport.beats(first + i, 1) for i in range(n)])
    assert np.array_equal(together, alone)


def test_a_minute_has_as_many_beats_as_the_tempo_says():
    transport = Transport.of(CARD, 90.0)
    frames_a_minute = 60 * CARD.sample_rate / CARD.hop_length
    assert transport.beats(10**6, 1)[0] == pytest.approx(10**6 / frames_a_minute * 90)


def test_time_does_not_drift_over_a_year():
    beat = Transport.of(CARD).beats(YEAR_OF_FRAMES, 1)[0]
    exact = YEAR_OF_FRAMES * CARD.hop_length * 120 / (60 * CARD.sample_rate)
    assert beat == pytest.approx(exact, abs=1e-6)


@pytest.mark.parametrize(("tempo_bpm", "expected"), [(None, 120.0), (87.5, 87.5)])
def test_the_tempo_is_the_models_own_unless_another_is_given(tempo_bpm, expected):
    assert Transport.of(CARD, tempo_bpm).tempo_bpm == expected


@given(st.floats(0, 1e9))
def test_positions_in_the_loop_are_single_precision_from_zero_to_its_length(beat):
    position = Transport.of(CARD).in_loop(np.array([beat]))
    assert position.dtype == np.float32
    assert 0 <= position[0] <= CARD.beats_per_loop


def test_positions_start_again_with_every_pass():
    positions = Transport.of(CARD).in_loop(np.array([0.0, 3.5, 4.0, 4.25, 83.0]))
    assert positions.tolist() == [0.0, 3.5, 0.0, 0.25, 3.0]


@pytest.mark.parametrize(
    ("name", "beats"), [("off", 0.0), ("16th", 0.25), ("beat", 1.0), ("bar", 4.0)]
)
def test_grids_are_named_as_musicians_name_them(name, beats):
    assert Quantize(name).beats == beats


@pytest.mark.parametrize(
    ("beat", "grid", "boundary"),
    [
        (1.3, 0.0, 1.3),
        (1.3, 0.25, 1.5),
        (1.3, 1.0, 2.0),
        (1.3, 4.0, 4.0),
        (4.0, 4.0, 4.0),
        (4.0 + 1e-12, 4.0, 4.0),
        (4.01, 4.0, 8.0),
        (0.0, 4.0, 0.0),
    ],
)
def test_a_flip_waits_for_the_next_line_of_the_grid(beat, grid, boundary):
    assert next_boundary(beat, grid) == boundary


@given(st.floats(0, 1e6), st.sampled_from([0.25, 1.0, 4.0]))
def test_the_next_line_is_on_the_grid_and_less_than_one_cell_away(beat, grid):
    boundary = next_boundary(beat, grid)
    assert boundary % grid == 0
    assert -1e-8 * grid <= boundary - beat <= grid


tempo_changes = st.lists(
    st.tuples(st.integers(0, 30), st.floats(20, 400)), min_size=1, max_size=8
)  # frames since the change before, bpm


def with_changes(changes):
    """A transport after several changes of the tempo, and the tempo of every frame until then."""
    transport, frame, tempos = Transport.of(CARD), 1000, []
    for n_frames, tempo_bpm in changes:
        frame += n_frames
        tempos += [transport.tempo_bpm] * n_frames
        transport = transport.with_tempo(tempo_bpm, frame)
    return transport, tempos


@given(tempo_changes)
def test_beats_have_no_gap_where_the_tempo_changes(changes):
    transport, tempos = with_changes(changes)
    n_kept = min(len(tempos), 32)
    beats = transport.beats(1000 + len(tempos) - n_kept, n_kept + 20)
    expected = [*tempos[len(tempos) - n_kept :], *[transport.tempo_bpm] * 19]
    hop_minutes = CARD.hop_length / CARD.sample_rate / 60
    assert np.diff(beats) == pytest.approx(np.array(expected) * hop_minutes, abs=1e-9)


@given(tempo_changes, st.integers(-20, 40))
def test_frames_and_beats_lead_back_to_each_other_over_changes_of_the_tempo(changes, offset):
    transport, tempos = with_changes(changes)
    frame = 1000 + len(tempos) + offset
    assert transport.beat_at(frame) == transport.beats(frame, 1)[0]
    assert transport.frame_at(transport.beat_at(frame)) == frame
    assert transport.frame_at(transport.beat_at(frame + 0.5)) == frame + 1
    assert transport.frame_before(transport.beat_at(frame + 0.5)) == frame


def test_where_the_time_between_frames_changes_the_tempo_stays():
    transport = Transport.of(CARD)
    hop_seconds = transport.hop_seconds
    changed = transport.with_hop(hop_seconds / 2, 100).with_tempo(90.0, 200)
    assert changed.beat_at(100) == transport.beat_at(100)
    assert changed.beat_at(200) - changed.beat_at(100) == pytest.approx(transport.beat_at(50))
    assert (changed.hop_seconds, changed.tempo_bpm) == (hop_seconds / 2, 90.0)
    # So many seconds before a frame, through both corners.
    seconds = 100 * hop_seconds / 2 + 30 * hop_seconds
    assert changed.beat_earlier(200, seconds) == pytest.approx(transport.beat_at(70))


@given(tempo_changes, st.floats(0, 0.08))
def test_a_moment_before_a_frame_has_the_tempo_of_then(changes, seconds):
    transport, tempos = with_changes(changes)
    frame = 1000 + len(tempos) + 3
    earlier = frame - seconds / transport.hop_seconds
    assert transport.beat_earlier(frame, seconds) == pytest.approx(transport.beat_at(earlier))


def test_a_tempo_that_changes_all_the_time_keeps_a_short_memory():
    transport = Transport.of(CARD)
    for frame in range(5000):
        transport = transport.with_tempo(60 + frame % 100, frame)
    for tempo_bpm in range(60, 5000):
        transport = transport.with_tempo(tempo_bpm, 5000)
    n_corners, segment = 0, transport
    while segment.before is not None:
        n_corners, segment = n_corners + 1, segment.before
    assert n_corners <= 33
