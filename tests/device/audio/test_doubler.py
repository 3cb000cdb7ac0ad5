"""The doubled stream is the same sound, later by the stated delay, and without images."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from device.audio.doubler import RateDoubler
from device.audio.resampler import Resampler

NYQUIST = np.pi  # of the input, in radians per sample
PASSED = [0.001, 0.01, 0.1, 0.25, 0.5, 0.7, 0.8, 0.85, 0.88, 0.89]


def noise(n, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, n).astype(np.float32)


def doubled_sine(share_of_nyquist, n=20_000):
    """The output, and what one sampled at twice the rate would be, without the beginning."""
    radians = share_of_nyquist * NYQUIST
    doubled = RateDoubler().process(np.sin(radians * np.arange(n)).astype(np.float32))
    ideal = np.sin(radians * (np.arange(2 * n) - RateDoubler.delay_samples) / 2)
    return doubled[200:].astype(np.float64), ideal[200:]


@settings(max_examples=50)
@given(st.lists(st.one_of(st.integers(0, 3), st.integers(0, 600)), max_size=20))
@example([])
@example([0])
@example([1] * 100)
@example([0, 1, 0, 600, 1])
def test_the_doubled_stream_is_the_same_for_all_block_lengths(lengths):
    whole = noise(sum(lengths))
    doubler = RateDoubler()
    blocks = [doubler.process(block) for block in np.split(whole, np.cumsum(lengths))]
    assert [len(block) for block in blocks] == [2 * n for n in lengths] + [0]
    assert all(block.dtype == np.float32 for block in blocks)
    assert np.concatenate(blocks).tobytes() == RateDoubler().process(whole).tobytes()


def test_a_block_is_not_changed_and_not_kept():
    doubler, block = RateDoubler(), noise(100)
    before = block.copy()
    doubler.process(block)
    np.testing.assert_array_equal(block, before)
    block[:] = 0
    expected = RateDoubler().process(np.concatenate([before, before]))[200:]
    np.testing.assert_array_equal(doubler.process(before), expected)


def test_every_second_output_is_an_input_47_samples_later():
    samples = noise(1000)
    doubled = RateDoubler().process(samples)
    assert RateDoubler.delay_samples == 47
    np.testing.assert_array_equal(doubled[47::2], samples[: len(doubled[47::2])])
    assert not doubled[1:47:2].any()


def test_a_click_is_heard_47_samples_later_and_evenly_before_and_after():
    click = np.zeros(200, np.float32)
    click[50] = 1
    doubled = RateDoubler().process(click)
    middle = 2 * 50 + 47
    assert np.argmax(np.abs(doubled)) == middle
    after, before = doubled[middle : middle + 60], doubled[middle : middle - 60 : -1]
    np.testing.assert_allclose(after, before, atol=1e-7)


@pytest.mark.parametrize("share_of_nyquist", PASSED)
def test_the_gain_of_a_sine_below_089_of_nyquist_is_one_within_a_thousandth(share_of_nyquist):
    doubled, ideal = doubled_sine(share_of_nyquist)
    gain = np.dot(doubled, ideal) / np.dot(ideal, ideal)
    assert gain == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("share_of_nyquist", PASSED)
def test_all_but_the_sine_itself_is_75_db_down(share_of_nyquist):
    doubled, ideal = doubled_sine(share_of_nyquist)
    gain = np.dot(doubled, ideal) / np.dot(ideal, ideal)
    rest = doubled - gain * ideal
    assert 10 * np.log10(np.mean(rest**2) / np.mean(ideal**2)) < -75


def test_a_constant_stays_the_same_constant():
    doubled = RateDoubler().process(np.full(500, 0.5, np.float32))
    np.testing.assert_allclose(doubled[100:], 0.5, atol=1e-6)


def test_the_resampler_uses_it_for_twice_the_rate_and_states_its_delay():
    samples = noise(1000)
    resampler = Resampler(22_050, 44_100)
    assert resampler.delay_seconds == 47 / 44_100
    np.testing.assert_array_equal(resampler.process(samples), RateDoubler().process(samples))


def test_between_equal_rates_nothing_is_done():
    resampler, samples = Resampler(44_100, 44_100), noise(100)
    assert resampler.delay_seconds == 0
    np.testing.assert_array_equal(resampler.process(samples), samples)
