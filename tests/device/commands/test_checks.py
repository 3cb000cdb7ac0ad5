"""Doctor's findings on simulated machines: a folder of files and a table of command outputs."""

import pytest

from device.commands import checks
from device.commands.checks import BAD, GOOD, NOTE
from device.errors import SettingsError
from device.store.store import ModelStore
from device.switches.pinout import DEFAULT_PINS
from device.switches.wiring import Wiring
from device.system.host import Host, run_command
from tests.support import tiny_model as tiny
from tests.support.simulated_pi import SimulatedPi

WIRING = Wiring(DEFAULT_PINS)
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


@pytest.fixture
def pi(tmp_path):
    return SimulatedPi(tmp_path)


def test_the_board_is_named(pi):
    assert checks.board(pi.host()).verdict == NOTE
    pi.file("/proc/device-tree/model", "Raspberry Pi 4 Model B Rev 1.4\0")
    assert checks.board(pi.host()).found == "Raspberry Pi 4 Model B Rev 1.4"


def test_for_a_user_without_rights_to_pins_the_remedy_is_a_group(pi):
    pi.file("/dev/gpiochip0")
    pi.groups = {"switchboard": {"audio"}, "pi": {"audio"}}
    finding = checks.rights(pi.host(), user="switchboard")
    assert finding.verdict == NOTE
    assert finding.remedy == (
        "sudo usermod -aG gpio switchboard; sudo systemctl restart switchboard.service"
    )
    assert checks.rights(pi.host(), user="pi").remedy.endswith("log in again")
    pi.groups["switchboard"].add("gpio")
    assert checks.rights(pi.host(), user="switchboard").verdict == GOOD


def test_rights_to_pins_are_needed_only_on_a_machine_with_pins(pi):
    pi.groups = {"me": {"audio"}}
    assert checks.rights(pi.host(), user="me").verdict == GOOD


def test_a_wrong_wiring_is_bad(pi):
    assert checks.wiring(pi.host(), WIRING).verdict == GOOD
    finding = checks.wiring(pi.host(), Wiring((5, 5)))
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
    assert checks.wiring(pi.host(), Wiring((5, 19, 21))).verdict == GOOD
    pi.file(place, "okay\0")
    finding = checks.wiring(pi.host(), Wiring((5, 19, 21)))
    assert (finding.verdict, finding.found) == (
        NOTE,
        "a sound card on the header (I2S) needs BCM 19, 21 as well",
    )
    assert checks.wiring(pi.host(), WIRING).verdict == GOOD


@pytest.mark.parametrize(("policy", "verdict"), [(1, GOOD), (2, GOOD), (0, NOTE)])
def test_the_priority_of_the_running_loop_is_read_from_the_kernel(pi, policy, verdict):
    assert checks.priority(pi.host()) is None
    pi.units[checks.UNIT] = ACTIVE
    fields = ["S", *["0"] * 36, "20" if policy else "0", str(policy), "0"]
    pi.file("/proc/77/stat", f"77 (switch (board) x) {' '.join(fields)}")
    finding = checks.priority(pi.host())
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
def test_low_voltage_and_throttling_are_reported_now_and_since_power_on(pi, flags, verdict, found):
    assert checks.power(pi.host()) is None
    pi.outputs["vcgencmd", "get_throttled"] = f"throttled={flags:#x}"
    by_command = checks.power(pi.host())
    pi.file("/sys/devices/platform/soc/soc:firmware/get_throttled", f"{flags:x}\n")
    pi.outputs.clear()
    assert checks.power(pi.host()) == by_command
    assert (by_command.verdict, by_command.found) == (verdict, found)
    assert bool(by_command.remedy) == (verdict == NOTE)


@pytest.mark.parametrize(("thousandths", "verdict"), [("48312", GOOD), ("83000", NOTE)])
def test_a_high_temperature_is_noted(pi, thousandths, verdict):
    assert checks.temperature(pi.host()) is None
    pi.file("/sys/class/thermal/thermal_zone0/temp", thousandths)
    assert checks.temperature(pi.host()).verdict == verdict


def test_little_free_space_is_noted(pi, monkeypatch):
    assert checks.disk(pi.host()).verdict == GOOD
    monkeypatch.setattr(Host, "free_bytes", lambda *_: 20 * 2**20)
    assert checks.disk(pi.host()).found == "20 MiB free"
    assert checks.disk(pi.host()).verdict == NOTE


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
def test_storage_that_does_not_survive_a_power_cut_is_noted(pi, mounts, verdict, found):
    pi.file("/proc/mounts", mounts)
    finding = checks.storage(pi.host())
    assert (finding.verdict, finding.found.endswith(found)) == (verdict, True)
    assert bool(finding.remedy) == (verdict == NOTE)


