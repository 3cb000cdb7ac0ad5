"""A stream at another speed: clean, the same in any blocks, without a gap where it changes."""

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from device.audio.transposer import Transposer

RATE = 22050
RATIOS = [2 ** (semitones / 12) for semitones in (-4, -3, -1, 0, 2, 4)]


def sweep(seconds):
    """A sine from 50 Hz to 5 kHz within two seconds, at these moments."""
    growth = np.log(100)
    return 0.5 * np.sin(2 * np.pi * 50 * 2 / growth * (np.exp(seconds / 2 * growth) - 1))


def transposed(transposer, samples, block=256):
    pieces = [samples[at : at + block] for at in range(0, len(samples), block)]
    return np.concatenate([transposer.process(piece) for piece in pieces])


@pytest.mark.parametrize("ratio", RATIOS)
def test_a_sweep_is_that_of_another_speed(ratio):
    transposer = Transposer([ratio])
    transposer.begin(ratio)
    samples = sweep(np.arange(2 * RATE) / RATE).astype(np.float32)
    found = transposed(transposer, samples)
    expected = sweep(np.arange(len(found)) * ratio / RATE)
    error = (found - expected)[100:]
    assert 10 * np.log10(np.mean(expected**2) / np.mean(error**2)) > 70
    n_read = len(samples) - Transposer.delay_samples
    assert len(found) == pytest.approx(n_read / ratio, abs=1)


def test_at_the_speed_at_which_it_came_it_stays_as_it_is_until_the_first_turn():
    samples = np.random.default_rng(1).standard_normal(2000).astype(np.float32)
    found = transposed(Transposer(), samples)
    assert found == pytest.approx(samples[: len(found)], abs=1e-6)


turns = st.lists(
    st.tuples(st.integers(0, 1500), st.integers(0, 900), st.sampled_from(RATIOS)), max_size=6
)  # sample before which it is ordered, how long before it happens, ratio


def played(orders, sizes):
    """Noise in blocks of these sizes, turned as ordered."""
    samples = np.random.default_rng(2).standard_normal(1500).astype(np.float32)
    transposer, pieces, at = Transposer(), [], 0
    orders = sorted(orders, key=lambda order: order[0])
    while at < len(samples):
        n = next(sizes)
        if orders and at + n > orders[0][0]:
            n = orders[0][0] - at
        pieces.append(transposer.process(samples[at : at + n]))
        at += n
        while orders and orders[0][0] == at:
            _, later, ratio = orders.pop(0)
            transposer.turn(later, ratio)
    return np.concatenate(pieces)


@settings(max_examples=30, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(orders=turns, sizes=st.lists(st.integers(1, 700), min_size=1, max_size=8))
def test_the_outputs_do_not_depend_on_the_blocks(orders, sizes):
    def repeated(numbers):
        while True:
            yield from numbers

    assert played(orders, repeated(sizes)).tobytes() == played(orders, repeated([5000])).tobytes()


def test_the_speed_changes_at_its_sample_and_the_sine_goes_on():
    transposer = Transposer()
    transposer.turn(1000, 1.25)
    hertz = 441.0
    samples = np.sin(2 * np.pi * hertz * np.arange(3000) / RATE).astype(np.float32)
    found = transposed(transposer, samples)
    read = np.concatenate([np.arange(1000), 1000 + 1.25 * np.arange(len(found) - 1000)])
    assert found == pytest.approx(np.sin(2 * np.pi * hertz * read / RATE), abs=1e-3)


@given(orders=turns)
def test_it_tells_how_many_outputs_there_will_be_until_a_place(orders):
    transposer = Transposer()
    for _, later, ratio in orders:
        transposer.turn(later, ratio)
    expected = transposer.outputs_until(1200)
    found = len(transposer.process(np.zeros(1200 + Transposer.delay_samples, np.float32)))
    # A change takes effect with the first output that is not before it.
    assert found == pytest.approx(expected, abs=1 + 0.3 * len(orders))


def test_a_later_order_replaces_those_that_were_to_happen_after_it():
    transposer = Transposer()
    transposer.turn(500, 1.25)
    transposer.turn(300, 0.8)
    assert transposer.outputs_until(1100) == pytest.approx(300 + 800 / 0.8)
