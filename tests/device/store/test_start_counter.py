"""How the starts of a model ended decides whether it is rolled back."""

import io
import itertools
import json
from pathlib import Path

import pytest

from device.store.start_counter import MOST_CRASHES, MOST_REBOOTS, MOST_STARTS, StartCounter


def add(store, text):
    return store.add(io.BytesIO(text.encode()))


def test_a_model_that_crashes_the_device_at_start_is_rolled_back(store):
    one, two = add(store, "one"), add(store, "two")
    store.activate(one)
    store.activate(two)
    assert [store.record_start_attempt() for _ in range(MOST_STARTS)] == [
        store.path(two)
    ] * MOST_STARTS
    assert store.record_start_attempt() == store.path(one)
    assert "crashed" in store.refusal(two)
    assert store.record_start_attempt() == store.path(one)
    assert store.record_start_attempt() is None
    assert store.record_start_attempt() is None


def test_long_play_clears_earlier_starts_and_crashes(store):
    one = add(store, "one")
    store.activate(one)
    for _ in range(5):
        store.record_start_attempt()
        assert store.record_start_attempt() == store.path(one)
        store.confirm_running()
        store.clear_crash_history()


@pytest.fixture
def crashing(store):
    """Two models, and a function that makes the second one crash n times after it has played."""
    one, two = add(store, "one"), add(store, "two")
    store.activate(one)
    store.activate(two)

    def crash(n_times):
        for _ in range(n_times):
            assert store.record_start_attempt() == store.path(two)
            store.confirm_running()

    return store.path(one), store.path(two), crash


def test_a_model_that_crashes_the_device_repeatedly_is_rolled_back_however_long_it_played(
    store, crashing
):
    one, two, crash = crashing
    crash(MOST_CRASHES)
    assert store.record_start_attempt() == one
    assert store.refusal(two.stem) == f"the device crashed {MOST_CRASHES} times while it played"


def test_a_requested_stop_is_no_crash_and_clears_none(store, crashing):
    one, two, crash = crashing
    for _ in range(3):
        store.record_start_attempt()
        store.confirm_running()
        store.record_clean_stop()
    crash(MOST_CRASHES - 1)
    assert store.record_start_attempt() == two
    store.record_clean_stop()
    crash(1)
    assert store.record_start_attempt() == one


def test_long_play_clears_all_earlier_crashes(store, crashing):
    _, two, crash = crashing
    crash(MOST_CRASHES - 1)
    assert store.record_start_attempt() == two
    store.clear_crash_history()
    # The end of that one was a crash as well.
    crash(MOST_CRASHES - 1)
    assert store.refusal(two.stem) is None


def test_plugs_pulled_while_it_played_are_no_crashes(store, crashing, reboot):
    _, two, _ = crashing
    for _ in range(3 * MOST_REBOOTS):
        reboot()
        assert store.record_start_attempt() == two
        store.confirm_running()


def test_a_crash_is_remembered_across_a_pulled_plug(store, crashing, reboot):
    one, _, crash = crashing
    for _ in range(MOST_CRASHES - 1):
        reboot()
        crash(2)
    reboot()
    crash(1)
    assert store.record_start_attempt() == one


def test_without_boot_numbers_no_end_counts_as_a_crash(store, crashing, tmp_path):
    _, two, crash = crashing
    store._starts = StartCounter(store.directory / "starts.json", tmp_path / "none")
    crash(2 * MOST_CRASHES)
    assert store.refusal(two.stem) is None


def test_a_crash_while_the_bundled_model_plays_counts_against_no_other(store, crashing):
    _, two, crash = crashing
    for _ in range(2 * MOST_CRASHES):
        crash(1)
        store.activate(None)
        store.record_takeover()
        store.activate(two.stem)
        store.clear_crash_history()
    assert store.refusal(two.stem) is None


