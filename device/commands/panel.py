"""`switchboard panel`: a page for phones, served by a process of its own."""

import json
import os
import socket
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import click

from device.commands.control_option import control_option
from device.commands.number_types import Finite
from device.console import say
from device.errors import PanelError

DEFAULT_PORT = 8077
STATE_FOLDER = Path("/var/lib/switchboard-panel")
# The first descriptor that systemd passes, as sd_listen_fds(3) says.
_FIRST_PASSED = 3
_BACKLOG = 32


@click.command()
@control_option
@click.option(
    "--listen",
    default="all",
    show_default=True,
    metavar="all|ADDRESS",
    help="Address to listen at, such as 127.0.0.1. A socket that systemd passes takes its place.",
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=DEFAULT_PORT, show_default=True, help="Port."
)
@click.option(
    "--name",
    "names",
    multiple=True,
    metavar="HOST",
    help="Another host name that leads here, one option each.  [default: this machine's names and "
    "addresses]",
)
@click.option(
    "--token-file",
    type=click.Path(path_type=Path),
    help="File of the token.  [default: /var/lib/switchboard-panel/token for root, else "
    "~/.local/state/switchboard/panel-token]",
)
@click.option("--link", is_flag=True, help="Print the link and its QR code, and exit.")
@click.option(
    "--new-token", is_flag=True, help="Make another token first: all links of before end."
)
@click.option(
    "--idle-minutes",
    type=Finite(min=0),
    default=0.0,
    show_default=True,
    help="End after so long without a browser; 0: never.",
)
def panel(
    control: Path,
    listen: str,
    port: int,
    names: tuple[str, ...],
    token_file: Path | None,
    link: bool,
    new_token: bool,
    idle_minutes: float,
) -> None:
    """Serve the page from which a phone plays the instrument.

    The instrument must play with --control. Whoever opens the printed link may play it.
    """
    import_module("h11")  # an error names the extra, before anything listens
    from device.ui.phone_panel.token import make_token, read_token

    passed = _passed_sockets()
    sockets = passed
    if not (passed or link):
        listener = _listen(listen, port)
        port, sockets = listener.getsockname()[1], [listener.detach()]
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    path = token_file or (Path(credentials) / "token" if credentials else _default_token_file())
    is_made = new_token or not (passed or path.exists())
    token = make_token(path) if is_made else read_token(path, is_credential=bool(credentials))
    hosts = [*(name.lower() for name in names), *_own_names()]
    if not passed:
        url = f"http://{_own_address(listen)}:{port}/#{token}"
        say(*_qr_lines(url), url)
        say(f"on networks with mDNS also http://{_own_names()[0]}:{port}/#{token}")
        say("whoever has the link may play; nothing is encrypted: use it in a network you trust")
    if link:
        return
    settings = {
        "sockets": sockets,
        "control": str(control.absolute()),
        "names": hosts,
        "idle_seconds": 60 * idle_minutes,
    }
    _become_panel(settings, token)


def _passed_sockets() -> list[int]:
    """Descriptors that systemd has passed to this process."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    n_passed = os.environ.get("LISTEN_FDS", "")
    return [_FIRST_PASSED + i for i in range(int(n_passed) if n_passed.isdigit() else 0)]


def _default_token_file() -> Path:
    if os.geteuid() == 0:
        return STATE_FOLDER / "token"
    state = Path(os.environ.get("XDG_STATE_HOME", ""))
    return (state if state.is_absolute() else Path.home() / ".local/state") / (
        "switchboard/panel-token"
    )


def _own_names() -> list[str]:
    name = socket.gethostname().partition(".")[0].lower()
    return [f"{name}.local", name, socket.gethostname().lower(), "localhost"]


def _own_address(listen: str) -> str:
    """The address at which this machine can be reached, as a URL has it."""
    if listen != "all":
        return f"[{listen}]" if ":" in listen else listen
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # Sends nothing: it only chooses the way to an address, of documentation.
            probe.connect(("192.0.2.1", 9))
            return str(probe.getsockname()[0])
        except OSError:
            return _own_names()[0]


def _qr_lines(text: str) -> Iterator[str]:
    """A QR code of half blocks, light on dark, with a quiet zone; nothing without segno."""
    try:
        import segno
    except ModuleNotFoundError:
        say("no QR code: found no segno; pip install 'lofi-switchboard[panel]'", err=True)
        return
    rows = [list(row) for row in segno.make(text, error="m", micro=False).matrix_iter(border=2)]
    rows += [[0] * len(rows[0])] * (len(rows) % 2)
    blocks = {(0, 0): "█", (0, 1): "▀", (1, 0): "▄", (1, 1): " "}
    for upper, lower in zip(rows[::2], rows[1::2], strict=True):
        yield "".join(
            blocks[bool(above), bool(below)] for above, below in zip(upper, lower, strict=True)
        )


def _listen(listen: str, port: int) -> socket.socket:
    """A socket that listens, for the process that follows."""
    is_dual = listen == "all" and socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if is_dual or ":" in listen else socket.AF_INET
    address = ("" if listen == "all" else listen, port)
    try:
        return socket.create_server(
            address, family=family, dualstack_ipv6=is_dual, backlog=_BACKLOG
        )
    except OSError as error:
        raise PanelError(
            f"{listen}, port {port}: found {error.strerror or error}, expected an address of this "
            "machine and a free port; choose another --port or --listen"
        ) from error


def _become_panel(settings: dict[str, object], token: str) -> None:
    """Replace this process; the token goes through a pipe, as arguments are public."""
    readable, writable = os.pipe()
    os.write(writable, token.encode() + b"\n")
    os.close(writable)
    os.dup2(readable, 0)
    for descriptor in settings["sockets"]:  # type: ignore[attr-defined]
        os.set_inheritable(descriptor, True)
    words = ["-P", "-m", "device.ui.phone_panel", json.dumps(settings)]
    os.execv(sys.executable, [sys.executable, *words])
