"""Pairing: a key of its own for pushing, and a box that lets that key do nothing else."""

import re
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

import click

from device.errors import MissingExtra, SwitchboardError
from device.plain_text import one_line
from export.remote.box_client import Box
from export.remote.ssh import Host, Line, explain

_SCRIPT = Path(__file__).with_name("pair.sh")
_SECONDS = 120.0
_PUBLIC_KEY = re.compile(r"((?:ssh|ecdsa|sk)-[\w@.-]+) ([A-Za-z0-9+/=]+)(?: .*)?", re.ASCII)
# It becomes part of a command in authorized_keys, which has quotes of its own.
_PLAIN_PATH = re.compile(r"/[\w./+-]*", re.ASCII)
_COMMENT = "switchboard-push"

_WRONG = {
    "noprogram": (
        "found no `switchboard` there, expected it in /opt/switchboard/current or on the path of a "
        "login; install it there, or give its place with --program"
    ),
    "nosudo": (
        "found an account that may not use sudo without a password, expected the owner's; pair as "
        "an account that may, such as pi@{name}"
    ),
    "nostore": (
        "found that {account} may not write to {store}, expected a place for models; give one with "
        "--store, and the same one to `switchboard play`"
    ),
    "taken": (
        "found that this key may do more there than push models, expected a key of its own; leave "
        "--identity out, or take the key's other line out of ~/.ssh/authorized_keys there"
    ),
}


class PairingError(SwitchboardError, ValueError):
    """A key or a box that cannot be paired."""

    exit_code = 46


@dataclass(frozen=True)
class Place:
    """Where things are on a box; empty for what is found there and its own default.

    Raises
    ------
    PairingError
        If a path could be taken for more than a path.
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
    """What was found or done on a box.

    Attributes
    ----------
    host : Host
        As to push to it.
    program : str
        What the key runs there.
    gave_shell : bool
        Whether the account had none to run it with.
    is_new : bool
    """

    host: Host
    program: str
    gave_shell: bool
    is_new: bool


def default_identity() -> Path:
    """Where this workstation keeps its key for pushing."""
    return Path(click.get_app_dir("switchboard")) / "id_ed25519"


def identity_for_pushing(asked: Path | None) -> Path | None:
    """The key to push with; None leaves the choice to ssh, where nothing was ever paired.

    Raises
    ------
    PairingError
        If the one that was asked for is not there.
    """
    if asked is not None and not asked.is_file():
        raise PairingError(
            f"{asked}: found no such key, expected a private one; `switchboard pair HOST "
            "--identity` makes it"
        )
    default = default_identity()
    return asked or (default if default.is_file() else None)


def make_identity(identity: Path) -> bool:
    """Make a key, unless there is one; says whether it did.

    Raises
    ------
    PairingError
        If it cannot be made.
    """
    if identity.exists():
        return False
    try:
        identity.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise PairingError(
            f"{identity}: cannot be made ({error.strerror}); see --identity"
        ) from error
    _keygen("-q", "-t", "ed25519", "-N", "", "-C", _COMMENT, "-f", str(identity))
    return True


def public_half(identity: Path) -> str:
    """The line that a box needs to know of a key.

    Raises
    ------
    PairingError
        If the file is no private key, or locked with a passphrase and without its other half.
    """
    beside = identity.with_name(identity.name + ".pub")
    if beside.is_file():
        text = beside.read_text(errors="replace")
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
        done = subprocess.run(
            ["ssh-keygen", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise MissingExtra(
            "this verb needs ssh-keygen, which is not installed; install it with: "
            "sudo apt install openssh-client"
        ) from error
    if done.returncode:
        raise PairingError(f"ssh-keygen: {one_line(done.stderr)}; see --identity")
    return done.stdout


def pair(host: Host, identity: Path, place: Place, *, port: int | None) -> Pairing:
    """Introduce a key to a box through the owner's own login, which may ask its questions.

    Raises
    ------
    PairingError
        If the box cannot be paired.
    SwitchboardError
        What `export.remote.ssh.explain` knows.
    """
    arguments = [public_half(identity), place.program, place.store]
    told = _run(host, Line(port=port, batch=False), arguments)
    state = told.get("state", "")
    if state in _WRONG:
        reason = _WRONG[state].format(**{"account": "", "store": "", **told, "name": host.name})
        raise PairingError(f"{host}: {reason}")
    return Pairing(
        host=Host(told["account"], host.name),
        program=told["program"],
        gave_shell="shell" in told,
        is_new=state == "new",
    )


def check_pairing(pairing: Pairing, identity: Path, port: int | None) -> None:
    """See that the key alone gets us to the box's end of a push.

    Raises
    ------
    SwitchboardError
        What `export.remote.ssh.explain` knows.
    """
    with Box(pairing.host, Line(identity, port)) as box:
        box.greeting()
        box.part()


def _run(host: Host, line: Line, arguments: list[str]) -> dict[str, str]:
    """Run the script there; what it answers."""
    # One text: ssh hands the words on to a shell, joined by spaces.
    remote = " ".join(map(shlex.quote, ["sh", "-s", "--", *arguments]))
    with line.start(host, remote, stderr=subprocess.PIPE) as process:
        try:
            out, err = process.communicate(_SCRIPT.read_bytes(), timeout=_SECONDS)
        except BaseException:
            process.kill()
            raise
    lines = out.decode(errors="replace").splitlines()
    told = dict(text.split("=", 1) for text in map(one_line, lines) if "=" in text)
    if not {"account", "program", "state"} <= set(told) and told.get("state") not in _WRONG:
        raise explain(host, process.returncode, err.decode(errors="replace"))
    return told
