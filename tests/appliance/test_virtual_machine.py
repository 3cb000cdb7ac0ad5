"""Stage C: the device as an emulated machine, with the kernel's own GPIO lines and sound card.

The pins are lines of gpio-sim, under the name of a Pi 4's chip; the card is snd-aloop, recorded
from its other end. The processor is emulated and about a hundred times too slow: results are
tested, times are not. The tests depend on each other, in this order.
"""

import base64
import hashlib
import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from device.switches.bits import Bits
from device.switches.pinout import DEFAULT_PINS
from tests.appliance import probe_model as voice
from tests.appliance.box import MODELS, assert_models_whole
from tests.appliance.conftest import skip_unless_available
from tests.appliance.login import HOST, Login
from tests.appliance.root_filesystem import GUEST, run_in, writable_copy
from tests.appliance.shell import Failed, run, wait_until
from tests.appliance.virtual_machine import Guest, free_port, make_disk
from tests.appliance.wheelhouse import wheelhouse

pytestmark = pytest.mark.bounded(1800)

SERVICE = "switchboard"
SWITCHBOARD = "/usr/local/bin/switchboard"
PYTHON = "/opt/switchboard/current/bin/python"
SETTINGS = "/etc/switchboard/switchboard.toml"
TREE_SECONDS = 1800
READY_SECONDS = 900
SIZES = voice.SLIGHT_VOICE
N_SWITCHES = len(DEFAULT_PINS)
N_CUTS = 3
RECORD = (
    f"arecord --quiet --device=hw:Loopback,1,0 --file-type=raw --format=FLOAT_LE"
    f" --rate={SIZES.sample_rate} --channels=1"
)
WAV_HEADER_BYTES = 44
PIECE = 128


class Machine:
    """A disk, a login, and the machine that boots from them."""

    def __init__(self, tree: Path, folder: Path) -> None:
        self._tree, self._folder, self._port = tree, folder, free_port()
        self.login = Login(folder / "login", "127.0.0.1", self._port)
        self._make_disk()
        self.boot()

    def boot(self) -> None:
        """Switch it on, and wait until it plays."""
        disk, log = self._folder / "disk", self._folder / "console"
        self.guest = Guest(self._tree, disk, self.login, self._port, log=log)
        self.run = self.guest.run
        self.settled()

    def pull_plug(self) -> None:
        """Cut the power: what is not on the disk is lost."""
        self.guest.close()

    def settled(self) -> None:
        """Wait until the service has reported that it plays."""
        wait_until(
            lambda: self._state() == "active",
            "the instrument",
            timeout_seconds=READY_SECONDS,
            every_seconds=2,
        )

    def set(self, bits: Bits) -> None:
        """Put every switch into its position: closed is pulled to ground."""
        pulls = [f"echo pull-{'down' if on else 'up'} >{pull(i)}" for i, on in enumerate(bits)]
        self.run("sh", "-c", "; ".join(pulls))

    def listen(self, seconds: int) -> NDArray[np.float32]:
        """Record at the other end of the card, without the gaps of a machine that is too slow."""
        coded = self.run("sh", "-c", f"{RECORD} --duration={seconds} | base64")
        return without_gaps(np.frombuffer(base64.b64decode(coded), np.float32))

    def journal(self) -> str:
        """The last lines of the service's log."""
        return self.run("journalctl", "--boot", "--output=cat", "--lines=60", f"--unit={SERVICE}")

    def _state(self) -> str:
        return self.run("systemctl", "show", "--property=ActiveState", "--value", SERVICE).strip()

    def _make_disk(self) -> None:
        """A fresh system on which the installer ran, with a model that the emulator can play."""
        with writable_copy(self._tree, self._folder / "root") as root:
            run("sh", Path(__file__).with_name("guest.sh"), root)
            authorized = root / "root/.ssh/authorized_keys"
            authorized.parent.mkdir(mode=0o700, exist_ok=True)
            authorized.write_text(self.login.public_key)
            with skip_unless_available("the wheelhouse"):
                wheelhouse("x86_64", "3.11", root / "wheelhouse")
            run_in(root, "sh", "/wheelhouse/systemd/install.sh", timeout_seconds=300)
            shutil.rmtree(root / "wheelhouse")
            settings = root / SETTINGS.lstrip("/")
            text = settings.read_text()
            settings.write_text(text.replace('speaker = "card"', 'speaker = "Loopback"'))
            self._add_voice(root)
            make_disk(root, self._folder / "disk")

    def _add_voice(self, root: Path) -> None:
        store = root / MODELS.lstrip("/")
        file = voice.build(store / "voice", SIZES)
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        file.rename(store / f"{digest}.onnx")
        as_service = ("setpriv", "--reuid=switchboard", "--regid=switchboard", "--clear-groups")
        run_in(root, "chown", "--recursive", "switchboard:", MODELS, timeout_seconds=60)
        run_in(root, *as_service, SWITCHBOARD, "models", "activate", digest, timeout_seconds=120)


