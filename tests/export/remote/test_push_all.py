"""`push --all`: to the paired devices that announce themselves, over a real sshd."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("zeroconf")

from device.store.store import ModelStore
from export.remote.discovery import DiscoveryError
from export.remote.paired_boxes import PairedBox, remember
from export.remote.ssh import Host, HostUnreachable
from tests.support.announcer import LOOPBACK, announced_on_loopback, announcement
from tests.support.loopback_sshd import LoopbackBox

COMMAND = str(Path(sys.executable).parent / "switchboard")
# An address of this machine at which no ssh listens.
SWITCHED_OFF = "127.0.0.2"


@pytest.fixture
def device(tmp_path):
    """A device and its owner's workstation."""
    with LoopbackBox(tmp_path / "device") as device:
        yield device


def switchboard(device, *words):
    return subprocess.run(
        [COMMAND, *words],
        env={**os.environ, **device.environment},
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def push_all(device, model):
    return switchboard(device, "push", "--all", "--interface", LOOPBACK, str(model))


def paired_file(device):
    return device.config / "switchboard" / "paired.json"


def test_every_paired_device_that_is_found_gets_the_model_and_no_other(device, tiny_model):
    assert switchboard(device, "pair", device.host, *device.options).returncode == 0
    remember(paired_file(device), PairedBox(Host("me", "away.local")))
    with announced_on_loopback(
        announcement("Studio", "studio.local."),
        announcement("Stranger", "stranger.local.", address="127.0.0.3"),
    ):
        done = push_all(device, tiny_model)
    assert done.returncode == 0, done.stderr
    assert ModelStore(device.store).active().read_bytes() == tiny_model.read_bytes()
    # One line, of the device under the name that its owner gave it.
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == [device.host]
    assert "away.local: paired, not found now" in done.stderr
    assert "stranger" not in done.stdout + done.stderr


def test_a_device_that_fails_does_not_stop_the_others(device, tiny_model):
    off = PairedBox(Host(device.user, SWITCHED_OFF), device.port)
    remember(paired_file(device), off)
    assert switchboard(device, "pair", device.host, *device.options).returncode == 0
    with announced_on_loopback(
        announcement("Studio", "studio.local."),
        announcement("Kitchen", "kitchen.local.", address=SWITCHED_OFF),
    ):
        done = push_all(device, tiny_model)
    assert done.returncode == HostUnreachable.exit_code
    assert ModelStore(device.store).active().read_bytes() == tiny_model.read_bytes()
    assert f"{off.host}" in done.stdout and "not reached" in done.stdout
    assert "accepted" in done.stdout


def test_without_a_paired_device_in_the_network_nothing_is_pushed(device, tiny_model):
    with announced_on_loopback(announcement("Stranger", "stranger.local.")):
        done = push_all(device, tiny_model)
    assert done.returncode == DiscoveryError.exit_code
    assert "found none of 0 paired devices" in done.stderr
