"""`switchboard push` and `switchboard pair`. Heavy imports wait until a verb runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from device.console import say
from device.plain_text import one_line
from export.commands.boxes import interface, paired_and_found

if TYPE_CHECKING:
    from collections.abc import Callable

    from export.remote.push import Model, Outcome
    from export.remote.ssh import Host

identity = click.option(
    "--identity",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Private key for pushing.  [default: the one that `switchboard pair` made]",
)
port = click.option("--port", type=click.IntRange(1, 65535), help="Port of ssh on the device.")


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="HOST... MODEL")
@identity
@port
@click.option(
    "--all",
    "all_paired",
    is_flag=True,
    help="Push to every paired device that is found in this network, besides those named.",
)
@interface
@click.option(
    "--all-of",
    type=click.Path(path_type=Path),
    help="File of hosts, one a line, to push to besides those named.",
)
@click.option("--again", is_flag=True, help="Validate again a model that was refused before.")
def push(
    words: tuple[str, ...],
    identity: Path | None,
    port: int | None,
    all_paired: bool,
    interface: str | None,
    all_of: Path | None,
    again: bool,
) -> int:
    """Send MODEL over ssh to every HOST; each validates it and plays it from a bar line on.

    HOST is a name or an address, with or without USER@; without, it is `switchboard`, the account
    of an installed device. A device that refuses the model plays on as before.
    """
    from export.remote.pairing import identity_for_pushing
    from export.remote.push import Model, push_all
    from export.remote.ssh import Host, Line, read_hosts

    *names, file = words
    hosts = [Host.parse(name) for name in names] + (read_hosts(all_of) if all_of else [])
    if not hosts and not all_paired:
        raise click.UsageError("give at least one HOST before MODEL, or --all, or --all-of FILE")
    model = Model.open(Path(file))
    boxes = paired_and_found(interface) if all_paired else []
    ports = {box.host: box.port for box in boxes if not port}
    hosts = [host.with_default_account() for host in hosts] + [box.host for box in boxes]
    hosts = list(dict.fromkeys(hosts))
    line = Line(identity_for_pushing(identity), port)
    with _bars(hosts) as report:
        outcomes = push_all(model, hosts, line, ports=ports, again=again, report=report)
    return _print_outcomes(model, outcomes)


@click.command()
@click.argument("host")
@identity
@port
@click.option("--program", default="", help="Path of `switchboard` there.  [default: found there]")
@click.option(
    "--store",
    default="",
    help="Folder there for models, where no device is installed.  [default: the device's own]",
)
def pair(host: str, identity: Path | None, port: int | None, program: str, store: str) -> None:
    """Let this workstation push models to HOST, and do nothing else there.

    Logs in as the owner of the device, such as pi@studio.local, and may ask for a password. Makes a
    key for pushing, if there is none yet.
    """
    from export.remote import pairing
    from export.remote.paired_boxes import PairedBox, default_file, remember
    from export.remote.ssh import Host

    owner, place = Host.parse(host), pairing.Place(program, store)
    key = identity or pairing.default_identity()
    say(f"key       {key}: {'made' if pairing.make_identity(key) else 'is there'}")
    paired = pairing.pair(owner, key, place, port=port)
    if paired.gave_shell:
        say(f"account   {paired.host.user}: given /bin/sh, to run that one program")
    say(
        f"device    {'is paired now' if paired.is_new else 'was paired already'}: the key runs "
        f"{paired.program} receive, and nothing else"
    )
    pairing.check_pairing(paired, key, port)
    remember(default_file(), PairedBox(paired.host, port))
    options = [f"--identity {identity}"] if identity else []
    options += [f"--port {port}"] if port else []
    command = " ".join(["switchboard push", str(paired.host), "MODEL", *options])
    say(f"tested    it answers; next: {command}")


@contextmanager
def _bars(hosts: "list[Host]") -> "Iterator[Callable[[Host, str, float], None]]":
    """A bar for each host on standard error, removed when the push has ended."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    console = Console(stderr=True)
    columns = [
        TextColumn("{task.fields[host]}", markup=False),
        BarColumn(),
        TextColumn("{task.description}", markup=False),
    ]
    bars = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    tasks = {host: bars.add_task("", total=1.0, host=str(host)) for host in hosts}
    with bars:
        yield lambda host, what, done: bars.update(tasks[host], description=what, completed=done)


def _print_outcomes(model: "Model", outcomes: "list[Outcome]") -> int:
    """Print the verdicts; the status is that of the first device that does not play it."""
    from device.errors import SwitchboardError

    if len(outcomes) == 1:
        outcomes[0].check()
        say(f"{outcomes[0].host}: {_accepted(model, outcomes[0])}")
        return 0
    status, rows = 0, []
    for outcome in outcomes:
        try:
            outcome.check()
            rows.append((str(outcome.host), "accepted", _accepted(model, outcome)))
        except SwitchboardError as error:
            status = status or error.exit_code
            verdict = "refused" if outcome.verdict else "not reached"
            rows.append((str(outcome.host), verdict, str(error).removeprefix(f"{outcome.host}: ")))
    _table(rows)
    return status


def _accepted(model: "Model", outcome: "Outcome") -> str:
    assert outcome.verdict is not None
    figures: Any = outcome.verdict.figures
    validation = "known there" if not figures else f"validated in {outcome.verdict.seconds:.1f} s"
    return (
        f"plays {model.card.title!r} ({model.sha256[:12]}) from the next bar on; {validation}, "
        f"{outcome.seconds:.1f} s in all"
    )


def _table(rows: list[tuple[str, str, str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("device", "verdict", "", box=None, pad_edge=False)
    for row in rows:
        # Text: rich must not interpret what a device sent.
        table.add_row(*(Text(one_line(cell)) for cell in row))
    Console().print(table)