def test_a_log_without_limits_is_noted_on_a_device(pi):
    assert checks.log(pi.host()) is None
    pi.file("/etc/systemd/system/switchboard.service")
    assert checks.log(pi.host()).verdict == NOTE
    pi.file("/etc/systemd/journald.conf.d/switchboard.conf")
    assert checks.log(pi.host()).verdict == GOOD


def test_a_clock_that_is_not_set_is_noted(pi):
    without = checks.clock(pi.host()).found
    assert "not compared with the network" in without
    assert "wake_at and quiet wait for the right time; sleep, wake_after and wander" in without
    pi.file("/run/systemd/timesync/synchronized")
    assert checks.clock(pi.host()).found == "2026-11-22 12:00 UTC"
    pi.now = 0.0
    assert checks.clock(pi.host()).verdict == NOTE


@pytest.mark.parametrize(("ahead", "is_known"), [(0, True), (-30, True), (3600, False)])
def test_a_clock_with_a_battery_knows_the_time_and_one_without_does_not(pi, ahead, is_known):
    pi.file("/run/systemd/timesync/clock")
    pi.file("/sys/class/rtc/rtc0/since_epoch", f"{int(pi.now) + ahead}\n")
    assert pi.host().knows_the_time() is is_known


def test_another_service_that_sets_the_clock_is_asked_for(pi):
    command = ("timedatectl", "show", "--property=NTPSynchronized", "--value")
    assert not pi.host().knows_the_time()
    pi.outputs[command] = "yes"
    assert pi.host().knows_the_time()
    pi.file("/run/systemd/timesync/clock")
    assert not pi.host().knows_the_time()


@pytest.mark.parametrize(
    ("properties", "fallback", "verdict", "found"),
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
def test_the_state_of_the_service_is_reported_with_its_cause(
    pi, properties, fallback, verdict, found
):
    assert checks.unit(pi.host()) is None
    pi.units = {checks.UNIT: {**ACTIVE, **properties}, checks.FALLBACK: {"ActiveState": fallback}}
    finding = checks.unit(pi.host())
    assert (finding.verdict, finding.found.startswith(found)) == (verdict, True)
    assert bool(finding.remedy) == (verdict != GOOD)


OUTCOME = '{"outcome": "%s", "version": "1.1-b", "before": "1.0-a", "reason": "it hums", "at": 1}'


@pytest.mark.parametrize(
    ("outcome", "verdict", "found"),
    [
        (OUTCOME % "plays", GOOD, "1.1-b plays, updated from 1.0-a"),
        (OUTCOME % "back", NOTE, "went back to 1.0-a from 1.1-b: it hums"),
    ],
)
def test_the_last_update_and_one_on_trial_are_reported(pi, outcome, verdict, found):
    assert checks.update(pi.host()) is None
    pi.file("/opt/switchboard/last-update.json", outcome)
    finding = checks.update(pi.host())
    assert (finding.verdict, finding.found) == (verdict, found)
    pi.file("/opt/switchboard/trial", "1.2-c 1.1-b 1\n")
    assert checks.update(pi.host()).found == "1.2-c is on trial"
    pi.file("/opt/switchboard/trial")
    pi.file("/opt/switchboard/last-update.json", "{")
    assert checks.update(pi.host()) is None


def test_the_store_is_reported_with_its_refused_models_and_the_reasons(pi):
    assert checks.store(pi.host()) is None
    store = ModelStore(pi.root / "var/lib/switchboard/models", reserve_bytes=0)
    store.directory.mkdir(parents=True)
    assert checks.store(pi.host()).found == "empty, the bundled model plays"
    digest = store.add(tiny.build(pi.root / "a.onnx"))
    store.activate(digest)
    assert checks.store(pi.host()).found == f"active {digest[:12]}"
    other = store.add(tiny.build(pi.root / "b.onnx", metadata={"title": "Other"}))
    store.refuse(other, "too slow")
    finding = checks.store(pi.host())
    assert finding.verdict == NOTE
    assert f"refused {other[:12]}: too slow" in finding.found


def test_all_checks_run_on_an_empty_machine(pi):
    findings = list(checks.all_findings(pi.host(), WIRING))
    assert {finding.what for finding in findings} >= {"board", "rights", "wiring", "clock"}


def test_every_exit_status_has_a_cause(pi):
    causes = checks.causes()
    assert len(causes) >= 14
    assert all(causes.values())


def test_a_command_that_is_missing_fails_or_hangs_has_no_output(monkeypatch):
    monkeypatch.setattr("device.system.host._COMMAND_SECONDS", 0.1)
    assert run_command(("no-such-command-at-all",)) is None
    assert run_command(("false",)) is None
    assert run_command(("sleep", "5")) is None
    assert run_command(("echo", "x")) == "x"
