"""The device as a container: a whole Debian with its own systemd, sharing only this kernel."""

import os
import signal
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from device.closeable import Closeable
from tests.appliance.shell import PREFERRED, Failed, run, running, wait_until

BOOT_SECONDS = 60
# Its only link. Link-local addresses are part of no other network.
_HOST_END = "ve-appliance"
DEVICE_ADDRESS = f"fe80::2%{_HOST_END}"


class Container(Closeable):
    """A root tree, booted.

    Parameters
    ----------
    root : Path
        Is written to; see `root_filesystem.writable_copy`.
    outside : Path
        A folder of this machine, which is ``/appliance`` in the container.
    """

    def __init__(self, root: Path, outside: Path) -> None:
        self._outside = outside
        self._init = 0
        self._stack = ExitStack()
        with ExitStack() as stack:
            cgroups = stack.enter_context(_own_cgroups())
            self._nspawn = stack.enter_context(
                running(
                    *_nspawn(root, outside),
                    log=outside / "console.log",
                    env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
                    preexec_fn=lambda: _enter(cgroups),
                )
            )
            stack.callback(self._kill)
            wait_until(self._is_up, "a booted system", timeout_seconds=BOOT_SECONDS)
            self._stack = stack.pop_all()

    def run(
        self, *command: str | Path, timeout_seconds: float = 60, stdin: str | None = None
    ) -> str:
        """Output of a command in the container, as root."""
        return run(*self._inside(*command), timeout_seconds=timeout_seconds, stdin=stdin)

    def begin(self, *command: str | Path) -> "subprocess.Popen[bytes]":
        """A command in the container, as root, that is not waited for."""
        quiet = subprocess.DEVNULL
        return subprocess.Popen(self._inside(*command), stdin=quiet, stdout=quiet, stderr=quiet)

    def fails(self, *command: str | Path, timeout_seconds: float = 60) -> str:
        """Output of a command that has to fail."""
        try:
            output = self.run(*command, timeout_seconds=timeout_seconds)
        except Failed as error:
            return str(error)
        raise Failed(f"{command} was expected to fail, and printed: {output}")

    def plug_in_network(self) -> None:
        """Connect the network; before, it has none."""
        ends = ("type", "veth", "peer", "name", "eth0", "netns", str(self._init))
        run("ip", "link", "add", _HOST_END, *ends)
        for side, end, address in (
            (run, _HOST_END, "fe80::1/64"),
            (self.run, "eth0", "fe80::2/64"),
        ):
            side("ip", "address", "add", address, "dev", end, "nodad")
            side("ip", "link", "set", end, "up")

    def close(self) -> None:
        """Cut the power: all its processes end at once; may be called again."""
        self._stack.close()

    def _inside(self, *command: str | Path) -> list[str]:
        return ["nsenter", f"--target={self._init}", "--all", *map(str, command)]

    def _kill(self) -> None:
        # The end of a namespace's first process ends all the others; the end of nspawn does not.
        if self._init:
            with suppress(ProcessLookupError):
                os.kill(self._init, signal.SIGKILL)
            self._nspawn.wait(10)

    def _is_up(self) -> bool:
        if self._nspawn.poll() is not None:
            raise Failed((self._outside / "console.log").read_text()[-2000:])
        # The first child of nspawn's only prepares the second one.
        children = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children").read_text()
        self._init = int((children.split() or [0])[0])
        try:
            return self._init != 0 and self.run("systemctl", "is-system-running") == "running\n"
        except Failed as error:
            return "degraded" in str(error)


def _nspawn(root: Path, outside: Path) -> list[str | Path]:
    return [
        *PREFERRED,
        "systemd-nspawn",
        f"--directory={root}",
        f"--bind-ro={outside}:/appliance",
        "--boot",
        "--private-network",
        "--register=no",
        "--keep-unit",
        "--console=pipe",
    ]


def _enter(cgroups: list[Path]) -> None:
    for folder in cgroups:
        (folder / "cgroup.procs").write_text("0")


@contextmanager
def _own_cgroups() -> Iterator[list[Path]]:
    """Folders in the hierarchies that systemd uses, for this container alone."""
    own = f"appliance-{uuid.uuid4().hex[:8]}"
    folders = [top / own for top in _hierarchies()]
    for folder in folders:
        folder.mkdir()
    try:
        yield folders
    finally:
        with suppress(Failed):
            wait_until(lambda: _removed(folders), "empty control groups", timeout_seconds=10)


def _hierarchies() -> Iterator[Path]:
    """Where this process is in the hierarchies of version 2 and of systemd's own."""
    here = dict(
        line.split(":", 2)[1:] for line in Path("/proc/self/cgroup").read_text().splitlines()
    )
    for line in Path("/proc/mounts").read_text().splitlines():
        _, mount, kind, options, *_ = line.split()
        name = "" if kind == "cgroup2" else "name=systemd"
        if kind == "cgroup2" or (kind == "cgroup" and name in options.split(",")):
            yield Path(mount + here[name])


def _removed(folders: list[Path]) -> bool:
    for top in folders:
        for folder, _, _ in os.walk(top, topdown=False):
            with suppress(OSError):
                Path(folder).rmdir()
    return not any(folder.exists() for folder in folders)
