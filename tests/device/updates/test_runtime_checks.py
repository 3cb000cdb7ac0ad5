"""The runtime checks: which states are measured, how loud they are, how long a block takes."""

from itertools import pairwise

import numpy as np
import pytest

from device.errors import InvalidAudio, ModelTooSlow
from device.model.bundled import BUNDLED_MODEL
from device.model.contract import WINDOWS
from device.model.network import Network
from device.switches.state_sampling import sample_states
from device.synthesis.windows import analysis_window
from device.updates.runtime_checks import (
    LOUDEST_DB,
    MOST_STATES,
    check_levels,
    check_speed,
    rms_db,
)


class ChangedNetwork:
    """The tiny network, with other frames or another score."""

    def __init__(self, network, frames=None, score=None, advance=None):
        self.card = network.card
        self._network, self._frames, self._score = network, frames, score
        self._advance = advance

    def compose(self, switches, variation):
        score = self._network.compose(switches, variation)
        return score if self._score is None else self._score(switches, score)

    def render(self, score, position):
        frames, advance = self._network.render(score, position)
        advance = advance if self._advance is None else self._advance
        return frames if self._frames is None else self._frames(frames), advance


def states(n_switches):
    return sample_states(n_switches, MOST_STATES, np.random.default_rng(0))


@pytest.mark.parametrize("n_switches", [1, 3, 6])
def test_few_states_are_all_measured(n_switches):
    assert len({tuple(s) for s in states(n_switches)}) == 2**n_switches


@pytest.mark.parametrize("n_switches", [7, 8, 16])
def test_of_many_states_all_off_all_on_single_switches_and_random_ones_are_measured(n_switches):
    sample = [tuple(map(int, s)) for s in states(n_switches)]
    assert len(sample) == len(set(sample)) == MOST_STATES
    for n_on in (0, 1, n_switches - 1, n_switches):
        with_n_on = {bits for bits in sample if sum(bits) == n_on}
        assert len(with_n_on) == (1 if n_on in (0, n_switches) else n_switches)


@pytest.mark.parametrize("window", WINDOWS)
def test_the_level_of_a_sine_is_that_of_its_samples(window):
    n_fft, amplitude = 1024, 0.5
    sine = amplitude * np.sin(2 * np.pi * 20.3 * np.arange(n_fft) / n_fft)
    frame = np.log(np.abs(np.fft.rfft(analysis_window(window, n_fft) * sine)) + 1e-12).astype(
        np.float32
    )
    level = rms_db(frame[None], n_fft=n_fft, log_floor=-30.0)
    assert level == pytest.approx(20 * np.log10(amplitude / np.sqrt(2)), abs=0.1)


def test_the_floor_is_silence_and_any_large_number_can_be_measured():
    floor = np.full((2, 513), -3.0, np.float32)
    assert rms_db(floor, n_fft=1024, log_floor=-3.0) == pytest.approx(-120, abs=0.1)
    assert rms_db(floor + 2000, n_fft=1024, log_floor=-3.0) == np.inf


@pytest.mark.parametrize("bundled", [False, True])
def test_a_good_model_has_usual_levels(network, bundled):
    network = Network.open(BUNDLED_MODEL) if bundled else network
    sound = check_levels(network)
    assert sound.n_states == min(2**network.card.n_switches, MOST_STATES)
    # With all switches off the bundled one plays a quiet bed.
    assert -50 < sound.quietest_db < sound.loudest_db < -10


def test_a_model_that_is_silent_in_every_state_is_refused(network):
    silent = ChangedNetwork(
        network, frames=lambda frames: np.full_like(frames, network.card.log_floor)
    )
    with pytest.raises(InvalidAudio, match="-120 dB in the loudest of 8 states"):
        check_levels(silent)


def test_one_state_may_be_silent(network):
    quiet = ChangedNetwork(network, score=lambda switches, score: score * switches.any())
    assert check_levels(quiet).quietest_db == -120.0


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_state_with_a_number_that_is_not_finite_is_refused_by_name(network, value):
    def change(switches, score):
        return np.where(tuple(switches) == (1, 0, 1), np.float32(value), score)

    with pytest.raises(InvalidAudio, match="state 101: found numbers that are not finite"):
        check_levels(ChangedNetwork(network, score=change))


def test_a_phase_advance_that_is_not_finite_is_refused(network):
    advance = np.full((64, 8), np.nan, np.float32)
    with pytest.raises(InvalidAudio, match="state 000: found numbers that are not finite"):
        check_levels(ChangedNetwork(network, advance=advance))


def test_a_state_louder_than_full_scale_is_refused_by_name(network):
    gain = np.float32(10 ** ((LOUDEST_DB + 40) / 20))
    with pytest.raises(InvalidAudio, match=r"state 000: found \d+ dB, expected 0 dB at most"):
        check_levels(ChangedNetwork(network, score=lambda _, score: gain * score))


class FixedTimes:
    """A clock by which the timed steps take the given seconds, one after another."""

    def __init__(self, *seconds):
        self._times = iter(t for n in range(1000) for t in (n * 10, n * 10 + self._of(seconds, n)))

    def _of(self, seconds, n):
        return seconds[min(n // 15, len(seconds) - 1)]

    def __call__(self):
        return next(self._times)


def test_a_block_that_takes_too_long_is_refused(network):
    # Five frames of the tiny model sound for 14.5 ms, whatever the length of a block.
    speed = check_speed(network, deadline_share=0.5, clock=FixedTimes(0.014, 0.007))
    assert (speed.compose_ms, speed.block_ms) == (14.0, 7.0)
    assert speed.deadline_ms == pytest.approx(14.5, abs=0.1)
    with pytest.raises(ModelTooSlow, match=r"block: found 8\.0 ms .* expected 7\.3 ms at most"):
        check_speed(network, deadline_share=0.5, clock=FixedTimes(0.014, 0.008))
    with pytest.raises(ModelTooSlow, match=r"compose half: found 15\.0 ms .* expected 14\.5 ms"):
        check_speed(network, deadline_share=0.5, clock=FixedTimes(0.015, 0.007))


def test_a_single_slow_block_is_no_fault_of_the_model(network):
    class OneSlowStep(FixedTimes):
        def _of(self, seconds, n):
            return 5.0 if n % 15 == 7 else 0.001

    assert check_speed(network, deadline_share=0.5, clock=OneSlowStep()).block_ms == 1.0


def test_random_states_are_the_same_every_time():
    assert all(np.array_equal(a, b) for a, b in zip(states(8), states(8), strict=True))
    assert any(not np.array_equal(a, b) for a, b in pairwise(states(8)))


def test_the_compose_half_is_timed_with_all_its_parts(build_model, monkeypatch):
    network = Network.open(build_model(n_codes=2))
    run, calls = network._run, []

    def counted(outputs, **feeds):
        calls.append(outputs[0])
        return run(outputs, **feeds)

    monkeypatch.setattr(network, "_run", counted)
    check_speed(network, deadline_share=1e9)
    assert calls[:32] == 16 * ["composition", "score"]
