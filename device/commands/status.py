"""`switchboard status`: how the instrument on this machine is doing."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from device.commands import options
from device.console import say_json
from device.errors import StatusMissing, StatusStale
from device.plain_text import one_line, visible
from device.ui.status_file import DEFAULT_STATUS, WRITE_SECONDS, read_status

if TYPE_CHECKING:
    from rich.console import RenderableType

_DIGITS = 12


@click.command()
@click.option(
    "--file",
    "path",
    type=click.Path(path_type=Path),
    default=DEFAULT_STATUS,
    show_default=True,
    help="Where the instrument writes it; its own option is --status.",
)
@click.option("--watch", is_flag=True, help="Show it again and again, until Ctrl-C.")
@options.as_json
def status(path: Path, watch: bool, as_json: bool) -> None:
    """How the instrument that plays here is doing."""
    if watch:
        _watch(path, as_json=as_json)
    elif as_json:
        say_json(read_status(path, now=time.time()))
    else:
        from rich.console import Console

        Console().print(_picture(read_status(path, now=time.time())))


def _watch(path: Path, *, as_json: bool) -> None:
    try:
        _watch_json(path) if as_json else _watch_picture(path)
    except KeyboardInterrupt:
        return


def _watch_json(path: Path) -> None:
    """One object a line, whenever there is a new one."""
    last = None
    while True:
        facts = _read_or_say(path)
        if facts != last:
            say_json(facts)
            last = facts
        time.sleep(WRITE_SECONDS / 2)


def _watch_picture(path: Path) -> None:
    from rich.live import Live

    with Live(_look(path), auto_refresh=False) as live:
        while True:
            time.sleep(WRITE_SECONDS / 2)
            live.update(_look(path), refresh=True)


def _look(path: Path) -> "RenderableType":
    from rich.text import Text

    facts = _read_or_say(path)
    return Text(one_line(facts["problem"])) if "problem" in facts else _picture(facts)


def _read_or_say(path: Path) -> dict[str, Any]:
    try:
        return read_status(path, now=time.time())
    except (StatusMissing, StatusStale) as error:
        return {"problem": str(error)}


def _picture(facts: dict[str, Any]) -> "RenderableType":
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column()
    for name, reading in _readings(facts):
        table.add_row(name, Text(visible(reading)))
    return table


def _readings(facts: dict[str, Any]) -> list[tuple[str, str]]:
    model, refusal, degrees = facts["model"], facts["last_refusal"], facts["temperature_celsius"]
    governor = facts["governor"]
    rows = [
        ("model", f"{model['title']}  ({model['origin']}, {model['digest'][:_DIGITS]})"),
        ("switches", _switches(facts)),
        ("position", f"bar {facts['bar']}.{facts['beat']} at {facts['tempo_bpm']:g} bpm"),
        ("a flip is heard", _latency(facts)),
        ("trouble", f"{facts['underruns']} underruns, {facts['late_blocks']} late blocks"),
        ("governor", f"{governor['n_passes']} passes, lowered {governor['n_lowered']} times"),
        ("temperature", "unknown" if degrees is None else f"{degrees:.0f} °C"),
        ("played", f"{_clock(facts['seconds_played'])}, up {_clock(facts['uptime_seconds'])}"),
        ("share code", facts["share"]),
    ]
    rows += [("helper", _trouble(name, it)) for name, it in facts["helpers"].items()]
    if refusal is not None:
        at = time.strftime("%Y-%m-%d %H:%M", time.localtime(refusal["at"]))
        rows.append(("last refusal", f"{refusal['digest'][:_DIGITS]}, {at}: {refusal['reason']}"))
    return rows


def _trouble(name: str, trouble: dict[str, Any]) -> str:
    faults, restarts = trouble["n_faults"], trouble["n_restarts"]
    return f"{name}: {faults} faults, started again {restarts} times; latest: {trouble['latest']}"


def _switches(facts: dict[str, Any]) -> str:
    on = [
        label for label, bit in zip(facts["labels"], facts["switches"], strict=True) if bit == "1"
    ]
    waiting = "" if facts["switches"] == facts["sounding"] else f", still {facts['sounding']}"
    return f"{facts['switches']}{waiting}  ({', '.join(on) or 'all off'})"


def _latency(facts: dict[str, Any]) -> str:
    median, worst = facts["switch_to_sound_p50_ms"], facts["switch_to_sound_p99_ms"]
    if median is None:
        return "no flip yet"
    return f"after {median:.0f} ms, 99 of 100 after {worst:.0f} ms"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
