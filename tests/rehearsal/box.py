"""The whole box under rehearsal: its system, its panel, and an ear at its loudspeaker."""

import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from device.closing import Closing
from device.header import DEFAULT_PINS
from tests.rehearsal.container import Container
from tests.rehearsal.ear import Ear
from tests.rehearsal.panel import Panel
from tests.rehearsal.trees import CACHE, borrowed

UNITS = ("switchboard", "switchboard-fallback")
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


class Box(Closing):
    """A fresh system, booted, on which nothing of the instrument is installed yet.

    Attributes
    ----------
    outside : Path
        A folder that the box sees as ``/rehearsal``.
    """

    def __init__(self, tree: Path) -> None:
        with ExitStack() as stack:
            scratch = tempfile.TemporaryDirectory(prefix="outside-", dir=CACHE)
            self.outside = Path(stack.enter_context(scratch))
            self.outside.chmod(0o755)
            shutil.copytree(Path(__file__).with_name("pins"), self.outside / "pins")
            self.ear = stack.enter_context(Ear(self.outside))
            self.panel = stack.enter_context(Panel(self.outside / "panel", DEFAULT_PINS))
            self._root = stack.enter_context(borrowed(tree))
            for unit in UNITS:
                folder = self._root / f"etc/systemd/system/{unit}.service.d"
                folder.mkdir()
                (folder / "rehearsal.conf").write_text(_DROP_IN)
            self._container = Container(self._root, self.outside)
            stack.callback(lambda: self._container.close())
            self._stack = stack.pop_all()
        self.run = self._container.run

    def pull_plug_and_boot(self) -> None:
        """Everything in there is gone at once; then it boots."""
        self._container.close()
        self._container = Container(self._root, self.outside)
        self.run = self._container.run

    def install(self, wheelhouse: str = "wheelhouse", *options: str) -> str:
        """Run the installer of a wheelhouse in `outside`, as its owner would."""
        script = f"/rehearsal/{wheelhouse}/systemd/install.sh"
        return self.run("sh", script, *options, timeout_seconds=INSTALL_SECONDS)

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

    def restarted(self, kill: Callable[[], object], timeout_seconds: float = PLAYING_SECONDS) -> float:
        """Do away with what plays; seconds until it plays again."""
        moment = time.monotonic()
        kill()
        quiet = moment + ON_ITS_WAY_SECONDS
        return self.playing(quiet, timeout_seconds) + ON_ITS_WAY_SECONDS

    def close(self) -> None:
        """Pull the plug and clear up; may be called again."""
        self._stack.close()
