"""Stage B: the device as a container, from the one command that installs it to its removal.

A whole Debian boots with its own systemd: the unit, its sandbox, the watchdog, sshd and the path of
the sound to a PulseAudio outside are real. The switches are bytes in a file, and the kernel is this
machine's. The tests depend on each other, in this order.
"""

import random
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from device.switches.bits import Bits
from tests.appliance import probe_model as voice
from tests.appliance.audio_capture import AUDIBLE, SAMPLE_RATE
from tests.appliance.box import MODELS, UNITS, Box, assert_models_whole
from tests.appliance.conftest import skip_unless_available
from tests.appliance.login import HOST
from tests.appliance.root_filesystem import DEVICE
from tests.appliance.shell import Failed, run, wait_until
from tests.appliance.wheelhouse import altered, wheelhouse

pytestmark = pytest.mark.bounded(300)

SERVICE, FALLBACK = UNITS
TREE_SECONDS = 900
WATCHDOG_SECONDS = 10
HOME, STATE, ACCOUNT = "/opt/switchboard", "/var/lib/switchboard", "switchboard"
# .config is PulseAudio's, which a device does not have.
OWN_FILES = {"models", "performances", "status.json", ".config", ".ssh"}
SETTINGS = "/etc/switchboard/switchboard.toml"

N_SWITCHES = 8
NONE: Bits = (False,) * N_SWITCHES
SOME: Bits = (True, False, False, True, False, False, False, True)
N_KILLS = 47


@pytest.fixture(scope="module")
def device(needs, scratch) -> Iterator[Box]:
    needs("mmdebstrap", "systemd-nspawn", "pulseaudio", "parec", "nsenter", "ip", "ssh-keygen")
    with skip_unless_available("the root tree"):
        tree = DEVICE.built(timeout_seconds=TREE_SECONDS)
    with Box(tree, scratch / "container") as device:
        with skip_unless_available("the wheelhouse"):
            wheelhouse("x86_64", "3.11", device.outside / "wheelhouse")
        yield device


@pytest.fixture
def playing(device) -> Box:
    """The device as the tests before left it, and playing."""
    device.run("systemctl", "reset-failed", SERVICE, FALLBACK)
    device.settled()
    return device


# The first one waits for the root tree and the wheelhouse.
@pytest.mark.bounded(TREE_SECONDS + 600)
def test_one_command_without_a_network_and_it_plays(device, measured):
    begin = time.monotonic()
    output = device.install()
    measured("one command: installed and playing", time.monotonic() - begin, "s")

    assert "playing" in output
    device.playing(after=begin)


def test_it_plays_from_power_on_with_the_current_switch_states(device, measured):
    device.switches.set(SOME)
    device.pull_plug()
    time.sleep(1)

    begin = time.monotonic()
    device.boot()
    measured("power-on to READY", time.monotonic() - begin, "s", 4)
    measured("power-on to first sound", device.playing(after=begin), "s")
    assert f"switches {spelt(SOME)}" in device.show("StatusText")


def test_a_start_takes_little_time_and_memory(playing, measured):
    playing.run("systemctl", "stop", SERVICE)
    time.sleep(1)
    begin = time.monotonic()
    playing.run("systemctl", "start", SERVICE)
    measured("service start to READY", time.monotonic() - begin, "s")
    measured("service start to first sound", playing.playing(after=begin), "s", 1.5)

    playing.audio.listen(10)
    status = playing.run("cat", f"/proc/{playing.pid()}/status")
    resident = int(status.split("VmRSS:")[1].split()[0]) / 1024
    measured("resident while the bundled model plays", resident, "MB", 120)


def test_systemd_reports_no_fault_in_the_installed_units(playing):
    units = (f"{SERVICE}.service", f"{FALLBACK}.service", "switchboard-retry.path")
    # It prints faults on standard error and ends with status 0.
    assert playing.run("sh", "-c", f"systemd-analyze verify {' '.join(units)} 2>&1") == ""


