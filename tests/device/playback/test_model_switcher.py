"""A model that becomes active in the store is heard from the next bar on."""

import threading

import numpy as np
import pytest

from device.files import sha256_of
from device.model.bundled import BUNDLED_MODEL, bundled_digest
from device.model.summary import read_card
from device.playback.instrument import PERIOD_SECONDS
from device.switches.base import FixedSwitches
from tests.support import tiny_model as tiny
from tests.support.playing_device import (
    BLOCK_SECONDS,
    MONITOR_SECONDS,
    RATE,
    longest_gap_ms,
    until,
)


def test_a_newly_active_model_is_heard_from_the_next_bar_on(make_device, first, second):
    device = make_device()
    device.at(0.5, lambda: device.activate(second))
    report = device.play(4.0)
    assert device.models_heard() == [first, second]
    # A bar is two seconds long; a snapshot is taken at the end of its period.
    changed_at = next(state.seconds for state in device.snapshots if state.digest == second)
    assert changed_at == pytest.approx(2.0, abs=PERIOD_SECONDS + 2 * BLOCK_SECONDS)
    assert report.underruns == report.missed_deadlines == 0
    assert longest_gap_ms(device.speaker.samples[RATE // 5 : -RATE // 10]) < 5
    assert "'Tiny test model' takes over at the next bar" in device.messages


def test_beats_continue_across_a_takeover(make_device, first, second):
    device = make_device()
    device.at(0.5, lambda: device.activate(second))
    device.play(4.0)
    assert {state.digest for state in device.snapshots} == {first, second}
    beats = np.array([state.position for state in device.snapshots])
    seconds = np.array([state.seconds for state in device.snapshots])
    assert beats == pytest.approx(2 * seconds, rel=1e-6)


@pytest.mark.parametrize(
    "changes",
    [
        {"n_switches": 3},
        {"n_switches": 12},
        {"n_switches": 8, "sample_rate": 32000, "n_fft": 512, "hop_length": 128},
    ],
)
def test_a_model_of_another_kind_takes_over_as_well(make_device, store, tmp_path, changes, first):
    other = store.add(tiny.build(tmp_path / "other.onnx", **changes))
    device = make_device(FixedSwitches((True, False) * 4))
    device.at(0.5, lambda: device.activate(other))
    report = device.play(4.0)
    assert device.models_heard() == [first, other]
    assert len(device.snapshots[-1].bits) == changes["n_switches"]
    assert report.seconds == pytest.approx(4.0, abs=1 / RATE)
    assert (report.underruns, report.n_flips) == (0, 0)
    assert longest_gap_ms(device.speaker.samples[RATE // 5 : -RATE // 10]) < 5
    warnings = [line for line in device.messages if "switches, the model" in line]
    assert bool(warnings) == (changes["n_switches"] != 8)


def test_without_an_active_model_the_bundled_one_takes_over(make_device, store, first):
    device = make_device()
    device.at(0.5, lambda: device.activate(None))
    device.play(4.5)
    assert device.snapshots[-1].title == read_card(BUNDLED_MODEL).title
    assert store.models()[0].refused is None


def test_after_the_monitor_a_model_is_trusted(make_device, store, second, first):
    device = make_device()
    device.at(0.5, lambda: device.activate(second))
    device.at(2.5, device.settle)
    device.at(2.6, lambda: started.append(store._starts.n_starts_of(second)))
    device.at(2.0 + MONITOR_SECONDS + 0.1, device.settle)
    device.at(
        2.0 + MONITOR_SECONDS + 0.2, lambda: started.append(store._starts.n_starts_of(second))
    )
    started = []
    device.play(5.5)
    assert started[0] > 0
    assert started[1] == 0


def test_of_two_models_in_one_bar_the_last_one_is_heard(
    make_device, store, first, second, tmp_path
):
    third = store.add(tiny.build(tmp_path / "third.onnx", n_switches=4))
    device = make_device()
    device.at(0.3, lambda: device.activate(second))
    device.at(0.8, lambda: device.activate(third))
    device.play(3.0)
    assert device.models_heard() == [first, third]


def test_no_thread_is_left_after_the_end(make_device, second):
    device = make_device()
    device.at(0.5, lambda: device.activate(second))
    device.play(3.0)
    helpers = {"loader", "scores", "frames"}
    until(lambda: not helpers & {thread.name for thread in threading.enumerate()})


@pytest.fixture
def third_bundled(tmp_path, monkeypatch):
    """The digest of a model that comes with the package beside the one that plays by itself."""
    path = tiny.build(tmp_path / "third.onnx", metadata={"title": "Third"})
    bundled = {bundled_digest(): BUNDLED_MODEL, sha256_of(path): path}
    monkeypatch.setattr("device.playback.model_loader.bundled_digests", lambda: bundled)
    return sha256_of(path)


def test_next_model_plays_the_bundled_models_and_those_of_the_store_in_turn(
    make_device, store, first, second, third_bundled
):
    device = make_device()
    order = []
    for _ in range(4):
        device.loader.activate_next()
        device.settle()
        order.append(store.active().stem if store.active() else None)
    assert set(order) == {None, first, second, third_bundled}
    assert order[-1] == first


def test_a_bundled_model_that_was_refused_is_passed_over(make_device, store, first, third_bundled):
    store.add(tiny.build(store.directory.parent / "same.onnx", metadata={"title": "Third"}))
    store.refuse(third_bundled, "it hums")
    device = make_device()
    for _ in range(2):
        device.loader.activate_next()
        device.settle()
    assert store.active().stem == first


def test_a_scene_activates_the_model_that_its_code_names(make_device, store, first, second):
    device = make_device()
    device.loader.activate(second[:6])
    device.settle()
    assert store.active().stem == second
    device.loader.activate("0" * 6)
    device.settle()
    assert store.active().stem == second
    assert device.messages[-1] == "scene: found no model 000000 here, expected one; push it"
