"""Sound that is computed ahead is the sound of the frames that come, to the bit."""

import numpy as np
import pytest

from device.synthesis.kernel.ahead import SoundAhead
from device.synthesis.kernel.griffin_lim import CompiledGriffinLim
from device.synthesis.kernel.tape import CompiledTape
from tests.support.kernel import compiled_or_skip

RATE, HOP, LOOK_AHEAD, N_GUIDED = 22_050, 256, 3, 8
N_FRAMES = 60


@pytest.fixture(scope="module", autouse=True)
def library():
    return compiled_or_skip()


@pytest.fixture
def frames():
    """Frames that change, one by one, (1, frame_size) each."""
    rng = np.random.default_rng(3)
    shape = (N_FRAMES, 1, 513 + 2 * N_GUIDED)
    return list((rng.random(shape) * np.exp(-np.arange(shape[2]) / 80)).astype(np.float32))


def make_sound():
    inversion = CompiledGriffinLim(
        n_fft=1024, hop_length=HOP, look_ahead=LOOK_AHEAD, n_guided=N_GUIDED
    )
    tape = CompiledTape(RATE, wear=0.25, seed=5)
    return inversion, tape, SoundAhead(inversion, tape, clock=lambda: 0.0)


def expect(ahead, frames):
    """Expect all of these frames, 16 at most."""
    ahead.expect(frames[:1], 1.0)  # it took no time by that clock
    ahead.expect(frames, 1.0)


def set_gain(inversion, tape):
    tape.set_gain(0.3)


def seek(inversion, tape):
    tape.seek(12_345)


def revise(inversion, tape):
    inversion.revise(inversion.targets[1:] * 0.5)


def do_fewer_iterations(inversion, tape):
    inversion.n_iterations = 0


CHANGES = [set_gain, seek, revise, do_fewer_iterations]


@pytest.mark.parametrize("n_expected", [1, 2, 16])
def test_expected_frames_sound_as_without_expecting_them(frames, n_expected):
    *_, plain = make_sound()
    *_, ahead = make_sound()
    for i, frame in enumerate(frames):
        if not ahead.expected:
            expect(ahead, frames[i : i + n_expected])
        assert ahead.expected[0] is frame
        assert np.array_equal(ahead.process(frame), plain.process(frame))


@pytest.mark.parametrize("n_used", [0, 1, 5, 15, 16])
def test_other_frames_than_expected_take_it_back(frames, n_used):
    *_, plain = make_sound()
    *_, ahead = make_sound()
    others = [frame.copy() for frame in frames]
    for start in range(0, N_FRAMES - 16, 16):
        expect(ahead, frames[start : start + 16])
        for i in range(16):
            frame = frames[start + i] if i < n_used else others[start + i] * np.float32(0.5)
            assert np.array_equal(ahead.process(frame), plain.process(frame))


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("n_used", [0, 7, 16])
def test_a_change_of_inversion_or_tape_takes_it_back(frames, change, n_used):
    sounds = make_sound(), make_sound()
    expect(sounds[0][2], frames[:16])
    for i, frame in enumerate(frames):
        if i == n_used:
            for inversion, tape, _ in sounds:
                change(inversion, tape)
        one, other = (sound.process(frame) for *_, sound in sounds)
        assert np.array_equal(one, other)


def test_the_open_frames_are_those_that_came(frames):
    inversion, _, ahead = make_sound()
    expect(ahead, frames[:16])
    for frame in frames[:5]:
        ahead.process(frame)
    assert np.array_equal(inversion.targets, np.concatenate(frames[1:5]))


def test_skipped_hops_have_come(frames):
    *_, ahead = make_sound()
    *_, plain = make_sound()
    expect(ahead, frames[:16])
    sound = np.concatenate([*ahead.ready[:10]])
    ahead.skip(10)
    assert np.array_equal(sound, plain.process(np.concatenate(frames[:10])))
    # Another frame than the eleventh.
    assert np.array_equal(ahead.process(frames[20]), plain.process(frames[20]))


def test_after_a_change_of_the_iterations_nothing_is_ready(frames):
    inversion, _, ahead = make_sound()
    expect(ahead, frames[:4])
    assert len(ahead.ready) == 4
    inversion.n_iterations = 0
    assert len(ahead.ready) == 0


def test_it_computes_no_more_than_there_is_time_for(frames):
    now = [0.0]

    def clock():
        now[0] += seconds[0]
        return now[0]

    seconds, n_hops = [0.0], []
    inversion, tape, _ = make_sound()
    ahead = SoundAhead(inversion, tape, clock=clock)
    # A call takes so long, whatever is computed in it.
    for seconds[0] in (0.0009, 0.0009, 0.0018, 0.1, 0.1, 0.0009, 0.0009, 0.0009):
        ahead.expect(frames, 0.002)
        n_hops.append(len(ahead.expected))
    assert n_hops == [4, 8, 16, 16, 1, 1, 2, 4]
