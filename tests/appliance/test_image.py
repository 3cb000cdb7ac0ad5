"""The image of an SD card, booted in an emulator: `sudo make rehearse-image`.

A copy of the image gets an owner's key and a configuration on its boot partition, as from a laptop,
and a larger card. Its processor is emulated and a hundred times too slow: results are tested, times
are printed. The tests depend on each other, in this order.
"""

import os
import random
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.appliance import probe_model as voice
from tests.appliance.box import MODELS, assert_models_whole
from tests.appliance.emulated_pi import PI_3, VIRT, Board, EmulatedPi, put
from tests.appliance.login import HOST, Login
from tests.appliance.shell import Failed, run, wait_until
from tests.appliance.virtual_machine import free_port

pytestmark = pytest.mark.bounded(5400)

IMAGE = Path(os.environ.get("SWITCHBOARD_IMAGE", "build/image/lofi-switchboard.img"))
# An emulated card has a power of two.
CARD_BYTES = 4 * 2**30
READY_SECONDS = 2400
LOGIN_SECONDS = 900
PLAYS = "Started switchboard.service"
PRESEED = """\
[system]
hostname = "rehearsal"
[ssh]
authorized_keys = ["{key}"]
[wlan]
ssid = "nowhere"
password = "nobody listens"
country = "DE"
[locale]
timezone = "Europe/Berlin"
"""
# The emulated board has no pins of a Pi and no sound: flips by themselves, a loop-back card.
SETTINGS = 'switches = "demo"\nspeaker = "Loopback"\n'


class Card:
    """A card, and the machine it is in."""

    def __init__(self, board: Board, folder: Path) -> None:
        self._board, self._folder, self._port = board, folder, free_port()
        # While the instrument starts, an emulated sshd takes a minute to say its name.
        self.login = Login(
            folder / "login", "127.0.0.1", self._port, user="pi", connect_seconds=180
        )
        self.card = folder / "card"
        run("cp", "--sparse=always", IMAGE, self.card, timeout_seconds=300)
        os.truncate(self.card, CARD_BYTES)

    def boot(self) -> EmulatedPi:
        """Switch it on."""
        self.pi = EmulatedPi(self._board, self.card, self._folder, self._port)
        return self.pi

    def pull_plug(self) -> None:
        """Cut the power."""
        self.pi.close()

    def plays(self) -> float:
        """Wait for the first sound; return the seconds since power-on."""
        return self.pi.shows(PLAYS, READY_SECONDS)

    def run(self, *command: str | Path, timeout_seconds: float = 600) -> str:
        """Output of a command in the machine, as root."""
        words = f"sudo {shlex.join(map(str, command))}"
        return run(*self.login.ssh, words, timeout_seconds=timeout_seconds)

    def can_log_in(self) -> None:
        """Wait until ssh answers."""

        def answers() -> bool:
            try:
                return bool(self.run("true") or True)
            except Failed:
                return False

        wait_until(answers, "a login", timeout_seconds=LOGIN_SECONDS, every_seconds=5)

    def journal(self) -> str:
        """The console, for a test that failed."""
        return self.pi.console()[-6000:]


@pytest.fixture(scope="module")
def folder(needs, scratch) -> Iterator[Path]:
    needs("debugfs", "fdtput", "mcopy", "qemu-system-aarch64", "sfdisk", "ssh-keygen")
    if not IMAGE.exists():
        pytest.skip(f"no {IMAGE}: `sudo make image` builds it")
    yield scratch


@pytest.fixture(scope="module")
def device(folder) -> Iterator[Card]:
    (folder / "virt").mkdir()
    device = Card(VIRT, folder / "virt")
    put(device.card, "rpi-preseed.toml", PRESEED.format(key=device.login.public_key.strip()))
    put(device.card, "switchboard.toml", SETTINGS)
    device.boot()
    try:
        yield device
    finally:
        device.pull_plug()
        device.card.unlink()


def test_the_power_is_cut_during_the_first_boot(device, measured):
    seconds = device.pi.shows("switchboard-grow.service", READY_SECONDS)
    measured("power-on to the data partition (emulated)", seconds, "s")
    time.sleep(random.Random(1).uniform(0, 20))
    device.pull_plug()


def test_then_it_boots_and_plays(device, measured):
    device.boot()
    measured("power-on to READY after a cut first boot (emulated)", device.plays(), "s")
    device.can_log_in()
    assert "rehearsal" in device.run("hostname")
    assert "127.0.1.1" in device.run("getent", "hosts", "rehearsal")
    assert "active" in device.run("systemctl", "is-active", "switchboard")


