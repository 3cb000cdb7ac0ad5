"""`switchboard report` on a simulated board, and what it must not say."""

import getpass
import json
import platform
import time
from pathlib import Path

import pytest

from device.cli import main
from device.commands import board_facts
from device.commands.checks import FALLBACK, UNIT
from device.commands.report import collect
from device.ui.status_file import FIELDS
from tests.support.simulated_pi import SimulatedPi

pytestmark = pytest.mark.usefixtures("own_folder")

# What systemd says of a service that took 1.9 s to its first block.
STARTED = {
    "ActiveState": "active",
    "ExecMainStartTimestampMonotonic": "4100000",
    "ActiveEnterTimestampMonotonic": "6000000",
    "NRestarts": "0",
    "MemoryCurrent": "98566144",
    "StatusText": "playing 'Secret title' on Secret card",
}
CARDS = """\
 0 [Headphones     ]: bcm2835_headpho - bcm2835 Headphones
                      bcm2835 Headphones
 1 [Device         ]: USB-Audio - USB Audio Device
                      Maker USB Audio Device at usb-0000:01:00.0-1.2, full speed
"""
BUFFER = """\
access: RW_INTERLEAVED
format: S16_LE
rate: 44100 (44100/1)
period_size: 256
buffer_size: 1058
"""


@pytest.fixture
def pi(tmp_path):
    pi = SimulatedPi(tmp_path / "pi")
    pi.file("/proc/device-tree/model", "Raspberry Pi 4 Model B Rev 1.4\0")
    pi.file("/proc/device-tree/serial-number", "100000001234abcd\0")
    pi.file("/etc/os-release", 'NAME="Debian"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n')
    pi.file("/etc/hostname", "secretname\n")
    pi.file("/proc/sys/kernel/osrelease", "6.12.0-v8+\n")
    pi.file("/proc/meminfo", "MemTotal:        1898920 kB\nMemFree: 1 kB\n")
    pi.file("/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq", "1800000\n")
    pi.file("/sys/class/thermal/thermal_zone0/temp", "48312")
    pi.file("/proc/asound/cards", CARDS)
    pi.file("/proc/asound/card1/pcm0p/sub0/hw_params", BUFFER)
    pi.file("/proc/asound/card0/pcm0p/sub0/hw_params", "closed\n")
    pi.outputs["vcgencmd", "get_throttled"] = "throttled=0x50000"
    pi.units[UNIT] = STARTED
    return pi


def test_it_names_board_system_card_buffer_and_start_up_times(pi):
    sections = collect(pi.host(), Path("none.json"), seconds=None)
    board = sections["Board"]
    assert board["board"] == "Raspberry Pi 4 Model B Rev 1.4"
    assert board["system"] == "Debian GNU/Linux 12 (bookworm)"
    assert (board["kernel"], board["memory"]) == ("6.12.0-v8+", "1854 MiB")
    assert board["clock"] == "at most 1800 MHz"
    sound = sections["Sound"]
    assert sound["sound cards"] == (
        "bcm2835_headpho - bcm2835 Headphones; USB-Audio - USB Audio Device"
    )
    assert sound["buffer of card1"] == "1058 frames in periods of 256, 44100 Hz, S16_LE"
    assert "buffer of card0" not in sound
    service = sections["Service"]
    assert service["unit"] == UNIT
    assert service["start to first block"] == "1.90 s"
    assert service["memory of the unit"] == "94 MiB"
    assert "throttled" in sections["doctor"]["power"]


def test_the_fallback_is_a_service_that_plays(pi):
    pi.units = {UNIT: {"ActiveState": "failed"}, FALLBACK: {**STARTED, "NRestarts": "2"}}
    service = board_facts.service(pi.host())
    assert (service["unit"], service["restarts"]) == (FALLBACK, "2")


def test_it_names_no_host_account_serial_title_or_place(pi):
    text = json.dumps(collect(pi.host(), Path("none.json"), seconds=None))
    secrets = ("secretname", "1234abcd", "Secret", "usb-0000", str(Path.home()), str(pi.root))
    assert [secret for secret in (*secrets, platform.node()) if secret in text] == []
    assert f"{getpass.getuser()} may" not in text


def test_what_cannot_be_found_out_is_unknown(tmp_path):
    pi = SimulatedPi(tmp_path / "nothing")
    sections = collect(pi.host(), Path("none.json"), seconds=None)
    assert sections["Board"]["kernel"] is None
    assert sections["Sound"]["sound cards"] == "none"
    assert sections["Service"] == sections["The instrument that plays"] == {}


def test_figures_of_the_instrument_that_plays_are_those_of_its_status(pi):
    status = {
        **dict.fromkeys(FIELDS),
        "written_at": time.time(),
        "model": {"title": "Secret title", "digest": "00", "origin": "store"},
        "switch_to_sound_p50_ms": 42.0,
        "underruns": 3,
        "governor": {"n_lowered": 1},
    }
    Path("status.json").write_text(json.dumps(status), encoding="utf-8")
    sections = collect(pi.host(), Path("status.json"), seconds=None)
    playing = sections["The instrument that plays"]
    assert (playing["switch_to_sound_p50_ms"], playing["underruns"]) == ("42.0", "3")
    assert playing["governor n_lowered"] == "1"
    assert playing["temperature_celsius"] is None
    assert "Secret" not in json.dumps(sections)


def test_the_verb_prints_markdown_with_the_figures_of_bench(capsys):
    assert main(["report", "--seconds", "1", "--status", "none.json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "## switchboard report"
    assert lines[-1].startswith("Left out: ")
    fields = {line.split(" | ")[0].strip("| ") for line in lines if line.startswith("| ")}
    assert fields >= {"board", "core_percent", "block_p99_ms", "flip_to_heard_p50_ms", "underruns"}
    assert "| measured | no service played |" in lines


def test_json_has_the_same_fields(capsys):
    assert main(["report", "--no-bench", "--status", "none.json", "--json"]) == 0
    sections = json.loads(capsys.readouterr().out)
    assert "bench" not in sections
    assert sections["Versions"]["numpy"]


def test_text_of_the_system_breaks_neither_table_nor_page(pi, capsys, monkeypatch):
    pi.file("/proc/device-tree/model", "Pi | <img src=x> @team \x1b[2J")
    monkeypatch.setattr("device.commands.report.Host", pi.host)
    assert main(["report", "--no-bench", "--status", "none.json"]) == 0
    (line,) = [
        line for line in capsys.readouterr().out.splitlines() if line.startswith("| board | Pi")
    ]
    assert line == "| board | Pi \\| &lt;img src=x> &#64;team \\\\x1b[2J |"
