"""What doctor says of a machine, which is a folder of files and a table of answers here."""

from datetime import UTC, datetime

import pytest

from device.commands import checks as checkup
from device.commands.checks import BAD, GOOD, NOTE
from device.errors import SettingsError
from device.store.store import ModelStore
from device.switches.pinout import DEFAULT_PINS
from device.switches.wiring import Wiring
from device.system.host import Host, run_command
from tests.support import tiny_model as tiny

PANEL = Wiring(DEFAULT_PINS)
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC).timestamp()
ACTIVE = {
    "LoadState": "loaded",
    "ActiveState": "active",
    "UnitFileState": "enabled",
    "Result": "success",
    "ExecMainStatus": "0",
    "NRestarts": "0",
    "StatusText": "playing 'Rain'",
    "MainPID": "77",
}


class Pi:
    """A machine to be described file by file."""

    def __init__(self, root):
        self.root = root
        self.units = {}
        self.answers = {}
        self.members = {"switchboard": {"gpio", "audio"}}
        self.now = NOW

    def file(self, place, text=""):
        path = self.root / place.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def host(self):
        return Host(
            root=self.root,
            run=self._run,
            groups=lambda user: self.members.get(user, set()),
            now=lambda: self.now,
        )

    def _run(self, command):
        if command[:2] == ("systemctl", "show"):
            facts = self.units.get(command[2], {})
            wanted = command[3].removeprefix("--property=").split(",")
            return "\n".join(f"{name}={facts[name]}" for name in wanted if name in facts)
        return self.answers.get(command)


@pytest.fixture
def pi(tmp_path):
    return Pi(tmp_path)


def test_the_board_is_named(pi):
    assert checkup.board(pi.host()).verdict == NOTE
    pi.file("/proc/device-tree/model", "Raspberry Pi 4 Model B Rev 1.4\0")
    assert checkup.board(pi.host()).found == "Raspberry Pi 4 Model B Rev 1.4"


def test_a_user_who_may_not_use_pins_is_told_how_to(pi):
    pi.file("/dev/gpiochip0")
    pi.members = {"switchboard": {"audio"}, "pi": {"audio"}}
    finding = checkup.rights(pi.host(), user="switchboard")
    assert finding.verdict == NOTE
    assert finding.remedy == (
        "sudo usermod -aG gpio switchboard; sudo systemctl restart switchboard.service"
    )
    assert checkup.rights(pi.host(), user="pi").remedy.endswith("log in again")
    pi.members["switchboard"].add("gpio")
    assert checkup.rights(pi.host(), user="switchboard").verdict == GOOD


def test_pins_are_asked_for_only_where_there_are_some(pi):
    pi.members = {"me": {"audio"}}
    assert checkup.rights(pi.host(), user="me").verdict == GOOD


def test_pins_that_cannot_be_right_keep_it_from_playing(pi):
    assert checkup.wiring(pi.host(), PANEL).verdict == GOOD
    finding = checkup.wiring(pi.host(), Wiring((5, 5)))
    assert (finding.verdict, finding.found) == (BAD, "BCM 5 is used twice")


@pytest.mark.parametrize(
    "place",
    [
        "/proc/device-tree/soc/i2s@7e203000/status",
        "/proc/device-tree/axi/pcie@120000/rp1/i2s@a0000/status",
    ],
)
def test_a_sound_card_on_the_header_and_a_switch_cannot_share_a_pin(pi, place):
    pi.file(place, "disabled\0")
    assert checkup.wiring(pi.host(), Wiring((5, 19, 21))).verdict == GOOD
    pi.file(place, "okay\0")
    finding = checkup.wiring(pi.host(), Wiring((5, 19, 21)))
    assert (finding.verdict, finding.found) == (
        NOTE,
        "a sound card on the header (I2S) needs BCM 19, 21 as well",
    )
    assert checkup.wiring(pi.host(), PANEL).verdict == GOOD


@pytest.mark.parametrize(("policy", "verdict"), [(1, GOOD), (2, GOOD), (0, NOTE)])
def test_the_priority_of_the_running_loop_is_read_from_the_kernel(pi, policy, verdict):
    assert checkup.priority(pi.host()) is None
    pi.units[checkup.UNIT] = ACTIVE
    fields = ["S", *["0"] * 36, "20" if policy else "0", str(policy), "0"]
    pi.file("/proc/77/stat", f"77 (switch (board) x) {' '.join(fields)}")
    finding = checkup.priority(pi.host())
    assert finding.verdict == verdict
    assert (", priority 20" in finding.found) == (verdict == GOOD)


@pytest.mark.parametrize(
    ("flags", "verdict", "found"),
    [
        (0, GOOD, "voltage and clock were right since power-on"),
        (0x1, NOTE, "the voltage is too low"),
        (0x50005, NOTE, "the voltage is too low; the processor is throttled"),
        (0x10000, NOTE, "since power-on: the voltage is too low"),
        (0x80000, NOTE, "since power-on: it is so warm that the clock is lowered"),
    ],
)
def test_low_voltage_and_throttling_are_told_now_and_since_power_on(pi, flags, verdict, found):
    assert checkup.power(pi.host()) is None
    pi.answers["vcgencmd", "get_throttled"] = f"throttled={flags:#x}"
    by_command = checkup.power(pi.host())
    pi.file("/sys/devices/platform/soc/soc:firmware/get_throttled", f"{flags:x}\n")
    pi.answers.clear()
    assert checkup.power(pi.host()) == by_command
    assert (by_command.verdict, by_command.found) == (verdict, found)
    assert bool(by_command.remedy) == (verdict == NOTE)


