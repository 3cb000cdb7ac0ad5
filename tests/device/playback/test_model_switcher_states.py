"""The transitions of the model switcher, one by one, with a recorded loader and voice switcher."""

from types import SimpleNamespace

import pytest

from device.playback.model_switcher import LONG_SECONDS, START_SECONDS, ModelSwitcher
from device.synthesis.voice import Voice
from tests.support.instrument_state import snapshot

MONITOR_SECONDS = 30.0


class NamedVoice(Voice):
    """A voice without a model."""

    def __init__(self, name):
        self.network = SimpleNamespace(digest=name)
        self.is_closed = False

    def close(self):
        self.is_closed = True


class RecordedLoader:
    """Records its calls; `ready` is the voice that it returns next."""

    def __init__(self):
        self.calls = []
        self.ready = None
        self.state = None

    def next_voice(self):
        voice, self.ready = self.ready, None
        return voice

    def release(self, voice):
        self.calls.append(("release", voice.network.digest))

    def reject(self, digest, reason, *, instead):
        self.calls.append(("reject", digest, instead))

    def __getattr__(self, name):
        return lambda *_: self.calls.append((name,))


class Swap:
    """A model switcher with a voice switcher whose voice the test sets."""

    def __init__(self):
        self.first, self.second, self.third = map(NamedVoice, ("first", "second", "third"))
        self.loader = RecordedLoader()
        self.voice_switcher = SimpleNamespace(
            voice=self.first, is_free=True, schedule=self._schedule
        )
        self.scheduled = []
        self.model_switcher = ModelSwitcher(
            self.voice_switcher, self.loader, monitor_seconds=MONITOR_SECONDS
        )

    def _schedule(self, voice, *, at_once=False):
        self.scheduled.append((voice.network.digest, at_once))

    def block(self, seconds, heard=None, **changes):
        """Play one block; returns the calls of the loader after it."""
        if heard is not None:
            self.voice_switcher.voice = heard
        self.loader.calls = []
        digest = self.voice_switcher.voice.network.digest
        self.model_switcher(snapshot(seconds=seconds, digest=digest, **changes))
        return self.loader.calls

    def take_over(self, voice, seconds):
        """Schedule a voice and make it the one that is heard."""
        self.loader.ready = voice
        self.block(seconds)
        assert self.scheduled[-1] == (voice.network.digest, False)
        return self.block(seconds + 0.1, voice)


@pytest.fixture
def swap():
    return Swap()


def test_the_first_model_is_confirmed_once_after_the_start(swap):
    assert swap.block(START_SECONDS - 0.1) == []
    assert swap.block(START_SECONDS) == [("confirm_running",)]
    assert swap.block(START_SECONDS + 0.1) == []


def test_a_takeover_is_recorded_once_in_the_block_after_it(swap):
    assert swap.take_over(swap.second, 1.0) == []
    assert swap.block(1.2) == [("record_takeover",)]
    assert swap.block(1.3) == []


def test_a_model_that_is_monitored_is_not_confirmed_by_the_end_of_the_start(swap):
    swap.take_over(swap.second, 1.0)
    swap.block(1.2)
    assert swap.block(START_SECONDS) == []


def test_the_end_of_the_monitor_confirms_the_model_and_releases_the_fallback(swap):
    swap.take_over(swap.second, 1.0)
    swap.block(1.2)
    done = swap.block(1.2 + MONITOR_SECONDS)
    assert done == [("confirm_running",), ("release", "first")]
    assert swap.block(1.3 + MONITOR_SECONDS) == []


def test_a_fault_schedules_the_fallback_and_rejects_the_model(swap):
    swap.take_over(swap.second, 1.0)
    swap.block(1.2)
    assert swap.block(1.3, failure="it broke") == [("reject", "second", "first")]
    assert swap.scheduled[-1] == ("first", True)
    assert swap.block(1.4, swap.first) == [("release", "second")]


def test_a_model_with_a_fault_in_its_first_block_is_not_recorded_as_taken_over(swap):
    swap.loader.ready = swap.second
    swap.block(1.0)
    # By the next block the store's active model is the fallback: it would become the suspect.
    assert swap.block(1.1, swap.second, failure="it broke") == [("reject", "second", "first")]
    assert swap.block(1.2, failure="it broke") == []
    assert swap.block(1.3, swap.first) == [("release", "second")]


def test_a_model_that_waits_for_its_bar_is_released_at_a_fault_of_the_current_one(swap):
    swap.take_over(swap.second, 1.0)
    swap.loader.ready = swap.third
    swap.block(1.2)
    assert swap.block(1.3, failure="it broke")[0] == ("release", "third")


def test_nothing_is_scheduled_until_the_return_is_complete(swap):
    swap.take_over(swap.second, 1.0)
    swap.block(1.2, failure="it broke")
    swap.loader.ready = swap.third
    swap.block(1.3, failure="it broke")
    assert swap.scheduled[-1] == ("first", True)
    swap.block(1.4, swap.first)
    assert swap.scheduled[-1] == ("third", False)


def test_a_model_that_replaces_a_monitored_one_makes_that_one_the_fallback(swap):
    swap.take_over(swap.second, 1.0)
    assert ("release", "first") in swap.take_over(swap.third, 1.2)
    assert ("reject", "third", "second") in swap.block(1.4, failure="it broke")


def test_of_two_models_that_are_ready_before_the_bar_the_first_is_released(swap):
    swap.loader.ready = swap.second
    swap.block(1.0)
    swap.loader.ready = swap.third
    assert swap.block(1.1) == [("release", "second")]


def test_while_a_crossfade_runs_nothing_is_checked_and_nothing_is_scheduled(swap):
    swap.take_over(swap.second, 1.0)
    swap.block(1.2)
    swap.voice_switcher.is_free, swap.loader.ready = False, swap.third
    assert swap.block(1.3, failure="it broke") == []
    assert swap.scheduled == [("second", False)]


def test_the_crash_history_is_cleared_once_after_an_hour_without_a_takeover(swap):
    swap.block(START_SECONDS)
    swap.take_over(swap.second, 20.0)
    swap.block(20.2)
    swap.block(20.2 + MONITOR_SECONDS)
    assert swap.block(LONG_SECONDS + 20.0) == []
    assert swap.block(LONG_SECONDS + 20.2) == [("clear_crash_history",)]
    assert swap.block(LONG_SECONDS + 20.3) == []


@pytest.mark.parametrize("is_followed", [False, True])
def test_the_end_closes_every_voice_but_the_one_that_is_heard(swap, is_followed):
    swap.loader.ready = swap.second
    swap.block(1.0)
    # In the last block the switcher is not called after the takeover.
    swap.voice_switcher.voice = swap.second
    if is_followed:
        swap.block(1.1)
    swap.model_switcher.close()
    assert (swap.first.is_closed, swap.second.is_closed) == (True, False)
