"""A whole simulated device: its system, its switches, and a recording of its sound card."""

import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from device.closeable import Closeable
from device.switches.pinout import DEFAULT_PINS
from tests.appliance.audio_capture import AudioCapture
from tests.appliance.container import DEVICE_ADDRESS, Container
from tests.appliance.login import Login
from tests.appliance.root_filesystem import writable_copy
from tests.appliance.shell import wait_until
from tests.appliance.simulated_switches import SimulatedSwitches

UNITS = ("switchboard", "switchboard-fallback")
MODELS = "/var/lib/switchboard/models"
INSTALL_SECONDS = 300
PLAYING_SECONDS = 30
# Sound that is buffered when its source ends.
BUFFERED_SECONDS = 0.4

# Simulated parts are passed to the service in its environment; the service itself is as installed.
_DROP_IN = """\
[Service]
Environment=GPIOZERO_PIN_FACTORY=simulated APPLIANCE_LEVELS=/appliance/levels
Environment=PYTHONPATH=/appliance/pins PULSE_SERVER=unix:/appliance/pulse.sock
"""


class Box(Closeable):
    """A fresh system, booted, on which nothing of the instrument is installed yet.

    Attributes
    ----------
    outside : Path
        A folder that is ``/appliance`` on the device.
    """

    def __init__(self, tree: Path, folder: Path) -> None:
        self.outside = folder / "outside"
        self.outside.mkdir(parents=True)
        self.login = Login(folder / "login", DEVICE_ADDRESS)
        shutil.copytree(Path(__file__).with_name("pins"), self.outside / "pins")
        with ExitStack() as stack:
            self.audio = stack.enter_context(AudioCapture(self.outside))
            switches = SimulatedSwitches(self.outside / "levels", DEFAULT_PINS)
            self.switches = stack.enter_context(switches)
            self._root = stack.enter_context(writable_copy(tree, folder / "root"))
            self._prepare()
            self.boot()
            stack.callback(self.pull_plug)
            self._stack = stack.pop_all()

    def boot(self) -> None:
        """Switch it on; return when all services have started."""
        self._container = Container(self._root, self.outside)

    def pull_plug(self) -> None:
        """End all processes at once."""
        self._container.close()

    def plug_in_network(self) -> None:
        """Connect the network; before, there is none."""
        self._container.plug_in_network()

    def run(self, *command: str | Path, **options: Any) -> str:
        """Output of a command on the device, as root; see `container.Container.run`."""
        return self._container.run(*command, **options)

    def begin(self, *command: str | Path) -> "subprocess.Popen[bytes]":
        """A command on the device, as root, that is not waited for."""
        return self._container.begin(*command)

    def fails(self, *command: str | Path, **options: Any) -> str:
        """Output of a command that has to fail."""
        return self._container.fails(*command, **options)

    def installer(self, wheelhouse: str = "wheelhouse") -> tuple[str, str]:
        """The command that installs from a wheelhouse in `outside`."""
        return "sh", f"/appliance/{wheelhouse}/systemd/install.sh"

    def install(self, wheelhouse: str = "wheelhouse") -> str:
        """Run the installer, as the owner of a device would."""
        return self.run(*self.installer(wheelhouse), timeout_seconds=INSTALL_SECONDS)

    def show(self, name: str, unit: str = UNITS[0]) -> str:
        """One property of a unit."""
        return self.run("systemctl", "show", f"--property={name}", "--value", unit).strip()

    def pid(self, unit: str = UNITS[0]) -> str:
        """The main process, by its number on the device; 0 when there is none."""
        return self.show("MainPID", unit)

    def journal(self, *of: str, n_lines: int = 60) -> str:
        """The last lines of the log of the system and its services."""
        return self.run("journalctl", "--boot", "--output=cat", f"--lines={n_lines}", *of)

    def playing(self, after: float, timeout_seconds: float = PLAYING_SECONDS) -> float:
        """Wait for a sound later than a moment; return the seconds in between."""
        return self.audio.sounding(after=after, timeout_seconds=timeout_seconds) - after

    def settled(self) -> None:
        """Wait until one of the services has reported that it plays."""
        wait_until(
            lambda: any(self.show("ActiveState", unit) == "active" for unit in UNITS),
            "a service that plays",
            timeout_seconds=PLAYING_SECONDS,
            every_seconds=0.1,
        )

    def restarted(
        self, kill: Callable[[], object], timeout_seconds: float = PLAYING_SECONDS
    ) -> float:
        """End what plays; return the seconds until it plays again."""
        moment = time.monotonic()
        kill()
        quiet = moment + BUFFERED_SECONDS
        return self.playing(quiet, timeout_seconds) + BUFFERED_SECONDS

    def close(self) -> None:
        """Pull the plug and clean up; may be called again."""
        self._stack.close()

    def _prepare(self) -> None:
        authorized = self._root / "root/.ssh/authorized_keys"
        authorized.parent.mkdir(mode=0o700, exist_ok=True)
        authorized.write_text(self.login.public_key)
        for unit in UNITS:
            drop_in = self._root / f"etc/systemd/system/{unit}.service.d/simulation.conf"
            drop_in.parent.mkdir()
            drop_in.write_text(_DROP_IN)


def assert_models_whole(run: Callable[..., str]) -> None:
    """Check that every model in a store has the hash in its name, without any partial file."""
    names = run("ls", "-A", MODELS).split()
    for name in names:
        if name.endswith(".onnx"):
            assert name == f"{run('sha256sum', f'{MODELS}/{name}').split()[0]}.onnx"
    assert not [name for name in names if name.endswith((".part", ".tmp", ".new"))]
