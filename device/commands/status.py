"""`switchboard status`: prints the status of the instrument on this machine."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from device.commands import options
from device.commands.number_types import Finite
from device.console import say_json
from device.errors import StatusMissing, StatusStale, SwitchboardError
from device.plain_text import one_line, visible
from device.playback.evening.state import EveningState
from device.ui.status_file import DEFAULT_STATUS, WRITE_SECONDS, Status, read_status
from device.updates.software.outcome import last_outcome

if TYPE_CHECKING:
    from rich.console import RenderableType

_DIGITS = 12


class InstrumentSilent(SwitchboardError, RuntimeError):
    """The instrument plays nothing but silence, and neither sleeps nor has quiet hours."""

    exit_code = 55


@click.command()
@click.option(
    "--file",
    "path",
    type=click.Path(path_type=Path),
    default=DEFAULT_STATUS,
    show_default=True,
    help="Status file; the option --status of `play` sets where it is written.",
)
@click.option(
    "--wait",
    "wait_seconds",
    type=Finite(min=0),
    help="Wait so many seconds at most until it plays sound that is no silence, or sleeps.",
)
@click.option("--watch", is_flag=True, help="Print it whenever it changes, until Ctrl-C.")
@options.as_json
def status(path: Path, wait_seconds: float | None, watch: bool, as_json: bool) -> None:
    """Print the status of the instrument that plays on this machine."""
    if wait_seconds is not None:
        _wait(path, wait_seconds)
    if watch:
        _watch(path, as_json=as_json)
    elif as_json:
        say_json(read_status(path, now=time.time()))
    else:
        from rich.console import Console

        Console().print(_table(read_status(path, now=time.time())))


def _wait(path: Path, seconds: float) -> None:
    """Return when there is a status of an instrument that is heard, or is silent on purpose."""
    give_up = time.monotonic() + seconds
    while True:
        try:
            status = read_status(path, now=time.time())
            on_purpose = status["evening"]["is_asleep"] or status["evening"]["is_quiet"]
            if status["level_db"] is not None or on_purpose:
                return
            raise InstrumentSilent(
                f"{path}: found {seconds:g} s of silence, expected sound; "
                "`switchboard doctor` says what is missing"
            )
        except (StatusMissing, StatusStale, InstrumentSilent):
            if time.monotonic() > give_up:
                raise
        time.sleep(WRITE_SECONDS / 2)


def _watch(path: Path, *, as_json: bool) -> None:
    try:
        _watch_json(path) if as_json else _watch_table(path)
    except KeyboardInterrupt:
        return


def _watch_json(path: Path) -> None:
    """One JSON object per line for every new status."""
    last = None
    while True:
        status: Status | dict[str, str]
        try:
            status = read_status(path, now=time.time())
        except (StatusMissing, StatusStale) as error:
            status = {"problem": str(error)}
        if status != last:
            say_json(status)
            last = status
        time.sleep(WRITE_SECONDS / 2)


def _watch_table(path: Path) -> None:
    from rich.live import Live

    with Live(_table_or_problem(path), auto_refresh=False) as live:
        while True:
            time.sleep(WRITE_SECONDS / 2)
            live.update(_table_or_problem(path), refresh=True)


def _table_or_problem(path: Path) -> "RenderableType":
    from rich.text import Text

    try:
        return _table(read_status(path, now=time.time()))
    except (StatusMissing, StatusStale) as error:
        return Text(one_line(str(error)))


def _table(status: Status) -> "RenderableType":
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column()
    for name, text in _rows(status):
        table.add_row(name, Text(visible(text)))
    return table


def _rows(status: Status) -> list[tuple[str, str]]:
    model, refusal, degrees = status["model"], status["last_refusal"], status["temperature_celsius"]
    governor = status["governor"]
    rows = [
        ("model", f"{model['title']}  ({model['origin']}, {model['digest'][:_DIGITS]})"),
        ("switches", _switches(status)),
        ("held by", _holders(status)),
        ("position", f"bar {status['bar']}.{status['beat']} at {status['tempo_bpm']:g} bpm"),
        ("volume", f"{status['gain_db']:+g} dB"),
        ("evening", EveningState(**status["evening"]).words or "it plays"),
        ("a flip is heard", _latency(status)),
        ("trouble", f"{status['underruns']} underruns, {status['late_blocks']} late blocks"),
        ("governor", f"{governor['n_passes']} passes, lowered {governor['n_lowered']} times"),
        ("temperature", "unknown" if degrees is None else f"{degrees:.0f} °C"),
        ("played", f"{_clock(status['seconds_played'])}, up {_clock(status['uptime_seconds'])}"),
        ("share code", status["share"]),
    ]
    for name, faults in status["helpers"].items():
        counts = f"{faults['n_faults']} faults, started again {faults['n_restarts']} times"
        rows.append(("helper", f"{name}: {counts}; latest: {faults['latest']}"))
    if (outcome := last_outcome()) is not None:
        rows.append(("last update", outcome.words))
    if refusal is not None:
        at = time.strftime("%Y-%m-%d %H:%M", time.localtime(refusal["at"]))
        rows.append(("last refusal", f"{refusal['digest'][:_DIGITS]}, {at}: {refusal['reason']}"))
    return rows


def _switches(status: Status) -> str:
    on = [
        label for label, bit in zip(status["labels"], status["switches"], strict=True) if bit == "1"
    ]
    waiting = "" if status["switches"] == status["sounding"] else f", still {status['sounding']}"
    return f"{status['switches']}{waiting}  ({', '.join(on) or 'all off'})"


def _holders(status: Status) -> str:
    if not status["held_by"]:
        return "the panel, all switches"
    held = [f"{switch} by {source}" for switch, source in status["held_by"].items()]
    return f"{', '.join(held)}; the others by the panel"


def _latency(status: Status) -> str:
    median, worst = status["switch_to_sound_p50_ms"], status["switch_to_sound_p99_ms"]
    if median is None:
        return "no flip yet"
    return f"after {median:.0f} ms, 99 of 100 after {worst:.0f} ms"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
