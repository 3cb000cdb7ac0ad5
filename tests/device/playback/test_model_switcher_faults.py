"""Models with faults are rolled back, and models that crash the device are not started again."""

import numpy as np
import pytest

from device.errors import ModelFailed
from device.playback.instrument import PERIOD_SECONDS
from device.store.start_counter import MOST_CRASHES, MOST_STARTS
from device.switches.base import FixedSwitches
from device.switches.bits import format_bits
from tests.support import faulty_models
from tests.support.playing_device import (
    BLOCK_SECONDS,
    FAULTY_STATE,
    RATE,
    flipping_to_fault_at,
    longest_gap_ms,
    until,
)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            faulty_models.nan_in_one_state,
            f"frames not finite with switches {format_bits(FAULTY_STATE)}",
        ),
        (faulty_models.failing_in_one_state, "indices element out of data bounds"),
        (faulty_models.slow_in_one_state, "underruns with switches"),
    ],
    ids=["NaN", "failing", "slow"],
)
def test_a_model_that_passed_and_then_has_a_fault_in_one_state_is_rolled_back(
    make_device, store, first, add_faulty, make, words
):
    bad = add_faulty(make)
    device = make_device(flipping_to_fault_at(3.0))
    device.at(0.5, lambda: device.activate(bad))
    device.play(6.0)
    device.settle()
    assert device.models_heard() == [first, bad, first]
    assert device.digest_at(2.9) == bad
    assert words in store.refusal(bad)
    assert store.active() == store.path(first)
    samples = device.speaker.samples
    assert np.isfinite(samples).all()
    # The first model plays the state that the other could not.
    assert longest_gap_ms(samples[5 * RATE : -RATE // 10]) < 5


def test_a_model_that_computes_nan_is_replaced_before_the_bar(make_device, first, add_faulty):
    bad = add_faulty(faulty_models.nan_in_one_state)
    device = make_device(flipping_to_fault_at(2.5))
    device.at(0.5, lambda: device.activate(bad))
    device.play(4.0)
    back_at = next(s.seconds for s in device.snapshots if s.digest == first and s.seconds > 2.5)
    assert back_at == pytest.approx(2.5, abs=PERIOD_SECONDS + 6 * BLOCK_SECONDS)
    assert longest_gap_ms(device.speaker.samples[RATE // 5 : -RATE // 10]) < 60


def test_a_model_with_a_fault_in_its_prefetched_frames_is_never_heard(
    make_device, store, first, add_faulty
):
    bad = add_faulty(faulty_models.nan_in_one_state)
    device = make_device(FixedSwitches(FAULTY_STATE))

    def activate():
        store.activate(bad)
        until(lambda: store.refusal(bad))

    device.at(0.5, activate)
    device.play(4.0)
    assert device.models_heard() == [first]
    assert "not finite" in store.refusal(bad)


def test_a_file_that_does_not_open_is_refused_and_the_music_goes_on(
    make_device, store, first, tmp_path
):
    path = tmp_path / "bad.onnx"
    path.write_bytes(b"not a model" * 100)
    bad = store.add(path)
    device = make_device()

    def activate():
        store.activate(bad)
        until(lambda: store.refusal(bad))

    device.at(0.5, activate)
    device.play(3.0)
    assert device.models_heard() == [first]
    assert store.active() == store.path(first)


def test_a_failing_model_without_a_fallback_ends_the_music_with_the_cause(
    make_device, store, add_faulty
):
    store.activate(add_faulty(faulty_models.failing_in_one_state))
    device = make_device(flipping_to_fault_at(0.5))
    with pytest.raises(ModelFailed, match="indices element out of data bounds"):
        device.play(2.0)
    # This is counted as a crash.
    assert store._starts.n_starts_of(store.active().stem) == 1


def test_a_model_that_crashes_the_device_twice_at_the_start_is_not_started_again(
    make_device, store, first, add_faulty
):
    bad = add_faulty(faulty_models.failing_in_one_state)
    store.activate(bad)
    for _ in range(MOST_STARTS):
        device = make_device(FixedSwitches(FAULTY_STATE))
        with pytest.raises(ModelFailed):
            device.play(1.0)
    device = make_device(FixedSwitches(FAULTY_STATE))
    device.play(1.0)
    assert device.models_heard() == [first]
    assert "crashed" in store.refusal(bad)


def test_a_requested_stop_is_never_counted_as_a_crash(make_device, store, first):
    for _ in range(MOST_STARTS + 1):
        make_device().play(0.2)
    assert store.active() == store.path(first)


def test_an_hour_of_music_clears_a_models_crashes_and_ten_seconds_do_not(
    make_device, store, first, monkeypatch
):
    for _ in range(MOST_CRASHES - 1):
        store.record_start_attempt()
        store.confirm_running()
    monkeypatch.setattr("device.playback.model_switcher.START_SECONDS", 0.3)
    monkeypatch.setattr("device.playback.model_switcher.LONG_SECONDS", 1.2)
    device = make_device()
    n_crashes = []
    for seconds in (0.8, 1.7):
        device.at(
            seconds,
            device.settle,
            lambda: n_crashes.append(store._starts._mark(first)["n_crashes"]),
        )
    device.play(2.0)
    device.settle()
    assert n_crashes == [MOST_CRASHES - 1, 0]
    assert not (store.directory / "starts.json").exists()