@pytest.fixture(scope="module")
def device(needs, scratch) -> Iterator[Machine]:
    needs("mmdebstrap", "mkfs.ext4", "qemu-system-x86_64", "ssh-keygen")
    with skip_unless_available("the root tree"):
        tree = GUEST.built(timeout_seconds=TREE_SECONDS)
    device = Machine(tree, scratch / "guest")
    try:
        yield device
    finally:
        device.pull_plug()


def test_it_plays_from_power_on_on_the_pins_of_the_kernel(device):
    assert "gpio" in device.run("systemctl", "show", "--property=SupplementaryGroups", SERVICE)
    assert (
        voice.detected_bits(device.listen(15), SIZES.sample_rate, SIZES)
        == (False,) * SIZES.n_switches
    )


@pytest.mark.parametrize("switch", range(SIZES.n_switches))
def test_every_switch_is_heard(device, switch):
    bits = tuple(i == switch for i in range(N_SWITCHES))
    device.set(bits)

    wait_for_sound_of(device, bits)


def test_the_switch_states_read_at_the_start_are_correct(device):
    bits = (True, False, True) + (False,) * (N_SWITCHES - 3)
    device.run("systemctl", "stop", SERVICE)
    device.set(bits)
    device.run("systemctl", "start", SERVICE, timeout_seconds=READY_SECONDS)

    wait_for_sound_of(device, bits)


def test_a_bouncing_switch_ends_where_it_was_put(device):
    # Twenty edges within some milliseconds, on closing and on opening.
    for closed in (False, True, False):
        levels = [closed ^ bool(n % 2) for n in range(20, -1, -1)]
        edges = "; ".join(f"echo pull-{'down' if on else 'up'} >{pull(1)}" for on in levels)
        device.run("sh", "-c", edges)

        wait_for_sound_of(device, (True, closed, True) + (False,) * (N_SWITCHES - 3))


def test_its_lines_are_held_by_it_alone_until_it_ends(device):
    take = (
        "import os; from device.switches.gpio import GpioSwitches;"
        f"print(GpioSwitches({DEFAULT_PINS}).levels(), flush=True); os._exit(0)"
    )
    with pytest.raises(Failed, match=f"line {DEFAULT_PINS[0]} is used by 'switchboard'"):
        device.run(PYTHON, "-c", take)

    device.run("systemctl", "stop", SERVICE)
    # Neither closes them.
    assert "True, False" in device.run(PYTHON, "-c", take)
    assert "True, False" in device.run(PYTHON, "-c", take)
    device.run("systemctl", "start", SERVICE, timeout_seconds=READY_SECONDS)


def test_the_audio_loop_alone_runs_at_real_time_priority(device):
    pid = device.run("systemctl", "show", "--property=MainPID", "--value", SERVICE).strip()
    threads = device.run("ps", "-L", "-o", "cls=,rtprio=", "-p", pid).splitlines()

    assert [t.split() for t in threads].count(["FF", "20"]) == 1
    assert len(threads) > 1
    assert all(t.split() in (["FF", "20"], ["TS", "-"]) for t in threads)


