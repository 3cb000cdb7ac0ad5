"""A new version on trial: it plays, or the one before does, wherever the power is cut."""

import itertools
import json
import random
import re

import pytest

from tests.support.simulated_systemd import HOME, TRIAL_UNIT, UNITS, SimulatedDevice


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    return SimulatedDevice(tmp_path_factory.mktemp("device") / "installed")


@pytest.fixture
def make_device(installed, tmp_path):
    n_devices = itertools.count()

    def make(*, spoiled=False):
        device = installed.copy(tmp_path / str(next(n_devices)))
        if spoiled:
            device.spoil("new")
        return device

    return make


def outcome(device):
    return json.loads((device.root / HOME / "last-update.json").read_text(encoding="utf-8"))


def on_trial(device):
    return (device.root / HOME / "trial").exists()


def assert_whole(device):
    """What plays is what the next boot would play: link, units and folder are of one version."""
    assert device.playing == device.current
    assert (device.version(device.current) / "complete").exists()
    for unit in ("switchboard.service", "switchboard.service.d/box.conf"):
        text = (device.root / UNITS / unit).read_text(encoding="utf-8")
        assert f"# of {device.current}\n" in text
    assert not on_trial(device)


def test_a_version_that_plays_is_taken_and_the_one_before_is_kept(make_device):
    device = make_device()
    assert device.activate()
    assert device.playing == "new"
    assert_whole(device)
    assert (device.version("old") / "complete").exists()
    assert (outcome(device)["outcome"], outcome(device)["before"]) == ("plays", "old")


def test_a_version_that_does_not_start_is_taken_back_and_removed(make_device):
    device = make_device(spoiled=True)
    assert device.activate() is False
    assert device.playing == "old"
    assert_whole(device)
    assert not device.version("new").exists()
    assert outcome(device)["outcome"] == "back"
    assert "version new is not taken" in device.output


def test_a_version_that_is_silent_is_taken_back(make_device):
    device = make_device()
    status = device.root / "run/switchboard/status.json"
    status.parent.mkdir()
    status.touch()
    (device.version("new") / "heard").unlink()
    assert device.activate() is False
    assert device.playing == "old"
    assert_whole(device)


@pytest.mark.parametrize("before", ["playing old on a card", "playing old unheard, waiting for x"])
def test_a_version_without_a_card_is_taken_back_if_the_one_before_had_one(make_device, before):
    device = make_device()
    device.says("old", before)
    device.says("new", "playing new unheard, waiting for x")
    assert device.activate() is ("unheard" in before)
    assert device.playing == ("new" if "unheard" in before else "old")
    assert_whole(device)


@pytest.mark.parametrize("spoiled", [False, True])
def test_a_version_that_was_only_installed_is_tried_by_the_next_boot(make_device, spoiled):
    device = make_device(spoiled=spoiled)
    assert device.activate(start="")
    assert on_trial(device)
    device.boot()
    assert device.playing == ("old" if spoiled else "new")
    assert_whole(device)


def test_a_version_that_is_not_complete_is_never_started(make_device):
    device = make_device()
    device.activate(start="")
    (device.version("new") / "complete").unlink()
    device.boot()
    assert device.playing == "old"
    assert_whole(device)


def test_a_version_that_takes_the_device_down_is_not_tried_for_ever(make_device):
    device = make_device()
    device.activate(start="")
    device.boot()
    steps = device.n_steps
    device = make_device()
    device.activate(start="")
    for _ in range(2):
        # In the middle of the first sound.
        assert device.boot(cut=steps - 3) is None
        assert on_trial(device)
    device.boot()
    assert device.playing == "old"
    assert_whole(device)
    assert outcome(device)["reason"] == "its trial was cut off 2 times"


@pytest.mark.parametrize("spoiled", [False, True])
def test_a_trial_whose_installer_is_ended_is_decided_at_once(make_device, spoiled):
    device = make_device(spoiled=spoiled)
    assert device.begin_and_end() is False
    assert device.playing == ("old" if spoiled else "new")
    assert_whole(device)


def test_the_version_before_stays_the_one_that_has_played(make_device):
    """Another version, installed before the first was tried, goes back behind both."""
    device = make_device(spoiled=True)
    device.activate(start="")
    assert device.activate() is False
    assert device.playing == "old"
    assert_whole(device)


@pytest.mark.parametrize("spoiled", [False, True], ids=["plays", "does not start"])
def test_after_a_cut_at_any_step_one_whole_version_plays(make_device, spoiled):
    device = make_device(spoiled=spoiled)
    assert device.activate(keep=True) is not spoiled
    n_cuts = 0
    for cut in device.cuts():
        cut.boot()
        assert cut.playing in (("old",) if spoiled else ("old", "new")), (n_cuts, cut.output)
        assert_whole(cut)
        n_cuts += 1
    assert n_cuts > 20


def test_after_two_cuts_one_whole_version_plays(make_device):
    rng = random.Random(1)
    for n in range(10):
        spoiled = n % 2 == 0
        device = make_device(spoiled=spoiled)
        device.activate(cut=rng.randint(1, 40))
        device.boot(cut=rng.randint(1, 40))
        device.boot()
        assert device.playing in (("old",) if spoiled else ("old", "new")), device.output
        assert_whole(device)


def test_the_trial_is_enabled_and_runs_only_while_a_version_is_on_trial(make_device):
    device = make_device()
    wanted = device.root / UNITS / "multi-user.target.wants" / TRIAL_UNIT
    assert str(wanted.readlink()) == f"/{UNITS}/{TRIAL_UNIT}"
    text = (device.root / UNITS / TRIAL_UNIT).read_text(encoding="utf-8")
    assert re.search(r"^ConditionPathExists=/opt/switchboard/trial$", text, re.M)
    assert re.search(r"^Before=switchboard.service", text, re.M)