def test_nothing_listens_on_a_port_but_the_systems_sshd(playing):
    listening = playing.run("ss", "--no-header", "--listening", "--tcp", "--udp", "--processes")

    assert "sshd" in listening
    assert [line for line in listening.splitlines() if "sshd" not in line] == []


def test_the_service_can_write_only_to_its_state(playing):
    assert "besides its own: nothing" in playing.run("sh", f"{HOME}/current/systemd/openness.sh")


def test_its_state_folder_holds_only_its_own_files(playing):
    assert set(playing.run("ls", "-A", STATE).split()) <= OWN_FILES


def test_killed_it_plays_again(playing, measured):
    seconds = playing.restarted(lambda: playing.run("kill", "-KILL", playing.pid()))

    measured("kill -9 to playing again", seconds, "s", 3)


def test_a_card_that_hangs_is_noticed_by_the_watchdog(playing, measured):
    before = playing.pid()
    begin = time.monotonic()
    playing.audio.stall()
    try:
        wait_until(
            lambda: playing.pid() not in ("0", before),
            "a new start by the watchdog",
            timeout_seconds=6 * WATCHDOG_SECONDS,
        )
    finally:
        playing.audio.resume()
    playing.settled()
    playing.playing(after=time.monotonic())
    hung = time.monotonic() - begin

    measured("hang of the card to playing again", hung, "s", WATCHDOG_SECONDS + 3)
    assert "Watchdog timeout" in playing.journal(f"--unit={SERVICE}")


def test_a_process_that_hangs_is_noticed_by_the_watchdog(playing, measured):
    seconds = playing.restarted(
        lambda: playing.run("kill", "-STOP", playing.pid()), timeout_seconds=6 * WATCHDOG_SECONDS
    )

    measured("hang of the process to playing again", seconds, "s", WATCHDOG_SECONDS + 3)


def test_a_model_pushed_over_ssh_is_heard(playing, measured, tmp_path):
    playing.plug_in_network()
    login = playing.login
    model = voice.build(tmp_path / "voice.onnx")
    playing.switches.set(NONE)
    login.switchboard("pair", f"root@{HOST}", "--identity", login.identity)

    begin = time.monotonic()
    output = login.switchboard("push", HOST, model, "--identity", login.identity)
    measured("push to verdict", time.monotonic() - begin, "s")
    assert "plays" in output
    wait_for_sound_of(playing, NONE)
    measured("push to two seconds of the new sound heard", time.monotonic() - begin, "s")


def test_a_pushed_model_belongs_to_the_service_and_is_in_its_store(playing):
    files = playing.run("sh", "-c", f"stat --format='%U %G %a' {MODELS}/*.onnx").splitlines()
    assert set(files) == {f"{ACCOUNT} {ACCOUNT} 644"}
    active = playing.run("readlink", "--canonicalize", f"{MODELS}/active").strip()
    assert active.startswith(f"{MODELS}/")
    assert playing.run("test", "-s", active) == ""


def test_pairing_permits_one_key_on_the_devices_account_and_nothing_else(playing):
    keys = playing.run("cat", f"{STATE}/.ssh/authorized_keys").splitlines()
    assert len(keys) == 1
    assert keys[0].startswith(f'restrict,command="{HOME}/current/bin/switchboard receive" ')
    assert playing.run("stat", "--format=%U %a", f"{STATE}/.ssh").strip() == f"{ACCOUNT} 700"
    # No password opens it, and root's own key is not its key.
    assert playing.run("passwd", "--status", ACCOUNT).split()[1] == "L"
    ssh = playing.login.ssh[:-1]
    with pytest.raises(Failed, match="Permission denied"):
        run(*ssh, f"{ACCOUNT}@{HOST}", "true")


