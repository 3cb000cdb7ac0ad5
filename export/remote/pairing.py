"""Pairing: a key of its own for pushing, and a device that lets that key do nothing else."""

import re
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

import click

from device.errors import MissingExtra, SwitchboardError
from device.files import read_regular
from device.plain_text import one_line
from export.remote.box_client import Box
from export.remote.ssh import Host, Line, explain

_SCRIPT = Path(__file__).with_name("pair.sh")
_SECONDS = 120.0
_KEYGEN_SECONDS = 60.0
_MOST_KEY_BYTES = 64 * 1024
_PUBLIC_KEY = re.compile(r"((?:ssh|ecdsa|sk)-[\w@.-]+) ([A-Za-z0-9+/=]+)(?: .*)?", re.ASCII)
# It becomes part of a command in authorized_keys, which has quotes of its own.
_PLAIN_PATH = re.compile(r"/[\w./+-]*", re.ASCII)
_COMMENT = "switchboard-push"

_FAULTS = {
    "noprogram": (
        "found no `switchboard` there, expected it in /opt/switchboard/current or on the path of a "
        "login; install it there, or give its path with --program"
    ),
    "nosudo": (
        "found an account that may not use sudo without a password, expected the owner's; pair as "
        "an account that may, such as pi@{name}"
    ),
    "nostore": (
        "found that {account} may not write to {store}, expected a folder for models; give one "
        "with --store, and the same one to `switchboard play`"
    ),
    "taken": (
        "found that this key may do more there than push models, expected a key of its own; leave "
        "--identity out, or remove the key's other line from ~/.ssh/authorized_keys there"
    ),
}


class PairingError(SwitchboardError, ValueError):
    """A key or a device that cannot be paired."""

    exit_code = 46


@dataclass(frozen=True)
class Place:
    """Paths on a device; empty for the program that is found there and the default store.

    Raises
    ------
    PairingError
        If a path holds characters that a shell would interpret.
    """

    program: str = ""
    store: str = ""

    def __post_init__(self) -> None:
        for name, path in vars(self).items():
            if path and not _PLAIN_PATH.fullmatch(path):
                raise PairingError(
                    f"--{name}: found {path!r}, expected a path from / on, of letters, digits and "
                    "./+-_"
                )


@dataclass(frozen=True)
class Pairing:
    """The result of pairing a device.

    Attributes
    ----------
    host : Host
        To push to.
    program : str
        What the key runs there.
    gave_shell : bool
        Whether the account had no shell to run it with, and was given one.
    is_new : bool
    """

    host: Host
    program: str
    gave_shell: bool
    is_new: bool


def default_identity() -> Path:
    """Where this workstation keeps its key for pushing."""
    return Path(click.get_app_dir("switchboard")) / "id_ed25519"


def identity_for_pushing(requested: Path | None) -> Path | None:
    """The key to push with; None leaves the choice to ssh, where no device was ever paired.

    Raises
    ------
    PairingError
        If the requested one does not exist.
    """
    if requested is not None and not requested.is_file():
        raise PairingError(
            f"{requested}: found no such key, expected a private one; `switchboard pair HOST "
            "--identity` makes it"
        )
    default = default_identity()
    return requested or (default if default.is_file() else None)


def make_identity(identity: Path) -> bool:
    """Make a key, unless there is one; return whether it was made.

    Raises
    ------
    PairingError
        If it cannot be made.
    """
    if identity.is_file():
        return False
    if identity.exists():
        raise PairingError(f"{identity}: found no regular file, expected a key; see --identity")
    try:
        identity.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise PairingError(
            f"{identity}: cannot be made ({error.strerror}); see --identity"
        ) from error
    _keygen("-q", "-t", "ed25519", "-N", "", "-C", _COMMENT, "-f", str(identity))
    return True


def public_half(identity: Path) -> str:
    """The line that a device stores for a key.

    Raises
    ------
    PairingError
        If the file is no private key, or has a passphrase and no public half beside it.
    """
    beside = identity.with_name(identity.name + ".pub")
    if beside.is_file():
        try:
            text = read_regular(beside, _MOST_KEY_BYTES).decode(errors="replace")
        except OSError as error:
            raise PairingError(f"{beside}: cannot be read ({error}); see --identity") from error
    else:
        # An empty passphrase, so that ssh-keygen does not ask for one.
        text = _keygen("-y", "-P", "", "-f", str(identity))
    matched = _PUBLIC_KEY.fullmatch(text.strip())
    if matched is None:
        raise PairingError(
            f"{beside}: found {one_line(text)[:40]!r}, expected a public key; make the pair of "
            "files anew with `ssh-keygen`, or see --identity"
        )
    return f"{matched[1]} {matched[2]} {_COMMENT}"


def _keygen(*arguments: str) -> str:
    try:
        result = subprocess.run(
            ["ssh-keygen", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_KEYGEN_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise PairingError(
            f"ssh-keygen: found no answer within {_KEYGEN_SECONDS:.0f} s, expected a key; see "
            "--identity"
        ) from error
    except FileNotFoundError as error:
        raise MissingExtra(
            "this verb needs ssh-keygen, which is not installed; install it with: "
            "sudo apt install openssh-client"
        ) from error
    if result.returncode:
        raise PairingError(f"ssh-keygen: {one_line(result.stderr)}; see --identity")
    return result.stdout


def pair(host: Host, identity: Path, place: Place, *, port: int | None) -> Pairing:
    """Store a key on a device through the owner's own login, which may ask for a password.

    Raises
    ------
    PairingError
        If the device cannot be paired.
    SwitchboardError
        The errors of `export.remote.ssh.explain`.
    """
    arguments = [public_half(identity), place.program, place.store]
    answers = _run(host, Line(port=port, batch=False), arguments)
    state = answers.get("state", "")
    if state in _FAULTS:
        reason = _FAULTS[state].format(**{"account": "", "store": "", **answers, "name": host.name})
        raise PairingError(f"{host}: {reason}")
    return Pairing(
        host=Host(answers["account"], host.name),
        program=answers["program"],
        gave_shell="shell" in answers,
        is_new=state == "new",
    )


def check_pairing(pairing: Pairing, identity: Path, port: int | None) -> None:
    """Check that the key alone reaches `switchboard receive` on the device.

    Raises
    ------
    SwitchboardError
        The errors of `export.remote.ssh.explain`.
    """
    with Box(pairing.host, Line(identity, port)) as device:
        device.greeting()
        device.disconnect()


def _run(host: Host, line: Line, arguments: list[str]) -> dict[str, str]:
    """Run the script there and return its answers by name."""
    # One text: ssh joins the words by spaces and passes them to a shell.
    remote = " ".join(map(shlex.quote, ["sh", "-s", "--", *arguments]))
    with line.start(host, remote, stderr=subprocess.PIPE) as process:
        try:
            out, err = process.communicate(_SCRIPT.read_bytes(), timeout=_SECONDS)
        except BaseException:
            process.kill()
            raise
    lines = out.decode(errors="replace").splitlines()
    answers = dict(text.split("=", 1) for text in map(one_line, lines) if "=" in text)
    is_complete = {"account", "program", "state"} <= set(answers)
    if not is_complete and answers.get("state") not in _FAULTS:
        raise explain(host, process.returncode, err.decode(errors="replace"))
    return answers