@pytest.mark.parametrize(("thousandths", "verdict"), [("48312", GOOD), ("83000", NOTE)])
def test_heat_is_told(pi, thousandths, verdict):
    assert checkup.temperature(pi.host()) is None
    pi.file("/sys/class/thermal/thermal_zone0/temp", thousandths)
    assert checkup.temperature(pi.host()).verdict == verdict


def test_little_room_is_told(pi, monkeypatch):
    assert checkup.disk(pi.host()).verdict == GOOD
    monkeypatch.setattr(Host, "free_bytes", lambda *_: 20 * 2**20)
    assert checkup.disk(pi.host()).found == "20 MiB free"
    assert checkup.disk(pi.host()).verdict == NOTE


ROOT = "/dev/mmcblk0p2 / ext4 rw,noatime 0 0\n"
OVERLAY = "overlayroot / overlay rw,lowerdir=/lower,upperdir=/upper/upper,workdir=/w 0 0\n"


@pytest.mark.parametrize(
    ("mounts", "verdict", "found"),
    [
        (ROOT, GOOD, "what is written is kept"),
        (OVERLAY, NOTE, "the power goes: models, the configuration"),
        (ROOT + "tmpfs /var/lib tmpfs rw 0 0\n", NOTE, "the power goes: models"),
        (OVERLAY + "/dev/sda1 /var/lib/switchboard ext4 rw 0 0\n", NOTE, ": the configuration"),
        (
            "overlay / overlay rw,upperdir=/media/root-rw/overlay 0 0\n"
            "tmpfs /media/root-rw tmpfs rw 0 0\n",
            NOTE,
            "models, the configuration",
        ),
        (
            "overlay / overlay rw,upperdir=/data/upper 0 0\n/dev/sda1 /data ext4 rw 0 0\n",
            GOOD,
            "what is written is kept",
        ),
        ("/dev/mmcblk0p2 / ext4 ro,noatime 0 0\n", NOTE, "read-only: no model can be pushed"),
    ],
)
def test_what_is_gone_with_the_power_is_told(pi, mounts, verdict, found):
    pi.file("/proc/mounts", mounts)
    finding = checkup.what_is_kept(pi.host())
    assert (finding.verdict, finding.found.endswith(found)) == (verdict, True)
    assert bool(finding.remedy) == (verdict == NOTE)


def test_a_log_without_bounds_is_told_on_a_box(pi):
    assert checkup.log(pi.host()) is None
    pi.file("/etc/systemd/system/switchboard.service")
    assert checkup.log(pi.host()).verdict == NOTE
    pi.file("/etc/systemd/journald.conf.d/switchboard.conf")
    assert checkup.log(pi.host()).verdict == GOOD


def test_a_clock_that_never_heard_of_the_time_is_told_and_harms_no_music(pi):
    assert "not compared with the network" in checkup.clock(pi.host()).found
    pi.file("/run/systemd/timesync/synchronized")
    assert checkup.clock(pi.host()).found == "2026-11-22 12:00 UTC"
    pi.now = 0.0
    assert checkup.clock(pi.host()).verdict == NOTE


@pytest.mark.parametrize(
    ("facts", "fallback", "verdict", "found"),
    [
        ({}, "inactive", GOOD, "playing 'Rain'"),
        ({"NRestarts": "3"}, "inactive", GOOD, "playing 'Rain'; 3 restarts"),
        ({"UnitFileState": "disabled"}, "inactive", NOTE, "it plays, but will not after the next"),
        ({"ActiveState": "inactive"}, "inactive", NOTE, "inactive, it does not play"),
        (
            {"ActiveState": "failed", "ExecMainStatus": str(SettingsError.exit_code)},
            "active",
            NOTE,
            "it fell back to the bundled model (exit status 15: The configuration file is not TOML",
        ),
        ({"ActiveState": "failed", "Result": "watchdog"}, "inactive", BAD, "failed (watchdog)"),
    ],
)
def test_the_state_of_the_service_is_told_with_the_cause(pi, facts, fallback, verdict, found):
    assert checkup.unit(pi.host()) is None
    pi.units = {checkup.UNIT: {**ACTIVE, **facts}, checkup.FALLBACK: {"ActiveState": fallback}}
    finding = checkup.unit(pi.host())
    assert (finding.verdict, finding.found.startswith(found)) == (verdict, True)
    assert bool(finding.remedy) == (verdict != GOOD)


def test_the_store_is_told_with_what_was_refused_and_why(pi):
    assert checkup.store(pi.host()) is None
    store = ModelStore(pi.root / "var/lib/switchboard/models", reserve_bytes=0)
    store.directory.mkdir(parents=True)
    assert checkup.store(pi.host()).found == "empty, the bundled model plays"
    digest = store.add(tiny.build(pi.root / "a.onnx"))
    store.activate(digest)
    assert checkup.store(pi.host()).found == f"active {digest[:12]}"
    other = store.add(tiny.build(pi.root / "b.onnx", metadata={"title": "Other"}))
    store.refuse(other, "too slow")
    finding = checkup.store(pi.host())
    assert finding.verdict == NOTE
    assert f"refused {other[:12]}: too slow" in finding.found


def test_a_bare_machine_is_looked_at_without_stumbling(pi):
    findings = list(checkup.everything(pi.host(), PANEL))
    assert {finding.what for finding in findings} >= {"board", "rights", "wiring", "clock"}


def test_every_cause_has_words(pi):
    causes = checkup.causes()
    assert len(causes) >= 14
    assert all(causes.values())


def test_a_command_that_is_not_there_fails_or_hangs_is_no_answer(monkeypatch):
    monkeypatch.setattr("device.system.host._COMMAND_SECONDS", 0.1)
    assert run_command(("no-such-command-at-all",)) is None
    assert run_command(("false",)) is None
    assert run_command(("sleep", "5")) is None
    assert run_command(("echo", "x")) == "x"
