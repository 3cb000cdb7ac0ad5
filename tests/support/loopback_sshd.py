"""A device on this machine: a real sshd on its own port, with its own keys, home and store.

Nothing outside its folder is read or changed: neither ~/.ssh nor a system's sshd.
"""

import getpass
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

_SBIN = "/usr/sbin:/usr/local/sbin"
_SECONDS = 20.0


def find_programs():
    """Paths of sshd and its tools; skips the test where one is missing."""
    path = os.pathsep.join([os.environ["PATH"], _SBIN])
    programs = {name: shutil.which(name, path=path) for name in ("sshd", "ssh", "ssh-agent")}
    missing = sorted(name for name, program in programs.items() if program is None)
    if missing:
        pytest.skip(f"no {', '.join(missing)}: apt install openssh-server openssh-client")
    return programs


class LoopbackBox:
    """The device and its owner's login: starts on entering a ``with`` block, ends after it."""

    def __init__(self, folder: Path) -> None:
        self.programs = find_programs()
        self.folder = folder
        self.home = folder / "home"
        self.store = folder / "store"
        self.config = folder / "config"
        self.port = _free_port()
        self.user = getpass.getuser()
        self.host = f"{self.user}@127.0.0.1"
        self.bin = folder / "bin"
        self._running = []

    def __enter__(self):
        for part in (self.home / ".ssh", self.config, self.bin):
            part.mkdir(parents=True)
        self._make_key("host_key")
        self._make_key("owner_key")
        self._trust_the_host()
        self._start_sshd()
        self._start_agent()
        return self

    def __exit__(self, *_):
        for process in self._running:
            process.terminate()
            process.wait(_SECONDS)

    @property
    def authorized_keys(self) -> Path:
        return self.home / ".ssh" / "authorized_keys"

    @property
    def environment(self) -> dict[str, str]:
        """The owner's environment, whose `ssh` trusts this device only."""
        path = os.pathsep.join([str(self.bin), os.environ["PATH"]])
        return {"PATH": path, "XDG_CONFIG_HOME": str(self.config)}

    def use_environment(self, monkeypatch) -> None:
        """Run what follows as the owner at the workstation."""
        for name, value in self.environment.items():
            monkeypatch.setenv(name, value)

    @property
    def options(self) -> list[str]:
        """Options of `pair` for this device."""
        return ["--port", str(self.port), "--store", str(self.store)]

    @property
    def push_key(self) -> Path:
        """The key that `pair` makes."""
        return self.config / "switchboard" / "id_ed25519"

    def ssh(self, *arguments, identity, **options):
        """Log in with one key and no other."""
        command = [str(self.bin / "ssh"), "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes"]
        command += ["-i", str(identity), "-p", str(self.port)]
        return subprocess.run(
            [*command, *arguments],
            capture_output=True,
            check=False,
            timeout=60,
            stdin=subprocess.DEVNULL if "input" not in options else None,
            **options,
        )

    def log(self) -> str:
        return (self.folder / "sshd.log").read_text(errors="replace")

    def _make_key(self, name):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.folder / name]
        subprocess.run(command, check=True)

    def _trust_the_host(self):
        public = (self.folder / "host_key.pub").read_text()
        (self.folder / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {public}")
        shutil.copyfile(self.folder / "owner_key.pub", self.authorized_keys)
        (self.folder / "ssh_config").write_text(
            f"UserKnownHostsFile {self.folder}/known_hosts\n"
            "GlobalKnownHostsFile none\n"
            f"IdentityAgent {self.folder}/agent\n"
        )
        # ssh takes its user's home from the system instead of the environment.
        wrapper = self.bin / "ssh"
        wrapper.write_text(
            f'#!/bin/sh\nexec {self.programs["ssh"]} -F "{self.folder}/ssh_config" "$@"\n'
        )
        wrapper.chmod(0o755)

    def _start_sshd(self):
        if os.geteuid() == 0:
            # What a system's own start of sshd makes.
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        path = os.pathsep.join([str(Path(sys.executable).parent), "/usr/bin", "/bin"])
        (self.folder / "sshd_config").write_text(
            f"Port {self.port}\n"
            "ListenAddress 127.0.0.1\n"
            f"HostKey {self.folder}/host_key\n"
            f"AuthorizedKeysFile {self.authorized_keys}\n"
            f"SetEnv HOME={self.home} PATH={path}\n"
            "PidFile none\n"
            # Temporary folders are not strict. The rest is permitted, so that `restrict` is tested.
            "StrictModes no\n"
            "UsePAM no\n"
            "PasswordAuthentication no\n"
            "KbdInteractiveAuthentication no\n"
            "PermitRootLogin prohibit-password\n"
            "AllowTcpForwarding yes\n"
            "AllowAgentForwarding yes\n"
            "PermitTTY yes\n"
            "PermitUserRC yes\n"
            "Subsystem sftp internal-sftp\n"
            "LogLevel VERBOSE\n"
        )
        command = [self.programs["sshd"], "-D", "-f", self.folder / "sshd_config"]
        command += ["-E", self.folder / "sshd.log"]
        self._running.append(subprocess.Popen(command))
        deadline = time.monotonic() + _SECONDS
        while not _answers(self.port):
            if time.monotonic() > deadline or self._running[-1].poll() is not None:
                pytest.fail(f"sshd does not start: {self.log()}")
            time.sleep(0.05)

    def _start_agent(self):
        socket_path = self.folder / "agent"
        command = [self.programs["ssh-agent"], "-D", "-a", socket_path]
        agent = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        self._running.append(agent)
        deadline = time.monotonic() + _SECONDS
        while not socket_path.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        subprocess.run(
            ["ssh-add", "-q", self.folder / "owner_key"],
            env={**os.environ, "SSH_AUTH_SOCK": str(socket_path)},
            check=True,
        )


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _answers(port):
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False
