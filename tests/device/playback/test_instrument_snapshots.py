"""Snapshots: how often there is one, what it says, and what is done with it."""

import pytest

from device.errors import ModelFailed
from device.playback.instrument import FADE_SECONDS, PERIOD_SECONDS, Instrument
from device.switches.base import FixedSwitches
from device.switches.script import ScriptSwitches
from device.synthesis.performance import Performance
from device.synthesis.transport import Quantize
from tests.support.speakers import RecordingSpeaker

RATE, HOP = 22050, 64
OFF, ALL = (False,) * 3, (True,) * 3
BLOCK = 8 * HOP
END = round(FADE_SECONDS * RATE)


def script(*flips):
    return ScriptSwitches(flips, 3)


@pytest.mark.parametrize("block_frames", [1, 8, 40])
def test_while_no_switch_is_flipped_a_snapshot_is_taken_once_a_period(
    make_instrument, block_frames
):
    snapshots = []
    instrument = make_instrument(
        RecordingSpeaker(), listeners=[snapshots.append], block_frames=block_frames
    )
    instrument.play(2.0)
    block = block_frames * HOP
    # The first block has one, then come whole blocks that are at least a period together.
    n_blocks = -(-round(PERIOD_SECONDS * RATE) // block)
    seconds = [state.seconds for state in snapshots[:-1]]
    expected = [(1 + n * n_blocks) * block / RATE for n in range(len(seconds))]
    assert seconds == pytest.approx(expected)


@pytest.mark.parametrize("flipped_at", [0.2, 0.211, 0.25])
def test_the_block_that_reads_a_flip_has_a_snapshot_of_its_own(make_instrument, flipped_at):
    snapshots = []
    instrument = make_instrument(
        RecordingSpeaker(),
        script((flipped_at, ALL)),
        listeners=[snapshots.append],
        block_frames=1,
    )
    instrument.play(0.5)
    first = next(state for state in snapshots if state.bits == ALL)
    assert flipped_at < first.seconds <= flipped_at + 2 * HOP / RATE
    assert (first.switch_states, first.sounding, first.n_flips) == (ALL, ALL, 1)


def test_all_blocks_but_those_of_the_end_are_in_the_last_snapshot(make_instrument):
    snapshots = []
    instrument = make_instrument(RecordingSpeaker(), listeners=[snapshots.append], block_frames=1)
    instrument.play((100 * HOP + END) / RATE)
    assert snapshots[-1].n_blocks == 100
    assert snapshots[-1].seconds == pytest.approx(100 * HOP / RATE)


def test_a_snapshot_says_what_plays(make_instrument):
    snapshots = []
    instrument = make_instrument(
        RecordingSpeaker(),
        script((0.5, ALL)),
        listeners=[snapshots.append],
        quantize=Quantize.BEAT,
    )
    instrument.play(3.0)
    first, last = snapshots[0], snapshots[-1]
    assert (first.bits, first.sounding, first.bar, first.beat) == (OFF, OFF, 0, 0)
    assert (last.bits, last.sounding, last.bar, last.beat) == (ALL, ALL, 1, 1)
    assert (first.title, first.n_beats, first.bars_per_loop) == ("Tiny test model", 4, 1)
    assert first.labels == ("partials 0", "partials 1", "partials 2")
    assert last.seconds == pytest.approx(last.n_blocks * BLOCK / RATE)
    assert -60 < last.level_db < 0


def test_while_a_flip_waits_the_snapshot_has_other_bits_than_those_that_sound(make_instrument):
    snapshots = []
    instrument = make_instrument(
        RecordingSpeaker(),
        script((0.3, ALL)),
        listeners=[snapshots.append],
        quantize=Quantize.BAR,
    )
    instrument.play(3.0)
    waiting = [state for state in snapshots if state.bits != state.sounding]
    assert waiting[0].seconds > 0.3
    assert waiting[-1].seconds == pytest.approx(2.0, abs=PERIOD_SECONDS + 2 * BLOCK / RATE)


def test_every_listener_is_called_with_the_same_snapshot_when_the_speaker_has_the_block(
    make_instrument,
):
    one, other, recorder = [], [], RecordingSpeaker()
    n_blocks = []
    listeners = [one.append, other.append, lambda _: n_blocks.append(len(recorder.blocks))]
    make_instrument(recorder, listeners=listeners).play((7 * BLOCK + END) / RATE)
    # Three blocks are a period. The fade at the end is not reported to listeners.
    assert n_blocks == [1, 4, 7]
    assert all(a is b for a, b in zip(one, other, strict=True))


def test_a_model_that_fails_in_the_last_blocks_ends_the_music_with_the_cause(
    make_instrument, network, monkeypatch
):
    frames = network.frames

    def failing(score, position):
        if position[0] > 1.3:
            raise ModelFailed("it broke")
        return frames(score, position)

    monkeypatch.setattr(network, "frames", failing)
    snapshots = []
    instrument = make_instrument(RecordingSpeaker(), listeners=[snapshots.append], block_frames=1)
    while instrument.voice.failure is None:
        instrument._play_block()
    last_block = len(instrument._period)
    assert last_block > 0
    instrument.stop.set()
    with pytest.raises(ModelFailed, match="it broke"):
        instrument.play()
    assert snapshots[-1].failure == "it broke"


class LoadClock:
    """A clock by which every block takes `step` seconds to make."""

    def __init__(self):
        self.now = self.step = 0.0

    def __call__(self):
        self.now += self.step
        return self.now


@pytest.mark.parametrize(
    ("governed", "expected", "n_lowered"),
    [(True, [(0, 2), (1, 1)], 2), (False, [(1, 1), (1, 1)], 0)],
)
def test_a_governed_instrument_holds_frames_and_leaves_out_iterations_while_blocks_are_late(
    network, governed, expected, n_lowered
):
    clock, qualities = LoadClock(), []

    def record(state):
        clock.step = 1.0 if state.seconds < 1 else 0.0
        qualities.append((state.n_iterations, state.held_frames))

    switches = FixedSwitches(ALL)
    with Instrument(
        network,
        switches,
        RecordingSpeaker(),
        Performance(),
        ahead=False,
        listeners=[record],
        governed=governed,
        clock=clock,
    ) as instrument:
        report = instrument.play(24.0)
    assert [qualities[15], qualities[-1]] == expected
    assert report.passes_lowered == n_lowered
