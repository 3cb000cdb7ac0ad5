"""The units: systemd accepts all of them, they permit little, and what they name exists."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from device.commands import checks as checkup
from device.commands.control_option import DEFAULT_CONTROL
from device.commands.panel import DEFAULT_PORT, STATE_FOLDER, panel
from device.commands.play import POWER_OFF_STATUS, play
from device.config import load_settings
from device.errors import SwitchboardError
from device.switches.wiring import Wiring
from device.switches.wiring_diagram import diagram
from device.system.realtime import LOOP_PRIORITY

FOLDER = Path(__file__).parents[2] / "systemd"
SERVICES = ("switchboard.service", "switchboard-fallback.service")
PANEL, PANEL_SOCKET = "switchboard-panel.service", "switchboard-panel.socket"
TRIAL = "switchboard-trial.service"
UNITS = (*SERVICES, "switchboard-retry.path", TRIAL, PANEL, PANEL_SOCKET)
PREFIX = "/opt/switchboard/current"
# 1.5 on systemd's scale of 0 to 10.
MOST_EXPOSED = 15

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)


def analyze(*words):
    return subprocess.run(
        ["systemd-analyze", *map(str, words)], capture_output=True, text=True, check=False
    )


def lines_of(name):
    """Every ``Key=value`` of a unit, with those it shares with the other one."""
    files = [FOLDER / name, *(FOLDER / f"{name}.d").glob("*.conf")]
    for file in files:
        for line in file.read_text(encoding="utf-8").splitlines():
            if "=" in line and not line.startswith("#"):
                key, _, value = line.partition("=")
                yield key, value


@pytest.fixture
def installed(tmp_path):
    """The units as they are installed, in a tree with the programs that they start."""
    units = tmp_path / "etc/systemd/system"
    shutil.copytree(FOLDER, units, symlinks=False)
    for program in (f"{PREFIX}/bin/switchboard", "/bin/sh"):
        path = tmp_path / program.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/sh\n", encoding="utf-8")
        path.chmod(0o755)
    return tmp_path


@needs_systemd
@pytest.mark.parametrize("unit", UNITS)
def test_systemd_reports_no_fault_in_a_unit(installed, unit):
    done = analyze("verify", f"--root={installed}", "--recursive-errors=no", unit)
    faults = [
        line
        for line in (done.stdout + done.stderr).splitlines()
        # The tree holds nothing of the system itself.
        if re.search(r"switchboard|box\.conf", line) and "man page" not in line
    ]
    assert faults == []
    assert done.returncode == 0


@needs_systemd
@pytest.mark.parametrize("unit", [*SERVICES, PANEL])
def test_a_service_permits_little(unit):
    done = analyze("security", "--offline=yes", f"--threshold={MOST_EXPOSED}", FOLDER / unit)
    assert done.returncode == 0, done.stdout[-200:]


@pytest.mark.parametrize("unit", SERVICES)
def test_both_services_have_the_same_watchdog_and_sandbox(unit):
    shared = dict(lines_of(unit))
    assert shared["Type"] == "notify"
    assert shared["User"] == checkup.USER
    assert shared["LimitRTPRIO"] == str(LOOP_PRIORITY)
    assert (FOLDER / f"{unit}.d/box.conf").read_bytes() == (
        FOLDER / "switchboard.service.d/box.conf"
    ).read_bytes()


@pytest.mark.parametrize("unit", SERVICES)
def test_memory_is_bounded_with_room_for_the_largest_models_below_what_the_smallest_pi_has(unit):
    limits = dict(lines_of(unit))
    bounds = {key: int(limits[key].removesuffix("M")) for key in ("MemoryMax", "LimitDATA")}
    # What was measured with four models of 10 MiB and a card (README.md), at 16 MiB each.
    largest = 136 + 25 + 4 * 17 * 0.6
    assert largest < bounds["MemoryMax"] < 416
    # Counts what is reserved as well, 150 MB with four models.
    assert bounds["MemoryMax"] < bounds["LimitDATA"]


def test_the_service_is_started_with_options_that_exist():
    (start,) = [value for key, value in lines_of(SERVICES[0]) if key == "ExecStart"]
    program, verb, *options = start.split()
    assert (program, verb) == (f"{PREFIX}/bin/switchboard", "play")
    known = {name for option in play.params for name in option.opts}
    assert {word for word in options if word.startswith("--")} <= known


def test_the_panel_is_a_user_of_its_own_that_can_open_no_connection_and_yields_to_the_music():
    lines = list(lines_of(PANEL))
    panel = dict(lines)
    assert panel["DynamicUser"] == "yes"
    assert panel["User"] != dict(lines_of(SERVICES[0]))["User"] == panel["SupplementaryGroups"]
    assert panel["PrivateNetwork"] == panel["PrivateDevices"] == panel["NoNewPrivileges"] == "yes"
    assert panel["RestrictAddressFamilies"] == "AF_UNIX"
    assert int(panel["Nice"]) > 0
    assert panel["CPUQuota"] == "50%"
    assert not {"StateDirectory", "ReadWritePaths", "BindPaths"} & set(panel)
    hidden = " ".join(value for key, value in lines if key == "InaccessiblePaths").split()
    state = "-/var/lib/switchboard"
    assert {f"{state}/.ssh", f"{state}/models", f"{state}/performances"} <= set(hidden)


def test_the_panels_port_is_the_one_that_its_link_names_and_needs_a_token():
    socket = dict(lines_of(PANEL_SOCKET))
    assert socket["ListenStream"] == str(DEFAULT_PORT)
    assert socket["IPAddressDeny"] == "any"
    _, _, token = dict(lines_of(PANEL))["LoadCredential"].partition(":")
    assert socket["ConditionPathExists"] == token == str(STATE_FOLDER / "token")


def test_the_panel_is_started_with_options_that_exist_and_finds_the_instrument():
    (start,) = [value for key, value in lines_of(PANEL) if key == "ExecStart"]
    program, verb, *options = start.split()
    assert (program, verb) == (f"{PREFIX}/bin/switchboard", "panel")
    known = {name for option in panel.params for name in option.opts}
    assert {word for word in options if word.startswith("--")} <= known
    drop_in = (FOLDER / "panel/control.conf").read_text(encoding="utf-8")
    (control,) = re.findall(r"^Environment=(\S+)$", drop_in, re.M)
    assert control == f"SWITCHBOARD_CONTROL={DEFAULT_CONTROL}"
    environment = [value for key, value in lines_of(PANEL) if key == "Environment"]
    assert control in " ".join(environment).split()
    (option,) = [option for option in play.params if option.name == "control"]
    assert option.envvar == "SWITCHBOARD_CONTROL"


def test_without_the_panel_nothing_of_the_instrument_listens():
    for unit in SERVICES:
        assert "SWITCHBOARD_CONTROL" not in " ".join(value for _, value in lines_of(unit))


def test_nothing_waits_for_the_network():
    assert not any("network" in value for unit in UNITS for _, value in lines_of(unit))


def test_after_errors_that_a_restart_cannot_repair_the_fallback_plays_at_once():
    lines = [v for key, v in lines_of(SERVICES[0]) if key == "RestartPreventExitStatus"]
    permanent = {int(word) for line in lines for word in line.split()} - {POWER_OFF_STATUS}
    assert permanent <= {2, *checkup.causes()}
    # A pin or card that is not there yet may be there a second later.
    names = {error.__name__: error.exit_code for error in SwitchboardError.__subclasses__()}
    assert not permanent & {names["SwitchesUnavailable"], names["SpeakerUnavailable"]}


@pytest.mark.parametrize("service", SERVICES)
def test_the_button_that_shuts_down_ends_either_service_for_good_and_switches_off(service):
    lines = list(lines_of(service))
    for name in ("RestartPreventExitStatus", "SuccessExitStatus"):
        words = [word for key, value in lines if key == name for word in value.split()]
        assert str(POWER_OFF_STATUS) in words
    (command,) = [value for key, value in lines if key == "ExecStopPost"]
    # As root, and outside the sandbox: the instrument itself has no such right.
    assert command.startswith("+/bin/sh -c ")
    script = shlex.split(command)[-1].replace("systemctl", "echo")
    for status, expected in (("60", "--no-block poweroff\n"), ("0", ""), ("143", ""), ("", "")):
        done = subprocess.run(
            ["sh", "-c", script], env={"EXIT_STATUS": status, "PATH": os.environ["PATH"]},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stdout == expected


def test_the_shipped_configuration_is_valid():
    settings = load_settings(FOLDER / "switchboard.toml", play)
    assert settings["switches"] == "gpio"
    assert settings["pins"] == next(o.default for o in play.params if o.name == "pins")


@pytest.mark.parametrize("fails", [0, 1, 2, 3])
def test_the_fallback_gives_up_model_then_configuration_then_switches(tmp_path, fails):
    """With a `switchboard` that fails this many times, and logs how it was called."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "systemd").mkdir()
    shutil.copy(FOLDER / "last-resort.sh", tmp_path / "systemd")
    program, calls = tmp_path / "bin/switchboard", tmp_path / "calls"
    program.write_text(
        f'#!/bin/sh\necho "$@" >>{calls}\n[ "$(wc -l <{calls})" -gt {fails} ]\n', encoding="utf-8"
    )
    program.chmod(0o755)
    script = tmp_path / "systemd/last-resort.sh"
    done = subprocess.run(["sh", script, "box.toml"], capture_output=True, text=True, check=False)
    here = tmp_path / "systemd"
    expected = [
        "play --service --model bundled --config box.toml",
        f"play --service --model bundled --config {here}/switchboard.toml",
        f"play --service --model bundled --config {here}/switchboard.toml --switches demo",
    ]
    assert calls.read_text(encoding="utf-8").splitlines() == expected[: fails + 1]
    assert done.returncode == (1 if fails == 3 else 0)


def test_the_readme_lists_every_exit_status_with_the_text_of_its_error():
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| (\d+) \| (.+) \|$", text, re.M))
    for code, cause in checkup.causes().items():
        assert listed.get(str(code)) == cause
    assert {"0", "1", "2", "130"} <= set(listed)


def test_options_of_the_installer_are_all_explained():
    script = (FOLDER / "install.sh").read_text(encoding="utf-8")
    options = set(re.findall(r"^ {12}(?:-h \| )?(--[a-z-]+)\)", script, re.M))
    assert options == {
        *("--wheelhouse", "--root", "--no-start", "--uninstall", "--purge", "--dry-run", "--help"),
        *("--panel", "--no-panel", "--advertise", "--no-advertise"),
    }
    assert all(option in script.partition("END\n")[0] for option in options - {"--help"})


def test_wrong_usage_has_the_exit_status_of_click():
    assert click.UsageError.exit_code == 2


def test_the_wiring_that_is_shown_is_that_of_the_shipped_configuration():
    settings = load_settings(FOLDER / "switchboard.toml", play)
    shown = (FOLDER / "wiring.svg").read_text(encoding="utf-8")
    assert shown == diagram(Wiring(tuple(settings["pins"])))
