"""The system's ssh as a transport: hosts, the command line, and the causes of its failures.

No shell is used on this side: ssh is started from a list of arguments, and a host that could be
read as an option is refused.
"""

import ipaddress
import os
import re
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from device.errors import MissingExtra, SwitchboardError
from device.files import read_text
from device.plain_text import one_line

# The account that the installer makes on a device.
ACCOUNT = "switchboard"
CONNECT_SECONDS = 10
# A device that was switched off, or a network that was: ssh notices after three of these.
_ALIVE_SECONDS = 5
# The status of ssh's own failures; every other one is that of the remote command.
_SSH_FAILED = 255

_HOST = re.compile(r"(?:([A-Za-z_][\w.-]*)@)?([A-Za-z0-9][\w.-]*)", re.ASCII)
# An IPv6 address, in brackets or not, with or without the name of an interface.
_ADDRESS = re.compile(
    r"(?:([A-Za-z_][\w.-]*)@)?(?:\[([\dA-Fa-f:.]+(?:%\w[\w.-]*)?)\]|([\dA-Fa-f:.]+(?:%\w[\w.-]*)?))",
    re.ASCII,
)
_WITH_PORT = re.compile(r"(.*[^:]):(\d{1,5})", re.ASCII)


class BadHost(SwitchboardError, ValueError):
    """What was given as a host is not one."""

    exit_code = 40


class HostUnreachable(SwitchboardError, OSError):
    """No such host, or it does not answer."""

    exit_code = 41


class LoginRefused(SwitchboardError, PermissionError):
    """The host answers, but does not accept our key."""

    exit_code = 42


class HostKeyRefused(SwitchboardError, PermissionError):
    """The host's key is not accepted: it is unknown, or another than last time."""

    exit_code = 43


class NoSwitchboard(SwitchboardError, OSError):
    """The login works, but no `switchboard receive` answers behind it."""

    exit_code = 44


class ConnectionLost(SwitchboardError, OSError):
    """The connection broke off, or fell silent, before there was a verdict."""

    exit_code = 45


@dataclass(frozen=True)
class Host:
    """A device as ``[user@]name``, where the name may also be an address or an alias of ssh."""

    user: str | None
    name: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read one from a command line or a file.

        Raises
        ------
        BadHost
        """
        parts = _parts(text)
        if parts is not None:
            return cls(*parts)
        split = _WITH_PORT.fullmatch(text)
        if split and _parts(split[1]):
            raise BadHost(
                f"host {text[:80]!r}: found a port in it, expected a host alone; use "
                f"`--port {split[2]}`"
            )
        raise BadHost(
            f"host {text[:80]!r}: expected a name or an address, such as studio.local or "
            "me@192.168.1.20"
        )

    def with_default_account(self) -> Self:
        """The same host, with the account of an installed device unless an account was named."""
        return self if self.user else replace(self, user=ACCOUNT)

    def __str__(self) -> str:
        return self.name if self.user in (None, ACCOUNT) else f"{self.user}@{self.name}"


def _parts(text: str) -> tuple[str | None, str] | None:
    """User and name or address, or None if it is no host."""
    if matched := _HOST.fullmatch(text):
        return matched[1], matched[2]
    matched = _ADDRESS.fullmatch(text)
    if matched is None:
        return None
    # Without brackets: ssh takes them for part of a name.
    address = matched[2] or matched[3]
    try:
        ipaddress.IPv6Address(address)
    except ValueError:
        return None
    return matched[1], address


def read_hosts(path: Path) -> list[Host]:
    """Read a file of hosts, one a line; what follows a # is a remark.

    Raises
    ------
    BadHost
    """
    try:
        lines = read_text(path).splitlines()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise BadHost(f"{path}: cannot be read ({reason}); see --all-of") from error
    names = [line.partition("#")[0].strip() for line in lines]
    return [Host.parse(name) for name in names if name]


@dataclass(frozen=True)
class Line:
    """How to reach devices.

    Attributes
    ----------
    identity : Path or None
        The private key to use and no other; None leaves the choice to ssh.
    port : int or None
    batch : bool
        Whether ssh may not ask for a password or for trust.
    """

    identity: Path | None = None
    port: int | None = None
    batch: bool = True

    def command(self, host: Host, *remote: str) -> list[str]:
        """Make the command line that runs `remote` there; the other side's shell reads it."""
        options = [
            f"BatchMode={'yes' if self.batch else 'no'}",
            f"ConnectTimeout={CONNECT_SECONDS}",
            f"ServerAliveInterval={_ALIVE_SECONDS}",
            "ServerAliveCountMax=3",
            "ClearAllForwardings=yes",
            "PermitLocalCommand=no",
        ]
        if self.identity:
            # Neither keys of an agent nor a connection that another key opened.
            options += ["IdentitiesOnly=yes", "ControlPath=none"]
        return [
            "ssh",
            *("-T", "-x", "-a"),
            *(part for option in options for part in ("-o", option)),
            *(("-i", str(self.identity)) if self.identity else ()),
            *(("-p", str(self.port)) if self.port else ()),
            *(("-l", host.user) if host.user else ()),
            "--",
            host.name,
            *remote,
        ]

    def start(self, host: Host, *remote: str, stderr: int) -> "subprocess.Popen[bytes]":
        """Start ssh with its input and output as pipes.

        Raises
        ------
        MissingExtra
            If there is no ssh here.
        """
        try:
            return subprocess.Popen(
                self.command(host, *remote),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                # In English, which `explain` matches.
                env={**os.environ, "LC_ALL": "C"},
            )
        except FileNotFoundError as error:
            raise MissingExtra(
                "this verb needs ssh, which is not installed; install it with: "
                "sudo apt install openssh-client"
            ) from error