def test_its_memory_is_locked(device):
    pid = device.run("systemctl", "show", "--property=MainPID", "--value", SERVICE).strip()
    locked = device.run("cat", f"/proc/{pid}/status").split("VmLck:")[1].split()[0]

    assert int(locked) > 0


def test_what_the_card_plays_is_what_was_computed_bit_for_bit(device, measured):
    # The same music twice, as a recording and through the card. No flips: how soon a flip is
    # composed depends on the load.
    model = device.run("readlink", "-f", f"{MODELS}/active").strip()
    device.run("systemctl", "stop", SERVICE)
    device.run("tee", "/run/script", stdin="0 101\n")
    play = f"{SWITCHBOARD} play --model {model} --switches script:/run/script --seconds 6 --still"
    device.run(
        "sh", "-c", f"cd /run && {play} --speaker wav:/run/computed.wav", timeout_seconds=600
    )
    record = f"{RECORD} --duration=600 /run/played & recorder=$!; sleep 5"
    device.run(
        "sh",
        "-c",
        f"{record}; {play} --speaker Loopback; sleep 5; kill $recorder",
        timeout_seconds=900,
    )
    device.run("systemctl", "start", SERVICE, timeout_seconds=READY_SECONDS)

    computed = without_gaps(
        np.frombuffer(fetched(device, "/run/computed.wav")[WAV_HEADER_BYTES:], np.int16)
    )
    played = np.frombuffer(fetched(device, "/run/played"), np.float32)
    recorded = without_gaps(np.rint(played * np.float32(32767)).astype(np.int16))
    # The emulated machine has an underrun every second; a piece across one differs.
    pieces = recorded[: len(recorded) // PIECE * PIECE].reshape(-1, PIECE)
    is_equal = [piece.tobytes() in computed.tobytes() for piece in pieces]
    measured("of what the card played, found bit for bit", 100 * np.mean(is_equal), "%")
    assert sum(is_equal) * PIECE > 3 * SIZES.sample_rate
    assert np.mean(is_equal) > 0.8


@pytest.mark.parametrize("cut", range(N_CUTS))
def test_it_plays_after_the_plug_was_pulled_during_a_push(device, cut, tmp_path):
    login, rng = device.login, random.Random(cut)
    login.switchboard("pair", f"root@{HOST}", "--identity", login.identity, timeout_seconds=600)
    model = voice.build(tmp_path / "next.onnx", SIZES, n_variation=3 + cut)

    words = login.command("push", HOST, model, "--identity", login.identity)
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as push:
        time.sleep(rng.uniform(1, 40))
        device.pull_plug()
        output = push.communicate(timeout=120)[0].decode()
    device.boot()

    assert "recovery complete" in device.run("dmesg")
    assert "EXT4-fs error" not in device.run("dmesg")
    assert_models_whole(device.run)
    # An acknowledged model is on the disk, even if the emulator was too slow to keep playing it.
    if "from the next bar on" in output:
        assert digest_of(model) in device.run("ls", MODELS)
    wait_for_sound_of(device, (False,) * N_SWITCHES)


def pull(switch: int) -> str:
    """The file in which a switch's position is written."""
    return f"/run/pins/sim_gpio{DEFAULT_PINS[switch]}/pull"


def fetched(device: Machine, path: str) -> bytes:
    return base64.b64decode(device.run("base64", path))


def without_gaps(samples: NDArray[np.generic]) -> NDArray[np.generic]:
    """Remove the zeros that the card plays where the machine was late; music has almost none."""
    return samples[samples != 0]


def wait_for_sound_of(device: Machine, bits: Bits) -> None:
    """Wait until the sound is that of these switch states."""
    expected = bits[: SIZES.n_switches]
    wait_until(
        lambda: voice.detected_bits(device.listen(10), SIZES.sample_rate, SIZES) == expected,
        f"the sound of {expected}",
        timeout_seconds=300,
    )


def digest_of(model: Path) -> str:
    return hashlib.sha256(model.read_bytes()).hexdigest()