def test_the_pushing_key_opens_no_shell_forwards_no_port_and_writes_no_file(playing):
    ssh = (*playing.login.ssh[:-1], "-oIdentitiesOnly=yes", f"-i{playing.login.identity}")
    account = f"{ACCOUNT}@{HOST}"
    for command in ("id", f"touch {STATE}/written", f"cp /etc/passwd {MODELS}/active", ""):
        # `receive` gets an empty input, and refuses it.
        output = run("sh", "-c", '"$@" </dev/null || true', "-", *ssh, account, command)
        assert '"event": "ready"' in output
        assert '"event": "verdict"' in output
        assert "uid=" not in output
    output = run("sh", "-c", '"$@" </dev/null 2>&1 || true', "-", *ssh, "-W[::1]:22", account)
    assert "SSH-2.0" not in output
    assert "forwarding failed" in output
    output = run("sh", "-c", '"$@" 2>&1 || true', "-", *ssh, "-tt", account)
    assert "PTY allocation request failed" in output
    assert "written" not in playing.run("ls", "-A", STATE)


def test_the_service_cannot_read_or_write_the_keys_that_may_push(playing):
    inside = ("nsenter", f"--target={playing.pid()}", "--mount")
    as_service = ("setpriv", f"--reuid={ACCOUNT}", f"--regid={ACCOUNT}", "--init-groups")
    for attempt in (("ls", f"{STATE}/.ssh"), ("touch", f"{STATE}/.ssh/authorized_keys")):
        assert "Permission denied" in playing.fails(*inside, *as_service, *attempt)


@pytest.mark.parametrize("switch", range(voice.VOICE.n_switches))
def test_every_switch_is_heard(playing, switch):
    bits = tuple(i == switch for i in range(N_SWITCHES))
    playing.switches.set(bits)

    wait_for_sound_of(playing, bits)


def test_switches_flipped_while_the_service_was_stopped_are_heard(playing):
    playing.run("systemctl", "stop", SERVICE)
    playing.switches.set(SOME)
    playing.run("systemctl", "start", SERVICE)

    wait_for_sound_of(playing, SOME)


def test_a_loose_wire_is_reported_and_ignored(playing):
    playing.switches.set(NONE)
    wait_for_sound_of(playing, NONE)

    playing.switches.chatter(2, seconds=6)

    assert "chatter" in playing.journal(f"--unit={SERVICE}", n_lines=5)
    wait_for_sound_of(playing, NONE)


