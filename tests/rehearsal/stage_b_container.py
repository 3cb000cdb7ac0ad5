"""Stage B: the box as a container, from the one command that installs it to its removal.

A whole Debian boots with its own systemd: the unit, its sandbox, the watchdog, sshd and the way of
the sound to a PulseAudio outside are real. The switches are bytes in a file, and the kernel is this
machine's. The tests tell one story, in this order.
"""

import random
import time
from collections.abc import Iterator

import pytest

from device.state import Bits
from tests.rehearsal import voice
from tests.rehearsal.box import UNITS, Box
from tests.rehearsal.conftest import to_be_had
from tests.rehearsal.ear import SAMPLE_RATE
from tests.rehearsal.shell import wait_until
from tests.rehearsal.trees import BOX
from tests.rehearsal.wheelhouse import altered, wheelhouse

pytestmark = pytest.mark.bounded(300)

SERVICE, FALLBACK = UNITS
TREE_SECONDS = 900
N_SWITCHES = 8
WATCHDOG_SECONDS = 10
HOME, STATE = "/opt/switchboard", "/var/lib/switchboard"
SETTINGS = "/etc/switchboard/switchboard.toml"
# All that the service may write to; /tmp and /var/tmp are its own and go with it.
WRITABLE = (STATE, "/run/switchboard", "/tmp", "/var/tmp")


@pytest.fixture(scope="module")
def box(needs) -> Iterator[Box]:
    needs("mmdebstrap", "systemd-nspawn", "pulseaudio", "parec", "nsenter", "ip")
    with to_be_had("the root tree"):
        tree = BOX.built(timeout_seconds=TREE_SECONDS)
    with Box(tree) as box:
        with to_be_had("the wheelhouse"):
            wheelhouse("x86_64", "3.11", box.outside / "wheelhouse")
        yield box


def test_one_command_without_a_network_and_it_plays(box, measured):
    begin = time.monotonic()
    said = box.install()
    measured("one command: installed and playing", time.monotonic() - begin, "s")

    assert "playing" in said
    box.playing(after=begin)


def test_it_plays_from_power_on_with_the_switches_as_they_stand(box, measured):
    bits = (True, False, False, True, False, False, False, True)
    box.panel.set(bits)

    begin = time.monotonic()
    box.pull_plug_and_boot()
    measured("power-on to READY", time.monotonic() - begin, "s", 4)

    measured("power-on to first sound", box.playing(after=begin), "s")
    assert f"switches {spelt(bits)}" in box.show("StatusText")


def test_a_start_takes_little_time_and_memory(box, measured):
    box.run("systemctl", "stop", SERVICE)
    time.sleep(1)
    begin = time.monotonic()
    box.run("systemctl", "start", SERVICE)
    measured("service start to READY", time.monotonic() - begin, "s")
    measured("service start to first sound", box.playing(after=begin), "s", 1.5)

    box.ear.listen(10)
    status = box.run("cat", f"/proc/{box.pid()}/status")
    resident = int(status.split("VmRSS:")[1].split()[0]) / 1024
    measured("resident while the bundled model plays", resident, "MB", 120)


def test_nothing_listens_on_a_port_but_the_systems_sshd(box):
    listening = box.run("ss", "--no-header", "--listening", "--tcp", "--udp", "--processes")

    assert listening
    assert [line for line in listening.splitlines() if "sshd" not in line] == []


def test_the_service_writes_nowhere_but_into_its_state(box):
    inside = ("nsenter", f"--target={box.pid()}", "--mount")
    as_service = ("setpriv", "--reuid=switchboard", "--regid=switchboard", "--init-groups")
    places = box.run(
        *inside, *as_service, "sh", "-c",
        "find / -path /proc -prune -o -path /dev -prune -o ! -type l -writable -print 2>/dev/null; true",
    )  # fmt: skip

    beyond = [place for place in places.splitlines() if not place.startswith(WRITABLE)]
    assert STATE in places
    assert beyond == []


def test_its_state_is_its_own_files_alone(box):
    # onnxruntime likes to keep a database of what it might tell its maker.
    assert set(box.run("ls", "-A", STATE).split()) <= {"models", "status.json", ".config"}


def test_killed_it_plays_again(box, measured):
    seconds = box.restarted(lambda: box.run("kill", "-KILL", box.pid()))

    measured("kill -9 to playing again", seconds, "s", 3)


def test_a_card_that_hangs_is_noticed_by_the_watchdog(box, measured):
    n_restarts = int(box.show("NRestarts"))
    moment = time.monotonic()
    box.ear.stall()
    try:
        wait_until(
            lambda: int(box.show("NRestarts")) > n_restarts,
            "a restart by the watchdog",
            timeout_seconds=6 * WATCHDOG_SECONDS,
        )
    finally:
        box.ear.go_on()
    now = time.monotonic()
    box.playing(after=now)

    measured("hang of the card to playing again", time.monotonic() - moment, "s", WATCHDOG_SECONDS + 3)
    assert "watchdog" in box.journal(f"--unit={SERVICE}").lower()


def test_a_process_that_hangs_is_noticed_by_the_watchdog(box, measured):
    seconds = box.restarted(
        lambda: box.run("kill", "-STOP", box.pid()), timeout_seconds=6 * WATCHDOG_SECONDS
    )

    measured("hang of the process to playing again", seconds, "s", WATCHDOG_SECONDS + 3)


def spelt(bits: Bits) -> str:
    return "".join(str(int(bit)) for bit in bits)
