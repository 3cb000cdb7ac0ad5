"""`switchboard play`: the instrument itself."""

from pathlib import Path
from typing import Any

import click

from device.commands import options
from device.commands.instrument_settings import InstrumentSettings
from device.commands.number_types import Finite, SwitchPin
from device.config import find_settings, load_settings
from device.console import say, say_json
from device.system.outputs import is_standard_output

# Of a service whose button was held: the unit switches the device off.
POWER_OFF_STATUS = 60


def _apply_config(
    ctx: click.Context, _parameter: click.Parameter, path: Path | None
) -> Path | None:
    path = path or find_settings()
    if path is not None:
        ctx.default_map = {**load_settings(path, ctx.command), **(ctx.default_map or {})}
    return path


@click.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    is_eager=True,
    callback=_apply_config,
    help="TOML file whose keys are these options.  [default: ./switchboard.toml, then "
    "/etc/switchboard/switchboard.toml]",
)
@options.model
@click.option(
    "--store",
    type=click.Path(path_type=Path),
    help="Folder of the models pushed to this device: plays the active one, changes to the next. "
    "Ignored with --model.  [default: /var/lib/switchboard/models on a device]",
)
@click.option(
    "--switches",
    default=InstrumentSettings.switches,
    show_default=True,
    metavar="auto|gpio|keyboard|demo|script:FILE",
    help="auto: the keyboard in a terminal, else 20 s of demo. A script has lines: seconds bits.",
)
@click.option(
    "--pins",
    type=SwitchPin(),
    metavar="BCM|chipN:LINE",
    multiple=True,
    default=InstrumentSettings.pins,
    show_default=True,
    help="BCM numbers of the switches' pins, one option each, or lines of an MCP23017, such as "
    "chip1:5; closed to ground is on.",
)
@click.option("--active-high", is_flag=True, help="Closed to 3.3 V is on, not closed to ground.")
@click.option(
    "--pull",
    type=click.Choice(["inside", "outside"]),
    default=InstrumentSettings.pull,
    show_default=True,
    help="Where the resistor is that holds an open switch's pin: in the Pi, or on your board.",
)
@click.option("--led-playing", type=int, help="BCM number of an LED that is lit while it plays.")
@click.option("--led-fault", type=int, help="BCM number of an LED that is lit at a fault.")
@click.option("--led-beat", type=int, help="BCM number of an LED that flashes on the beat.")
@options.hands
@options.evening
@click.option(
    "--speaker",
    default=InstrumentSettings.speaker,
    show_default=True,
    metavar="auto|card|NAME|list|wav:FILE|silent",
    help="auto: the default card, else performance.wav. NAME: part of a card's name; `list` prints "
    "the names.",
)
@click.option("--seconds", type=Finite(min=0.1), help="Seconds to play.  [default: no limit]")
@click.option(
    "--status",
    type=click.Path(path_type=Path),
    help="File for `switchboard status`, written once a second.  [default: "
    "/run/switchboard/status.json on a device]",
)
@click.option(
    "--control",
    type=click.Path(path_type=Path),
    envvar="SWITCHBOARD_CONTROL",
    help="Unix socket for `switchboard panel`, made while it plays; or the environment variable "
    "SWITCHBOARD_CONTROL.  [default: none]",
)
@click.option(
    "--performance",
    "performance_log",
    type=click.Path(path_type=Path),
    help="New file for the log of the performance, from which `render` makes the same samples. "
    " [default: in /var/lib/switchboard/performances on a device, the last 50]",
)
@click.option(
    "--keep-minutes",
    type=Finite(0, 60),
    default=InstrumentSettings.keep_minutes,
    show_default=True,
    help="How much of the last music the key k, or the button, keeps: 2.6 MB of memory each; 0 "
    "none.",
)
@click.option(
    "--keep-folder",
    type=click.Path(path_type=Path),
    help="Folder of the kept music.  [default: /var/lib/switchboard/kept on a device, else "
    "~/.local/share/switchboard/kept]",
)
@click.option("--keep-pin", type=int, help="BCM number of a button that keeps the last minutes.")
@options.share
@click.option(
    "--service",
    is_flag=True,
    help="Run as a system service: switches on pins, wait for a missing card, notify systemd, "
    "real-time priority.",
)
@options.music
@options.volume_limit
@options.quantize
@options.glide
@options.as_json
def play(
    config: Path | None, seconds: float | None, as_json: bool, speaker: str, **parameters: Any
) -> int:
    """Play, live and endless, until Ctrl-C."""
    del config  # its values have become the other options' defaults
    if speaker == "list":
        from device.audio.port_audio import list_cards

        say(*(list_cards() or ["no card at all: look with `aplay -l`"]))
        return 0
    settings = InstrumentSettings(as_json=as_json, speaker=speaker, **parameters)
    options.check_share_code_alone(settings.position)
    from device.commands.build_instrument import build_instrument
    from device.model.network import interrupt
    from device.switches.script import DEMO_SECONDS
    from device.system.termination import TerminationHandler

    source = settings.switch_source
    if source == "demo" and seconds is None and not settings.service:
        seconds = DEMO_SECONDS
    with (
        TerminationHandler(interrupt) as termination,
        build_instrument(settings, termination) as instrument,
    ):
        with termination.stopping(instrument.stop.set, status=0):
            report = instrument.play(seconds)
        name = instrument.speaker.name
        is_shut_down = instrument.control.is_shut_down
    figures = {**report.to_dict(), "speaker": name, "switches": source}
    if as_json:
        say_json(figures)
    else:
        # After a recording on standard output it would be taken for samples.
        say(_summary(figures), err=is_standard_output(Path(name)))
    return POWER_OFF_STATUS if is_shut_down and settings.service else 0


def _summary(figures: dict[str, Any]) -> str:
    flips = f"{figures['n_flips']} flips"
    if figures["switch_to_sample_p99_ms"] is not None:
        flips += (
            f", switch to first sample p50 {figures['switch_to_sample_p50_ms']:.1f} ms, "
            f"p99 {figures['switch_to_sample_p99_ms']:.1f} ms"
        )
    return (
        f"{figures['seconds']:.1f} s played on {figures['speaker']}; {flips}; "
        f"{figures['underruns']} underruns, {figures['missed_deadlines']} late blocks"
    )
