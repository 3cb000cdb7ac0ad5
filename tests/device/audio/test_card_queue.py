"""What is queued in a card, against a simulated buffer that knows it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device.audio.card_queue import CardQueue
from tests.support.simulated_audio import SimulatedBuffer, SimulatedClock

RATE = 44_100
HOP = 512  # 11.6 ms
PERIOD = 0.006
GUARD = 0.012
SAMPLE = 1 / RATE


class CardWithQueue:
    """A simulated card, and what `CardQueue` believes of it.

    Parameters
    ----------
    speed : float
        Of the card's clock, by the machine's.
    age : callable
        Seconds since the card's last interrupt, which is the age of its report.
    """

    def __init__(self, speed=1.0, age=lambda: 0.0, reports=True, seconds=0.024):
        self.time = SimulatedClock()
        self.buffer = SimulatedBuffer(self.time, RATE, seconds, speed)
        self.queue = CardQueue(RATE, self.time.clock)
        self.n_underruns = 0
        self._age, self._reports = age, reports
        self.queue.start(self._n_free(), otherwise=seconds)

    @property
    def error_seconds(self):
        """How much more is believed to be queued than is."""
        return self.queue.seconds - self.buffer.queued_seconds

    def write(self, n_samples):
        self.n_underruns += self.buffer.write(n_samples)
        self.queue.add(n_samples)
        self.queue.correct(self._n_free())

    def play(self, seconds):
        """Write a block whenever no more than the guard is believed to be queued."""
        end = self.time.now + seconds
        while self.time.now < end:
            self.time.sleep(max(self.queue.seconds - GUARD, 0.0))
            self.time.now += 0.004  # the block is made meanwhile
            self.write(HOP)
            yield self.error_seconds

    def _n_free(self):
        return self.buffer.n_free(self._age()) if self._reports else 0


def ages_within_a_period():
    rng = np.random.default_rng(0)
    return lambda: rng.uniform(0, PERIOD)


def test_a_queue_that_was_not_written_to_is_empty():
    card = CardWithQueue()
    assert card.queue.seconds == 0
    assert card.queue.capacity_seconds == pytest.approx(0.024, abs=SAMPLE)
    card.time.now += 1.0
    assert card.queue.seconds == 0


def test_what_was_written_is_queued_until_it_was_played():
    card = CardWithQueue()
    card.write(HOP)
    assert card.queue.seconds == pytest.approx(HOP / RATE)
    card.time.now += 0.005
    assert card.queue.seconds == pytest.approx(HOP / RATE - 0.005)
    card.time.now += 0.1
    assert card.queue.seconds == 0


@pytest.mark.parametrize("speed", [1 - 200e-6, 1.0, 1 + 200e-6])
def test_the_queue_follows_the_cards_clock_and_not_the_machines(speed):
    card = CardWithQueue(speed)
    # In five minutes the clocks are 60 ms apart; in the second between two corrections, 0.2 ms.
    assert max(map(abs, card.play(300.0))) < 0.5e-3
    assert card.n_underruns == 0


@pytest.mark.parametrize("speed", [1 - 200e-6, 1.0, 1 + 200e-6])
def test_the_queue_follows_the_cards_clock_by_stale_reports_too(speed):
    card = CardWithQueue(speed, ages_within_a_period())
    errors = np.array(list(card.play(300.0)))
    # The freshest report of a second counts.
    assert errors.min() > -0.5e-3
    assert errors.max() < 1e-3
    assert card.n_underruns == 0


def test_reports_that_are_always_a_period_old_are_wrong_by_no_more_than_that():
    card = CardWithQueue(1 + 200e-6, lambda: PERIOD, seconds=0.040)
    errors = np.array(list(card.play(300.0)))
    assert errors.min() > -0.5e-3
    assert errors.max() < PERIOD + 0.5e-3


pauses = st.floats(0, 0.02)
ages = st.floats(0, PERIOD)
lengths = st.integers(1, 2 * HOP)


@settings(max_examples=50)
@given(st.lists(st.tuples(pauses, ages, lengths), max_size=200))
def test_stale_reports_never_make_it_believe_less_than_is_queued(steps):
    age = 0.0
    card = CardWithQueue(age=lambda: age)
    for pause, age, n_samples in steps:  # noqa: B007 (the card reads the age)
        card.time.now += pause
        card.write(n_samples)
        assert card.error_seconds > -1e-9
        assert card.queue.seconds < card.queue.capacity_seconds + 1e-9


def test_a_report_of_more_room_than_believed_is_followed_at_once():
    card = CardWithQueue(speed=1.5)
    for _ in range(20):
        card.write(HOP // 2)
        # A second has not passed; only what a sample plays may be wrong.
        assert card.queue.seconds <= 1.5 * card.buffer.queued_seconds + SAMPLE
        card.time.now += 0.003
    assert card.time.now < 1.0


@pytest.mark.parametrize("age", [0.0, PERIOD])
def test_after_an_underrun_only_what_is_written_then_is_queued(age):
    card = CardWithQueue(age=lambda: age)
    for _ in card.play(2.0):
        pass
    card.time.now += 1.0
    card.write(HOP)
    assert card.n_underruns == 1
    assert card.queue.seconds == pytest.approx(HOP / RATE, abs=SAMPLE)
    for _ in card.play(2.0):
        pass
    assert card.n_underruns == 1


def test_a_card_that_reports_no_room_is_followed_by_the_clock_alone():
    card = CardWithQueue(reports=False, seconds=0.060)
    assert card.queue.capacity_seconds == 0.060
    assert max(map(abs, card.play(60.0))) < 1e-6
    assert card.n_underruns == 0
