"""Stage B, updates: signed, tried and taken back on a running device, and through power cuts.

The tests depend on each other, in this order.
"""

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.appliance.box import Box
from tests.appliance.conftest import skip_unless_available
from tests.appliance.root_filesystem import DEVICE
from tests.appliance.shell import Failed, run, wait_until
from tests.appliance.wheelhouse import altered, wheelhouse

pytestmark = pytest.mark.bounded(900)

HOME = "/opt/switchboard"
SERVICE, TRIAL = "switchboard", "switchboard-trial"
UPDATE_SECONDS = 400
SPOILED = "raise RuntimeError('spoiled on purpose')\n"
SLEEPS = "import time\ntime.sleep(600)\n"


@pytest.fixture(scope="module")
def device(needs, scratch) -> Iterator[Box]:
    needs("mmdebstrap", "systemd-nspawn", "pulseaudio", "parec", "nsenter", "ip", "ssh-keygen")
    with skip_unless_available("the root tree"):
        tree = DEVICE.built(timeout_seconds=900)
    with Box(tree, scratch / "update") as device:
        with skip_unless_available("the wheelhouse"):
            wheelhouse("x86_64", "3.11", device.outside / "wheelhouse")
        for name in ("key", "other"):
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", scratch / name)
            run("cp", scratch / f"{name}.pub", device.outside)
        yield device


@pytest.fixture
def bundled(device, scratch):
    """Makes a signed bundle of another version; its path on the device."""

    def bundled(version: str, *, spoil: str = "", key: str = "key") -> str:
        folder = device.outside / version
        source = folder / "wheelhouse-3.11-x86_64"
        if not source.exists():
            folder.mkdir()
            altered(device.outside / "wheelhouse", source, version, spoil=spoil)
        words = ("bundle", source, "--key", scratch / key, "--out", folder / "bundle.tar")
        device.login.switchboard(*words)
        return f"/appliance/{version}/bundle.tar"

    return bundled


def current(device: Box) -> str:
    return device.run("readlink", f"{HOME}/current").strip().removeprefix("versions/")


def on_trial(device: Box) -> bool:
    try:
        return bool(device.run("cat", f"{HOME}/trial"))
    except Failed:
        return False


def assert_whole(device: Box) -> None:
    """What plays is a complete version, with its own units, and none is on trial."""
    wait_until(lambda: not on_trial(device), "the end of the trial", timeout_seconds=180)
    folder = f"{HOME}/versions/{current(device)}"
    device.run("test", "-f", f"{folder}/complete")
    for unit in ("switchboard.service", "switchboard.service.d/box.conf"):
        device.run("cmp", f"{folder}/systemd/{unit}", f"/etc/systemd/system/{unit}")
    assert device.show("ActiveState") == "active"


def test_a_device_trusts_no_key_until_it_is_told(device, bundled):
    device.install()
    assert "allowed_signers" in device.fails("switchboard", "update", bundled("0.1.0.post1"))
    assert "SHA256:" in device.run("switchboard", "update", "--trust", "/appliance/key.pub")


def test_a_signed_version_that_plays_is_taken(device, bundled, measured):
    before = current(device)
    bundle = bundled("0.1.0.post1")
    measured(
        "a bundle", Path(device.outside / "0.1.0.post1/bundle.tar").stat().st_size / 2**20, "MiB"
    )

    begin = time.monotonic()
    output = device.run("switchboard", "update", bundle, timeout_seconds=UPDATE_SECONDS)
    measured("signed update: playing", time.monotonic() - begin, "s")

    assert "Good" in output
    assert "playing" in output
    assert current(device).startswith("0.1.0.post1-")
    assert_whole(device)
    device.playing(after=time.monotonic())
    kept = device.run("ls", f"{HOME}/versions").split()
    assert set(kept) == {before, current(device)}
    assert f"updated from {before}" in device.run("switchboard", "update")
    assert "updated from" in device.run("switchboard", "status")
    size = device.run("du", "-sm", f"{HOME}/versions/{current(device)}").split()[0]
    measured("a version on the disk", int(size), "MiB")