def test_the_data_partition_has_grown_and_the_system_is_read_only(device):
    size = int(device.run("df", "--block-size=1", "--output=size", "/persist").split()[-1])
    assert size > CARD_BYTES / 3
    for place, options in (("/", "ro"), ("/boot/firmware", "ro"), ("/persist", "rw")):
        found = device.run("findmnt", "--noheadings", "--output=OPTIONS", place)
        assert options in found.strip().split(",")
    for place in ("/var/lib/switchboard", "/var/log/journal"):
        assert "[/" in device.run("findmnt", "--noheadings", "--output=SOURCE", place)
    assert not device.run("systemctl", "--failed", "--no-legend", "--plain").strip()


def test_the_settings_of_the_boot_partition_count(device):
    assert "Europe/Berlin" in device.run("readlink", "/run/switchboard-setup/localtime")
    assert "country=DE" in device.run("cat", "/run/switchboard-setup/wpa_supplicant.conf")
    assert device.run("cat", "/etc/switchboard/switchboard.toml") == SETTINGS
    with pytest.raises(Failed, match="Permission denied"):
        run(*device.login.ssh, "cat", "/boot/firmware/rpi-preseed.toml")


def test_only_keys_open_it(device):
    rules = device.run("/usr/sbin/sshd", "-T", "-C", "user=pi,host=x,addr=192.0.2.1")
    for rule in ("passwordauthentication no", "permitrootlogin no", "allowusers pi"):
        assert rule in rules
    shadow = device.run("cat", "/etc/shadow").splitlines()
    assert all(line.split(":")[1] in ("!", "*", "!*") for line in shadow)


def test_the_music_arrives_at_the_card(device):
    record = "arecord -q -D plughw:Loopback,1,0 -t raw -f FLOAT_LE -r 22050 -c 1 -d 20"
    # What a card plays where nothing arrives is zeros.
    recorded = device.run("sh", "-c", f"{record} | tr -d '\\000' | head -c 100 | wc -c")
    assert int(recorded) == 100


def test_the_power_is_cut_while_it_plays_and_it_plays_again(device, measured):
    key = device.run("ssh-keygen", "-l", "-f", "/persist/ssh/ssh_host_ed25519_key.pub")
    number = device.run("cat", "/etc/machine-id")
    device.pull_plug()
    device.boot()
    measured("power-on to READY of a later boot (emulated)", device.plays(), "s")
    device.can_log_in()

    assert device.run("ssh-keygen", "-l", "-f", "/persist/ssh/ssh_host_ed25519_key.pub") == key
    assert device.run("cat", "/etc/machine-id") == number
    assert "EXT4-fs error" not in device.run("dmesg")


def test_the_power_is_cut_during_a_push_and_it_plays_again(device, tmp_path, measured):
    login = device.login
    pairing = ("pair", f"pi@{HOST}", "--identity", login.identity)
    login.switchboard(*pairing, timeout_seconds=1800)
    model = voice.build(tmp_path / "next.onnx", voice.SLIGHT_VOICE)
    words = login.command("push", HOST, model, "--identity", login.identity)
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as push:

        def arrives() -> bool:
            if push.poll() is not None:
                raise Failed(f"the push ended before the cut: {push.communicate()[0]!r}")
            return ".part" in device.run("ls", "-A", MODELS)

        wait_until(arrives, "a model that arrives", timeout_seconds=1800, every_seconds=1)
        device.pull_plug()
        push.communicate(timeout=300)
    device.boot()
    measured("power-on to READY after a cut push (emulated)", device.plays(), "s")
    device.can_log_in()

    assert_models_whole(device.run)
    assert "EXT4-fs error" not in device.run("dmesg")


def test_nothing_that_should_be_unique_is_in_the_image(folder):
    system, data = folder / "system.ext4", folder / "data.ext4"
    partitions = run("sfdisk", "--dump", IMAGE).splitlines()[-2:]
    for part, line in zip((system, data), partitions, strict=True):
        start, size = (int(field.split("=")[1]) for field in line.split(":")[1].split(",")[:2])
        words = (f"if={IMAGE}", f"of={part}", "bs=512", f"skip={start}", f"count={size}")
        run("dd", "conv=sparse", "status=none", *words, timeout_seconds=300)
    assert not run("debugfs", "-R", "cat /etc/machine-id", system)
    assert "ssh_host" not in run("debugfs", "-R", "ls /etc/ssh", system)
    assert "ssh_host" not in run("debugfs", "-R", "ls /ssh", data)


def test_the_chip_of_a_pi_3_boots_it_and_its_pins_are_read(folder, measured):
    # As it comes, but for the card: a Pi 3 of the emulator has no sound.
    (folder / "pi3").mkdir()
    device = Card(PI_3, folder / "pi3")
    put(device.card, "switchboard.toml", SETTINGS.replace("demo", "gpio"))
    device.boot()
    try:
        measured("power-on to READY of an emulated Pi 3", device.plays(), "s")
    finally:
        device.pull_plug()
        shutil.copy(device.pi.console_log, folder.parent / "pi3-console.log")
