"""A flip waits for its score where composing it would make a block late."""

import math
import threading
from functools import partial

import numpy as np
import pytest

from device.errors import ModelFailed
from device.synthesis.performance import Performance
from device.synthesis.spectrogram import MOST_WAIT_SECONDS
from device.synthesis.transport import Quantize
from device.synthesis.voice import Voice
from tests.support.waiting import wait_until

OFF, FIRST, ALL = (False,) * 3, (True, False, False), (True,) * 3
HOP_SECONDS = 64 / 22050
# The longest wait, in blocks of one frame.
MOST_BLOCKS = math.ceil(MOST_WAIT_SECONDS / HOP_SECONDS)
FRAMES_PER_LOOP = 689.0625
PATIENCE_SECONDS = 10.0
until = partial(wait_until, limit_seconds=PATIENCE_SECONDS)


class HeldNetwork:
    """The tiny network, whose helper thread composes only when it is allowed to."""

    def __init__(self, network):
        self.allowed = threading.Event()
        self.fails = False
        self.n_composed_by_caller = 0
        self._network = network

    def __getattr__(self, name):
        return getattr(self._network, name)

    def compose(self, switches, variation):
        if threading.current_thread().name == "scores":
            assert self.allowed.wait(PATIENCE_SECONDS)
        else:
            self.n_composed_by_caller += 1
        if self.fails:
            raise ModelFailed("it broke")
        return self._network.compose(switches, variation)


@pytest.fixture
def held(network):
    held = HeldNetwork(network)
    yield held
    held.allowed.set()


@pytest.fixture
def make_voice(held, monkeypatch):
    """Makes voices that have played some blocks with all switches off."""
    opened = []

    def make(*, slow=True, ahead=True, n_blocks=100, **performance):
        seconds = -1.0 if slow else 1e9
        monkeypatch.setattr("device.synthesis.score_cache.SLOW_SECONDS", seconds)
        voice = Voice(held, Performance(**performance), ahead=ahead)
        opened.append(voice)
        for _ in range(n_blocks):
            voice.block(OFF)
        return voice

    yield make
    held.allowed.set()
    for voice in opened:
        voice.close()


def blocks_until_heard(voice, bits, most=1000):
    for n in range(most):
        voice.block(bits)
        if voice.sounding == bits:
            return n
    return None


def test_where_composing_is_slow_a_flip_is_heard_once_the_helper_has_its_score(make_voice, held):
    voice = make_voice()
    for _ in range(20):
        voice.block(ALL)
    assert voice.sounding == OFF
    held.allowed.set()
    until(lambda: voice._spectrogram.scores.has((ALL, 0)))
    voice.block(ALL)
    assert voice.sounding == ALL
    assert held.n_composed_by_caller == 1


def test_a_flip_waits_no_longer_than_a_quarter_of_a_second(make_voice, held):
    voice = make_voice()
    assert blocks_until_heard(voice, ALL) == MOST_BLOCKS
    assert pytest.approx(0.25, abs=HOP_SECONDS) == MOST_BLOCKS * HOP_SECONDS
    assert held.n_composed_by_caller == 2


def test_every_flip_waits_by_itself(make_voice, held):
    voice = make_voice()
    waited = []
    for bits in (ALL, FIRST, OFF, (False, True, False)):
        waited.append(blocks_until_heard(voice, bits))
        for _ in range(30):
            voice.block(bits)
    # The score of no switch at all is there already.
    assert waited == [MOST_BLOCKS, MOST_BLOCKS, 0, MOST_BLOCKS]


def test_a_flip_taken_back_while_it_waits_is_never_heard_and_the_next_one_waits_anew(
    make_voice, held, network
):
    voice = make_voice()
    plain = Voice(network, Performance())
    expected = [plain.block(OFF) for _ in range(230)]
    for n, bits in enumerate([ALL] * 50 + [OFF] * 80, start=100):
        assert np.array_equal(voice.block(bits), expected[n])
    assert blocks_until_heard(voice, ALL) == MOST_BLOCKS


def test_while_one_flip_waits_another_one_takes_its_place(make_voice, held):
    voice = make_voice()
    for _ in range(50):
        voice.block(FIRST)
    # Waiting began with the first of them.
    assert blocks_until_heard(voice, ALL) == MOST_BLOCKS - 50
    assert held.n_composed_by_caller == 2


def test_a_flip_that_has_waited_sounds_like_one_made_later(make_voice, held, network):
    voice = make_voice()
    waited = [voice.block(ALL) for _ in range(200)]
    later = Voice(network, Performance())
    bits = [OFF] * (100 + MOST_BLOCKS) + [ALL] * (200 - MOST_BLOCKS)
    expected = [later.block(states) for states in bits]
    assert np.concatenate(waited).tobytes() == np.concatenate(expected[100:]).tobytes()


def test_where_composing_is_fast_a_flip_is_heard_in_the_block_that_reads_it(make_voice, held):
    voice = make_voice(slow=False)
    assert blocks_until_heard(voice, ALL) == 0
    assert held.n_composed_by_caller == 2


@pytest.mark.parametrize("blocks_after_the_turn", [1, 2, 3])
def test_just_after_a_turn_of_the_loop_any_flip_waits_for_two_scores(
    make_voice, held, blocks_after_the_turn
):
    n_blocks = math.ceil(FRAMES_PER_LOOP) + blocks_after_the_turn
    voice = make_voice(slow=False, n_blocks=n_blocks)
    n_open = voice.vocoder.inversion.look_ahead
    # Until the open frames belong to one pass; the score of that one is composed at once.
    assert blocks_until_heard(voice, ALL) == n_open - blocks_after_the_turn


def test_a_quantised_flip_does_not_wait_for_the_helper(make_voice, held):
    flipped_at = 100
    voice = make_voice(quantize=Quantize.SIXTEENTH, n_blocks=flipped_at)
    frames_per_step = 22050 / 64 * 60 / 120 / 4
    step = math.ceil((flipped_at - voice.vocoder.inversion.look_ahead) / frames_per_step)
    expected = math.ceil(step * frames_per_step) - flipped_at
    assert blocks_until_heard(voice, ALL) == expected


def test_without_helpers_no_flip_waits(make_voice, held):
    voice = make_voice(ahead=False)
    assert blocks_until_heard(voice, ALL) == 0


def test_a_score_that_the_helper_cannot_compose_is_the_callers_failure_after_the_wait(
    make_voice, held
):
    voice = make_voice()
    held.fails = True
    held.allowed.set()
    for _ in range(MOST_BLOCKS):
        voice.block(ALL)
        assert voice.failure is None
    voice.block(ALL)
    assert "it broke" in str(voice.failure)