@dataclass(frozen=True)
class _Cause:
    """A message of ssh, the error it becomes, and what to do."""

    pattern: str
    error: type[SwitchboardError]
    remedy: str


# The first match applies.
_CAUSES = (
    _Cause(
        "Could not resolve hostname",
        HostUnreachable,
        "check its name, or give its address",
    ),
    _Cause(
        "REMOTE HOST IDENTIFICATION HAS CHANGED",
        HostKeyRefused,
        "if the device was reinstalled, remove its old key with `ssh-keygen -R {name}` and pair "
        "again; if it was not, another machine answers in its place",
    ),
    _Cause(
        "Host key verification failed|No .* host key is known",
        HostKeyRefused,
        "the host's key is not known on this workstation: `switchboard pair OWNER@{name}` asks "
        "whether to trust it",
    ),
    _Cause(
        "Permission denied|Too many authentication failures|no more authentication methods",
        LoginRefused,
        "this key is not paired with it yet: run `switchboard pair OWNER@{name}`",
    ),
    _Cause(
        "connect to host .* port|timed out during banner exchange|kex_exchange_identification",
        HostUnreachable,
        "check that it is switched on, in this network, and that ssh runs there",
    ),
    _Cause(
        "not responding|closed by remote host|Broken pipe|Connection reset|Connection closed",
        ConnectionLost,
        "the device plays on as before; push again",
    ),
    _Cause(
        "not found|No such file or directory|No such command|cannot execute",
        NoSwitchboard,
        "install it there, or update it, and pair again",
    ),
)


def explain(host: Host, status: int, output: str) -> SwitchboardError:
    """The error that explains why ssh, or the command it started, failed.

    Parameters
    ----------
    status : int
        With which ssh ended.
    output : str
        Its standard error.
    """
    for cause in _CAUSES:
        # With another status than ssh's own, the remote command printed the message.
        if (cause.error is NoSwitchboard) != (status == _SSH_FAILED) and (
            line := _last_line(cause.pattern, output)
        ):
            return cause.error(f"{host}: found {line!r}; {cause.remedy.format(name=host.name)}")
    line = _last_line(".", output) or f"ssh ended with status {status}"
    if status == _SSH_FAILED:
        return ConnectionLost(f"{host}: found {line!r}; the device plays on as before; push again")
    return NoSwitchboard(
        f"{host}: found {line!r}, expected `switchboard receive` to answer; log in there and try "
        "`switchboard doctor`"
    )


def _last_line(pattern: str, output: str) -> str:
    """The last line that matches, without control characters; a host may write anything."""
    lines = [line for line in output.splitlines() if re.search(pattern, line)]
    # The error names the host already; ssh frames its warnings with @.
    return re.sub(r"^(ssh|\S+@\S+): ", "", one_line(lines[-1]).strip("@ ")) if lines else ""