def test_another_key_an_older_version_and_other_bytes_are_refused(device, bundled):
    before = current(device)
    assert "--trust" in device.fails(
        "switchboard", "update", bundled("0.1.0.post2", key="other"), timeout_seconds=120
    )
    older = bundled("0.1.0.dev1")
    assert "--allow-older" in device.fails("switchboard", "update", older, timeout_seconds=120)
    with (device.outside / "0.1.0.dev1/bundle.tar").open("r+b") as file:
        file.seek(10_000_000)
        file.write(b"changed")
    assert "--trust" in device.fails("switchboard", "update", older, timeout_seconds=120)
    assert current(device) == before
    assert device.run("ls", f"{HOME}/update") == ""


@pytest.mark.parametrize(
    ("version", "spoil"),
    [("0.1.0.post3", SPOILED), ("0.1.0.post4", SLEEPS)],
    ids=["fails", "hangs"],
)
def test_a_signed_version_that_does_not_play_is_taken_back(
    device, bundled, measured, version, spoil
):
    before = current(device)
    bundle = bundled(version, spoil=spoil)
    begin = time.monotonic()
    output = device.fails("switchboard", "update", bundle, timeout_seconds=UPDATE_SECONDS)
    seconds = time.monotonic() - begin
    what = "fails" if spoil == SPOILED else "hangs"
    measured(f"update to a version that {what}: the one before plays", seconds, "s")

    assert "went back" in output
    assert ("spoiled on purpose" in output) is (spoil == SPOILED)
    assert current(device) == before
    assert device.run("ls", f"{HOME}/versions").count(version) == 0
    assert_whole(device)
    device.playing(after=time.monotonic())
    assert "went back" in device.run("sh", "-c", "switchboard doctor || true")


def test_a_trial_goes_on_without_the_one_who_began_it(device, bundled):
    update = device.begin("switchboard", "update", bundled("0.1.0.post5"))
    wait_until(lambda: on_trial(device), "a trial", timeout_seconds=UPDATE_SECONDS)
    for name in ("switchboard update", "install.sh"):
        device.run("sh", "-c", f"pkill -KILL -f '[{name[0]}]{name[1:]}' || true")
    update.wait(30)
    if device.show("ActiveState", TRIAL) == "inactive" and on_trial(device):
        # It was cut off before the trial began: the next boot decides.
        device.pull_plug()
        device.boot()
    assert_whole(device)
    device.playing(after=time.monotonic())


@pytest.mark.parametrize("spoil", ["", SPOILED], ids=["plays", "does not start"])
def test_after_a_cut_in_the_trial_the_next_boot_decides(device, bundled, measured, spoil):
    before = current(device)
    version = "0.1.0.post7" if spoil else "0.1.0.post6"
    update = device.begin("switchboard", "update", bundled(version, spoil=spoil))
    wait_until(lambda: on_trial(device), "a trial", timeout_seconds=UPDATE_SECONDS)
    device.pull_plug()
    update.wait(30)

    begin = time.monotonic()
    device.boot()
    device.playing(after=begin)
    measured("power-on to sound after a cut trial", time.monotonic() - begin, "s")
    assert_whole(device)
    assert (current(device) == before) is bool(spoil)


def test_after_a_cut_while_it_is_installed_the_version_before_plays(device, bundled):
    before = current(device)
    bundle = bundled("0.1.0.post8")
    update = device.begin("switchboard", "update", bundle)
    installing = f"ls -d {HOME}/versions/0.1.0.post8-*/lib"
    with suppress(Failed):
        wait_until(lambda: device.run("sh", "-c", installing), "pip", timeout_seconds=60)
    device.pull_plug()
    update.wait(30)
    begin = time.monotonic()
    device.boot()
    device.playing(after=begin)
    assert current(device) == before
    assert_whole(device)
    # What was left is no obstacle.
    device.run("switchboard", "update", bundle, timeout_seconds=UPDATE_SECONDS)
    assert current(device).startswith("0.1.0.post8-")
    assert_whole(device)
    assert len(device.run("ls", f"{HOME}/versions").split()) == 2
