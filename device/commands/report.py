"""`switchboard report`: the figures of this board, as text to paste into an issue."""

import platform
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from device.commands import board_facts, options
from device.commands.bench import measure
from device.commands.board_facts import Facts, playing_unit
from device.commands.doctor import findings_of
from device.commands.number_types import Finite
from device.console import say, say_json
from device.errors import StatusMissing, StatusStale, SwitchboardError
from device.plain_text import one_line
from device.synthesis.implementation import describe_kernel
from device.system.host import Host
from device.ui.status_file import DEFAULT_STATUS, read_status

# Findings whose text is the program's own; that of the others may hold names, paths and titles.
_QUOTED = (
    "Python",
    "kernel",
    "PortAudio",
    "priority",
    "power",
    "temperature",
    "disk",
    "storage",
    "log",
    "update",
)
_STATUS = (
    "uptime_seconds",
    "switch_to_sound_p50_ms",
    "switch_to_sound_p99_ms",
    "n_flips",
    "underruns",
    "late_blocks",
    "temperature_celsius",
)
_LEFT_OUT = (
    "Left out: names of host, accounts and networks, addresses, serial numbers, paths, the "
    "configuration, and titles of models and music."
)


@click.command()
@click.option(
    "--seconds",
    type=Finite(min=1),
    default=10.0,
    show_default=True,
    help="How long `bench` plays for its figures, unheard.",
)
@click.option("--no-bench", is_flag=True, help="Without the figures of `bench`.")
@click.option(
    "--status",
    "status_file",
    type=click.Path(path_type=Path),
    default=DEFAULT_STATUS,
    show_default=True,
    help="Status file of the instrument that plays.",
)
@options.as_json
def report(seconds: float, no_bench: bool, status_file: Path, as_json: bool) -> None:
    """Print what this board is and what was measured on it, in Markdown.

    No host, account or address is named. Where the service plays, it says that it measured beside
    that.
    """
    host = Host()
    sections = collect(host, status_file, seconds=None if no_bench else seconds)
    if as_json:
        say_json({**sections, "left out": _LEFT_OUT})
    else:
        say(*_markdown(sections))


def collect(host: Host, status_file: Path, *, seconds: float | None) -> dict[str, Facts]:
    """All sections of a report, field by field; None stands for what could not be found out.

    Parameters
    ----------
    seconds : float or None
        How long to play for the figures of `bench`; None: without them.
    """
    sections: dict[str, Facts] = {
        "Board": board_facts.board(host),
        "Versions": {"Python": platform.python_version(), **board_facts.packages()},
        "Sound": {"computed by": describe_kernel(), **board_facts.sound(host)},
        "Service": board_facts.service(host),
        "The instrument that plays": _status(status_file),
        "doctor": {
            f.what: f"{f.verdict}: {f.found}" if f.what in _QUOTED else f.verdict
            for f in findings_of(None, None, host)
        },
    }
    if seconds is not None:
        sections["bench"] = _bench(host, seconds)
    return sections


def _status(path: Path) -> Facts:
    """Figures of the instrument's own status file; nothing where none plays."""
    with suppress(StatusMissing, StatusStale):
        status: dict[str, Any] = {**read_status(path, now=time.time())}
        facts = {name: None if status[name] is None else str(status[name]) for name in _STATUS}
        return {**facts, "governor n_lowered": str(status["governor"]["n_lowered"])}
    return {}


def _bench(host: Host, seconds: float) -> Facts:
    unit, before = playing_unit(host), host.degrees()
    facts: Facts = {"measured": f"beside {unit}, which played" if unit else "no service played"}
    try:
        # The bundled model, which every board has.
        figures = measure(seconds, None, 0)
    except SwitchboardError as error:
        return facts | {"failed": f"exit status {error.exit_code}"}
    named = {name: None if value is None else str(value) for name, value in figures.items()}
    after = host.degrees()
    warmed = None if before is None or after is None else f"{before:.1f} to {after:.1f} °C"
    return facts | {"seconds": f"{seconds:g}"} | named | {"temperature": warmed}


def _markdown(sections: dict[str, Facts]) -> list[str]:
    lines = ["## switchboard report", ""]
    for title, facts in sections.items():
        if facts:
            lines += [f"### {title}", "", "| field | value |", "| --- | --- |"]
            lines += [f"| {_cell(name)} | {_cell(value)} |" for name, value in facts.items()]
            lines.append("")
    return [*lines, _LEFT_OUT]


def _cell(text: str | None) -> str:
    """A text from the system that changes neither the table nor the page it is pasted into."""
    plain = one_line("unknown" if text is None else text)
    return (
        plain.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("@", "&#64;")
    )
