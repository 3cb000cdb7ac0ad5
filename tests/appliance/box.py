"""The whole box under rehearsal: its system, its panel, and an ear at its loudspeaker."""

import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from device.closeable import Closeable
from device.switches.pinout import DEFAULT_PINS
from tests.appliance.audio_capture import Ear
from tests.appliance.container import BOX_ADDRESS, Container
from tests.appliance.login import Login
from tests.appliance.panel import Panel
from tests.appliance.root_filesystem import borrowed
from tests.appliance.shell import wait_until

UNITS = ("switchboard", "switchboard-fallback")
MODELS = "/var/lib/switchboard/models"
INSTALL_SECONDS = 300
PLAYING_SECONDS = 30
# Sound already on its way when its source dies.
ON_ITS_WAY_SECONDS = 0.4

# What is simulated reaches the service by its environment; the service itself is as installed.
_DROP_IN = """\
[Service]
Environment=GPIOZERO_PIN_FACTORY=panel REHEARSAL_PANEL=/rehearsal/panel
Environment=PYTHONPATH=/rehearsal/pins PULSE_SERVER=unix:/rehearsal/pulse.sock
"""


class Box(Closeable):
    """A fresh system, booted, on which nothing of the instrument is installed yet.

    Attributes
    ----------
    outside : Path
        A folder that the box sees as ``/rehearsal``.
    """

    def __init__(self, tree: Path, folder: Path) -> None:
        self.outside = folder / "outside"
        self.outside.mkdir(parents=True)
        self.login = Login(folder / "login", BOX_ADDRESS)
        shutil.copytree(Path(__file__).with_name("pins"), self.outside / "pins")
        with ExitStack() as stack:
            self.ear = stack.enter_context(Ear(self.outside))
            self.panel = stack.enter_context(Panel(self.outside / "panel", DEFAULT_PINS))
            self._root = stack.enter_context(borrowed(tree, folder / "root"))
            self._prepare()
            self.boot()
            stack.callback(self.pull_plug)
            self._stack = stack.pop_all()

    def boot(self) -> None:
        """Switch it on; returns when everything that starts by itself has started."""
        self._container = Container(self._root, self.outside)

    def pull_plug(self) -> None:
        """Everything in there is gone at once."""
        self._container.close()

    def plug_in_network(self) -> None:
        """Until then there is none."""
        self._container.plug_in_network()

    def run(self, *command: str | Path, **options: Any) -> str:
        """What a command prints in there, as root; see `container.Container.run`."""
        return self._container.run(*command, **options)

    def fails(self, *command: str | Path, **options: Any) -> str:
        """The complaint of a command that has to fail."""
        return self._container.fails(*command, **options)

    def installer(self, wheelhouse: str = "wheelhouse") -> tuple[str, str]:
        """The command that installs from a wheelhouse in `outside`."""
        return "sh", f"/rehearsal/{wheelhouse}/systemd/install.sh"

    def install(self, wheelhouse: str = "wheelhouse") -> str:
        """Run it, as the owner of a box would."""
        return self.run(*self.installer(wheelhouse), timeout_seconds=INSTALL_SECONDS)

    def show(self, what: str, unit: str = UNITS[0]) -> str:
        """One property of a unit."""
        return self.run("systemctl", "show", f"--property={what}", "--value", unit).strip()

    def pid(self, unit: str = UNITS[0]) -> str:
        """The main process, by its number in there; 0 when there is none."""
        return self.show("MainPID", unit)

    def journal(self, *of: str, n_lines: int = 60) -> str:
        """The last of what the system and its services said."""
        return self.run("journalctl", "--boot", "--output=cat", f"--lines={n_lines}", *of)

    def playing(self, after: float, timeout_seconds: float = PLAYING_SECONDS) -> float:
        """Wait for a sound that came after a moment; seconds from there."""
        return self.ear.sounding(after=after, timeout_seconds=timeout_seconds) - after

    def settled(self) -> None:
        """Wait until one of the services has told that it plays."""
        wait_until(
            lambda: any(self.show("ActiveState", unit) == "active" for unit in UNITS),
            "a service that plays",
            timeout_seconds=PLAYING_SECONDS,
            every_seconds=0.1,
        )

    def restarted(
        self, kill: Callable[[], object], timeout_seconds: float = PLAYING_SECONDS
    ) -> float:
        """Do away with what plays; seconds until it plays again."""
        moment = time.monotonic()
        kill()
        quiet = moment + ON_ITS_WAY_SECONDS
        return self.playing(quiet, timeout_seconds) + ON_ITS_WAY_SECONDS

    def close(self) -> None:
        """Pull the plug and clear up; may be called again."""
        self._stack.close()

    def _prepare(self) -> None:
        authorized = self._root / "root/.ssh/authorized_keys"
        authorized.parent.mkdir(mode=0o700, exist_ok=True)
        authorized.write_text(self.login.public_key)
        for unit in UNITS:
            drop_in = self._root / f"etc/systemd/system/{unit}.service.d/rehearsal.conf"
            drop_in.parent.mkdir()
            drop_in.write_text(_DROP_IN)


def assert_models_whole(run: Callable[..., str]) -> None:
    """Every model in a box's store is what its name says, and nothing half-written lies about."""
    names = run("ls", "-A", MODELS).split()
    for name in names:
        if name.endswith(".onnx"):
            assert name == f"{run('sha256sum', f'{MODELS}/{name}').split()[0]}.onnx"
    assert not [name for name in names if name.endswith((".part", ".tmp", ".new"))]
