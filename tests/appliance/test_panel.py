"""Stage B, the phone panel: installed by an option, started by a browser, gone with an option."""

import json
from collections.abc import Iterator

import pytest

from tests.appliance.box import Box
from tests.appliance.conftest import skip_unless_available
from tests.appliance.root_filesystem import DEVICE
from tests.appliance.shell import wait_until
from tests.appliance.wheelhouse import wheelhouse

pytestmark = pytest.mark.bounded(1500)

PANEL, PORT = "switchboard-panel", 8077
# A request as a phone makes it, from a process that has nothing but Python.
ASK = """
import json, sys, urllib.request
path, token, body = sys.argv[1:]
request = urllib.request.Request("http://127.0.0.1:8077" + path, body.encode() or None)
request.add_header("Authorization", "Bearer " + token)
request.add_header("Content-Type", "application/json")
answer = urllib.request.urlopen(request, timeout=60)
print(answer.status, answer.readline().decode())
"""


@pytest.fixture(scope="module")
def device(needs, scratch) -> Iterator[Box]:
    needs("mmdebstrap", "systemd-nspawn", "pulseaudio", "parec", "nsenter", "ip", "ssh-keygen")
    with skip_unless_available("the root tree"):
        tree = DEVICE.built(timeout_seconds=900)
    with Box(tree, scratch / "panel") as device:
        with skip_unless_available("the wheelhouse"):
            wheelhouse("x86_64", "3.11", device.outside / "wheelhouse")
        yield device


def listening(device: Box) -> list[str]:
    lines = device.run("ss", "--no-header", "--listening", "--tcp", "--udp", "--processes")
    return [line for line in lines.splitlines() if f":{PORT}" in line]


def token(device: Box) -> str:
    return device.run("cat", "/var/lib/switchboard-panel/token").strip()


def ask(device: Box, path: str, body: str = "") -> str:
    python = "/opt/switchboard/current/bin/python"
    return device.run(python, "-c", ASK, path, token(device), body, timeout_seconds=90)


def test_by_default_nothing_of_it_is_there(device):
    device.install()
    assert not listening(device)
    device.fails("systemctl", "cat", f"{PANEL}.socket")
    device.fails("ls", "/run/switchboard/control.sock")


def test_the_option_prints_a_link_and_systemd_listens(device):
    output = device.run(*device.installer(), "--panel", timeout_seconds=300)
    assert f":{PORT}/#{token(device)}" in output
    (line,) = listening(device)
    assert "systemd" in line
    assert device.show("ActiveState", f"{PANEL}.service") == "inactive"
    mode = device.run("stat", "--format=%a %U", "/var/lib/switchboard-panel/token")
    assert mode.strip() == "600 root"


def test_a_browser_starts_it_and_a_flip_reaches_the_instrument(device):
    device.settled()
    assert ask(device, "/").startswith("200 <!doctype html>")
    assert ask(device, "/api/command", json.dumps({"do": "flip", "switch": 2})).startswith("204")

    def held() -> bool:
        status = device.run("/usr/local/bin/switchboard", "status", "--json")
        return bool(json.loads(status)["held_by"] == {"2": "phone"})

    wait_until(held, "the flip in the status", timeout_seconds=30)


def test_it_is_a_user_of_its_own_that_may_do_little(device, measured):
    pid = device.pid(f"{PANEL}.service")
    status = device.run("cat", f"/proc/{pid}/status")
    (uid,) = {int(word) for line in status.splitlines() if line.startswith("Uid:")
              for word in line.split()[1:]}  # fmt: skip
    instrument = device.run("id", "-u", "switchboard").strip()
    assert uid not in (0, int(instrument))
    resident = int(status.split("VmRSS:")[1].split()[0]) / 1024
    measured("resident while the panel answers", resident, "MB", 25)
    assert "CapEff:\t0000000000000000" in status
    # Of the host's network it has the connections of its port, and nothing else.
    network = f"/proc/{pid}/ns/net", "/proc/1/ns/net"
    assert len({device.run("readlink", path) for path in network}) == 2
    instrument_network = device.run("readlink", f"/proc/{device.pid()}/ns/net")
    assert instrument_network != device.run("readlink", "/proc/1/ns/net")


def test_without_it_again_nothing_listens_and_the_token_is_gone(device):
    device.run(*device.installer(), "--no-panel", timeout_seconds=300)
    assert not listening(device)
    device.fails("ls", "/var/lib/switchboard-panel")
    device.settled()