@pytest.mark.bounded(1500)
def test_it_plays_after_every_kill_and_every_pulled_plug(playing, measured, tmp_path):
    rng = random.Random(1)
    models = [voice.build(tmp_path / f"{n}.onnx", n_variation=n) for n in (3, 4)]
    slowest = 0.0
    for n in range(N_KILLS):
        playing.run("systemctl", "reset-failed", SERVICE)
        if n % 4 == 0:
            push = pushing(playing, models[n // 4 % 2])
            time.sleep(rng.uniform(0, 3))
            playing.pull_plug()
            push.wait(30)
            begin = time.monotonic()
            playing.boot()
            playing.plug_in_network()
            slowest = max(slowest, playing.playing(after=begin))
        else:
            # From the middle of a start to the middle of the music.
            time.sleep(rng.uniform(0, 4))
            slowest = max(slowest, playing.restarted(lambda: kill(playing)))
        assert_models_whole(playing.run)
    measured(f"{N_KILLS} kills at random moments: slowest to play again", slowest, "s")


def test_after_repeated_crashes_the_fallback_plays(playing):
    for _ in range(10):
        kill(playing)
        time.sleep(2)
        if playing.show("ActiveState", FALLBACK) == "active":
            break

    playing.settled()
    assert playing.show("ActiveState", FALLBACK) == "active"
    playing.playing(after=time.monotonic())


def test_with_a_broken_configuration_the_fallback_plays_until_it_is_repaired(playing):
    playing.run("cp", SETTINGS, f"{SETTINGS}.good")
    playing.run("sh", "-c", f"echo 'pinns = [5]' >>{SETTINGS}")
    playing.run("systemctl", "reset-failed", SERVICE)
    with suppress(Failed):
        playing.run("systemctl", "restart", SERVICE)
    wait_until(
        lambda: playing.show("ActiveState", FALLBACK) == "active",
        "the fallback",
        timeout_seconds=60,
    )
    playing.playing(after=time.monotonic())

    playing.run("mv", f"{SETTINGS}.good", SETTINGS)

    wait_until(
        lambda: playing.show("ActiveState") == "active", "the instrument", timeout_seconds=60
    )
    playing.playing(after=time.monotonic() + 1)


def test_an_upgrade_keeps_configuration_and_models(playing, measured):
    playing.run("sh", "-c", f"echo '# mine' >>{SETTINGS}")
    before = kept(playing)
    altered(playing.outside / "wheelhouse", playing.outside / "newer", "0.1.0.post1")

    begin = time.monotonic()
    output = playing.install("newer")
    measured("upgrade", time.monotonic() - begin, "s")

    assert "playing" in output
    assert "0.1.0.post1" in version(playing)
    assert kept(playing) == before


def test_a_version_that_does_not_play_is_taken_back(playing, measured):
    before = version(playing), kept(playing)
    spoil = "raise RuntimeError('spoiled on purpose')\n"
    altered(playing.outside / "wheelhouse", playing.outside / "broken", "0.1.0.post2", spoil=spoil)

    begin = time.monotonic()
    output = playing.fails(*playing.installer("broken"), timeout_seconds=300)
    measured("failed upgrade: gone back and playing", time.monotonic() - begin, "s")

    assert "went back" in output
    assert "spoiled on purpose" in output
    assert (version(playing), kept(playing)) == before
    playing.settled()
    playing.playing(after=time.monotonic())


def test_it_stops_on_request(playing, measured):
    begin = time.monotonic()
    playing.run("systemctl", "stop", SERVICE)
    measured("stop", time.monotonic() - begin, "s", 5)

    time.sleep(1)
    assert abs(playing.audio.listen(2)).max() < AUDIBLE
    assert playing.show("Result") == "success"
    assert playing.show("ActiveState", FALLBACK) == "inactive"


def test_uninstalling_keeps_configuration_and_models_and_removes_the_pushing_keys(device):
    assert device.run("getent", "passwd", ACCOUNT).strip().endswith(":/bin/sh")
    device.run(*device.installer("wheelhouse"), "--uninstall")

    assert device.run("getent", "passwd", ACCOUNT).strip().endswith("/nologin")
    assert set(device.run("ls", "-A", STATE).split()) <= OWN_FILES - {".ssh"}
    assert ".onnx" in device.run("ls", MODELS)
    assert "mine" in device.run("cat", SETTINGS)


def test_purging_leaves_no_file(device):
    device.run(*device.installer("wheelhouse"), "--uninstall", "--purge")

    left = device.run("find", "/etc", "/opt", "/usr", "/var/lib", "-xdev", "-name", "*switchboard*")
    assert left == ""
    assert "switchboard" not in device.run("cat", "/etc/passwd")


def version(device: Box) -> str:
    return device.run("readlink", f"{HOME}/current")


def kept(device: Box) -> str:
    """What an upgrade has to keep; the count of starts changes."""
    listed = f"ls -l --ignore=starts.json {MODELS} | grep -v ^total"
    return device.run("sh", "-c", f"sha256sum {SETTINGS} {MODELS}/*.onnx; {listed}")


def spelt(bits: Bits) -> str:
    return "".join(str(int(bit)) for bit in bits)


def wait_for_sound_of(device: Box, bits: Bits) -> None:
    """Wait until the sound is that of these switch states."""
    expected = bits[: voice.VOICE.n_switches]

    def is_heard() -> bool:
        samples = device.audio.listen(voice.LOOP_SECONDS)
        return voice.detected_bits(samples, SAMPLE_RATE) == expected

    wait_until(is_heard, f"the sound of {spelt(expected)}", timeout_seconds=60)


def kill(device: Box) -> None:
    device.run("systemctl", "kill", "--signal=KILL", SERVICE)


def pushing(device: Box, model: Path) -> "subprocess.Popen[bytes]":
    login = device.login
    command = login.command("push", HOST, model, "--identity", login.identity)
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
