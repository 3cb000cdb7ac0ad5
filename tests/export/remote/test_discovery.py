"""Finding devices: real multicast DNS on the loopback, and announcements that lie."""

import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("zeroconf")

from device.cli import main
from export.remote import discovery
from export.remote.discovery import SERVICE, announced, find_boxes
from export.remote.paired_boxes import PairedBox, read_paired, remember
from export.remote.ssh import Host
from tests.support.announcer import LOOPBACK, announced_on_loopback, announcement

# As long as by default: a responder answers late what it has just announced.
ON_LOOPBACK = ["--interface", LOOPBACK]
ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def config(tmp_path, monkeypatch):
    """The folder of this workstation's settings."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config" / "switchboard"


def test_a_device_that_announces_itself_is_listed(tmp_path, config):
    remember(config / "paired.json", PairedBox(Host("switchboard", "studio.local"), 22))
    with announced_on_loopback(
        announcement("Studio", "studio.local."), announcement("Kitchen", "Kitchen.local.")
    ):
        done = subprocess.run(
            [Path(sys.executable).parent / "switchboard", "boxes", "--interface", LOOPBACK],
            capture_output=True,
            text=True,
            check=True,
            env={"XDG_CONFIG_HOME": str(tmp_path / "config"), "HOME": str(tmp_path)},
        )
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["kitchen.local", "-", "0.1.0", LOOPBACK, "Kitchen"],
        ["studio.local", "paired", "0.1.0", LOOPBACK, "Studio"],
    ]


def test_the_list_as_json(capsys):
    with announced_on_loopback(announcement("Studio", "studio.local.", port=2222)):
        assert main(["boxes", "--json", *ON_LOOPBACK]) == 0
    assert json.loads(capsys.readouterr().out) == [
        {
            "name": "Studio",
            "host": "studio.local",
            "port": 2222,
            "addresses": [LOOPBACK],
            "version": "0.1.0",
            "is_paired": False,
        }
    ]


def test_where_no_device_is_the_list_is_empty_and_says_what_to_do(capsys):
    assert main(["boxes", *ON_LOOPBACK]) == 0
    output = capsys.readouterr()
    assert output.out == ""
    assert "--advertise" in output.err


def test_a_false_announcement_hides_no_other_device():
    services = (
        announcement("Proxy", "-oProxyCommand=reboot.local."),
        announcement("Elsewhere", "example.com."),
        announcement("\u202eTerminal", "terminal.local.", version="\x1b]0;owned\x07"),
        announcement("Studio", "studio.local."),
    )
    with announced_on_loopback(*services):
        boxes = find_boxes(interface=LOOPBACK)
    assert [box.host for box in boxes] == ["studio.local", "terminal.local"]
    assert boxes[1].name == r"\u202eTerminal"
    assert "\x1b" not in boxes[1].version


@given(host=st.text(max_size=80), port=st.integers(0, 65535), version=st.text(max_size=120))
def test_what_is_announced_is_a_plain_host_or_nothing(host, port, version):
    box = announced(announcement("x", host + ".", port=port, version=version))
    if box is not None:
        assert Host.parse(box.host) == Host(None, box.host)
        assert box.host.endswith(".local")
        assert not box.host.startswith("-")
        assert box.version.isprintable() and len(box.version) <= 80
        assert box.port > 0


@pytest.mark.parametrize(
    "text", ["studio", "-studio.local", "a b.local", "me@studio.local", ".local"]
)
def test_a_host_of_another_form_is_no_device(text):
    assert announced(announcement("x", f"{text}.")) is None


def test_a_network_full_of_announcements_is_cut_off(monkeypatch):
    monkeypatch.setattr(discovery, "MOST_BOXES", 1)
    with announced_on_loopback(
        announcement("Studio", "studio.local."), announcement("Kitchen", "kitchen.local.")
    ):
        assert len(find_boxes(interface=LOOPBACK)) == 1


@pytest.mark.parametrize(
    ("address", "message"),
    [("eth0", "expected the IPv4 address"), ("203.0.113.9", "with multicast")],
)
def test_an_interface_that_is_not_there(address, message, capsys):
    assert main(["boxes", "--interface", address]) == discovery.DiscoveryError.exit_code
    assert message in capsys.readouterr().err


def test_the_file_for_avahi_announces_what_is_searched_for():
    """And the port of ssh, and no more than 15 characters of a service's name (RFC 6335)."""
    group = ElementTree.parse(ROOT / "systemd/switchboard.avahi").getroot()
    kind = group.findtext("service/type")
    assert f"{kind}.local." == SERVICE
    assert len(kind.removeprefix("_").removesuffix("._tcp")) <= 15
    assert group.findtext("service/port") == "22"
    assert group.findtext("service/txt-record") == "version=VERSION"


def test_a_pairing_is_remembered_once(config):
    file = config / "paired.json"
    studio = Host("switchboard", "studio.local")
    remember(file, PairedBox(studio))
    remember(file, PairedBox(Host("me", "192.168.1.20"), 2222))
    remember(file, PairedBox(studio, 23))
    assert read_paired(file) == [
        PairedBox(Host("me", "192.168.1.20"), 2222),
        PairedBox(studio, 23),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"devices": 1}',
        '{"devices": [{"user": "me", "host": "-oProxyCommand=x", "port": null}]}',
        '{"devices": [{"user": "-l", "host": "studio.local", "port": null}]}',
        '{"devices": [{"user": "me", "host": "studio.local", "port": "22 -v"}]}',
        '{"devices": [{"user": "me", "host": "studio.local", "port": -1}]}',
    ],
)
def test_a_damaged_list_of_devices_names_none(config, text):
    config.mkdir(parents=True)
    (config / "paired.json").write_text(text, encoding="utf-8")
    assert read_paired(config / "paired.json") == []
