"""The owner's login to a device: a key, and an ssh that does not use the user's own settings."""

import os
import sys
from pathlib import Path

from tests.appliance.shell import run

HOST = "device"


class Login:
    """A login to a device, by the name ``device``.

    Parameters
    ----------
    connect_seconds : int
        How long the device may take to answer at all.

    Attributes
    ----------
    public_key : str
        For the account's authorized_keys on the device.
    ssh : tuple of str
        A command line up to the command.
    """

    def __init__(
        self,
        folder: Path,
        address: str,
        port: int = 22,
        user: str = "root",
        connect_seconds: int = 10,
    ) -> None:
        folder.mkdir(mode=0o700, parents=True)
        key, config, self._bin = folder / "key", folder / "config", folder / "bin"
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
        self.public_key = key.with_suffix(".pub").read_text()
        escaped = address.replace("%", "%%")
        config.write_text(
            f"Host {HOST}\n HostName {escaped}\n Port {port}\n IdentityFile {key}\n"
            f" UserKnownHostsFile {folder}/known_hosts\n StrictHostKeyChecking accept-new\n"
            f" LogLevel ERROR\n ConnectTimeout {connect_seconds}\n ServerAliveInterval 10\n"
            # Three unanswered signs of life end a login by default: those of half a minute.
            f" ServerAliveCountMax {max(3, connect_seconds // 10)}\n"
        )
        self._bin.mkdir()
        ssh = self._bin / "ssh"
        ssh.write_text(f'#!/bin/sh\nexec {_which("ssh")} -F {config} "$@"\n')
        ssh.chmod(0o755)
        self.ssh = (str(ssh), "-oBatchMode=yes", f"{user}@{HOST}")
        self.identity = folder / "pushing-key"

    def switchboard(self, *words: str | Path, timeout_seconds: float = 120) -> str:
        """Output of a verb on the workstation."""
        return run(*self.command(*words), timeout_seconds=timeout_seconds)

    def command(self, *words: str | Path) -> list[str]:
        """The command line of `switchboard`, with this login's ssh in its path."""
        program = Path(sys.executable).with_name("switchboard")
        path = f"PATH={self._bin}:{os.environ['PATH']}"
        return ["env", path, str(program), *map(str, words)]


def _which(program: str) -> str:
    return run("which", program).strip()