def test_files_of_an_older_version_can_be_read_and_it_can_read_ours(store):
    one = add(store, "one")
    store.activate(one)
    starts, boot = store.directory / "starts.json", StartCounter(Path("x"))._boot()
    old = {"digest": one, "n": MOST_STARTS, "boot": boot, "n_downs": 1}
    starts.write_text(json.dumps(old), encoding="utf-8")
    assert store._starts.n_reboots_of(one) == 1
    assert store.record_start_attempt() is None
    store.activate(add(store, "two"))
    store.record_start_attempt()
    new = json.loads(starts.read_text(encoding="utf-8"))
    assert old.keys() <= new.keys()
    assert new["n"] == 1
    store.confirm_running()
    # An older version counts starts without success, and there was none.
    assert json.loads(starts.read_text(encoding="utf-8"))["n"] == 0
    store.record_clean_stop()
    assert not starts.exists()


def test_starts_of_another_model_do_not_count(store):
    one, two = add(store, "one"), add(store, "two")
    store.activate(one)
    store.record_start_attempt()
    store.record_start_attempt()
    store.activate(two)
    assert store.record_start_attempt() == store.path(two)
    assert store.record_start_attempt() == store.path(two)
    assert store.record_start_attempt() == store.path(one)


@pytest.fixture
def taken_over(store):
    """Two models, of which the second has taken over while the first one played."""
    one, two = add(store, "one"), add(store, "two")
    store.activate(one)
    store.activate(two)
    store.record_takeover()
    return store.path(one), store.path(two)


def test_one_crash_soon_after_a_takeover_is_enough(store, taken_over):
    one, two = taken_over
    assert store.record_start_attempt() == one
    assert "crashed" in store.refusal(two.stem)


@pytest.fixture
def reboot(store, tmp_path):
    """A function that simulates a reboot of the machine."""
    boots = itertools.count()

    def reboot():
        boot_id = tmp_path / "boot_id"
        boot_id.write_text(f"boot {next(boots)}", encoding="ascii")
        store._starts = StartCounter(store.directory / "starts.json", boot_id)

    return reboot


def test_a_plug_pulled_soon_after_a_takeover_is_no_crash(store, taken_over, reboot):
    one, two = taken_over
    reboot()
    # It gets as many starts as any other model.
    assert [store.record_start_attempt() for _ in range(MOST_STARTS)] == [two] * MOST_STARTS
    assert store.record_start_attempt() == one


def test_plugs_pulled_during_its_starts_do_not_make_a_model_bad(store, reboot):
    one = add(store, "one")
    store.activate(one)
    for _ in range(MOST_REBOOTS - 1):
        reboot()
        assert store.record_start_attempt() == store.path(one)
    store.confirm_running()
    reboot()
    assert store.record_start_attempt() == store.path(one)
    assert store.refusal(one) is None


def test_a_start_that_succeeds_sets_the_count_of_reboots_to_zero_in_the_file(store, reboot):
    one = add(store, "one")
    store.activate(one)
    for _ in range(2):
        reboot()
        store.record_start_attempt()
    starts = store.directory / "starts.json"
    assert json.loads(starts.read_text(encoding="utf-8"))["n_downs"] == 1
    store.confirm_running()
    content = json.loads(starts.read_text(encoding="utf-8"))
    assert content["n_downs"] == 0
    assert content.keys() == {"digest", "n", "boot", "n_downs", "n_crashes", "running"}


def test_crashes_before_a_reboot_do_not_count_as_failed_starts(store, reboot):
    one = add(store, "one")
    store.activate(one)
    for _ in range(2):
        reboot()
        assert [store.record_start_attempt() for _ in range(MOST_STARTS)] == [
            store.path(one)
        ] * MOST_STARTS


def test_a_model_that_takes_the_machine_down_every_time_is_rolled_back(store, reboot):
    one, two = add(store, "one"), add(store, "two")
    store.activate(one)
    store.activate(two)
    for _ in range(MOST_REBOOTS):
        reboot()
        assert store.record_start_attempt() == store.path(two)
    reboot()
    assert store.record_start_attempt() == store.path(one)
    assert "crashed" in store.refusal(two)


def test_a_model_that_took_over_and_was_confirmed_is_no_longer_suspect(store, taken_over):
    _, two = taken_over
    store.confirm_running()
    assert store.record_start_attempt() == store.record_start_attempt() == two


def test_the_bundled_model_that_takes_over_is_no_suspect(store):
    store.record_takeover()
    assert store.record_start_attempt() is None
