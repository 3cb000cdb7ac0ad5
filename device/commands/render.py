"""`switchboard render`: one switch state as a recording, faster than real time."""

import time
from pathlib import Path
from typing import Any

import click

from device.commands import options
from device.commands.instrument_settings import InstrumentSettings
from device.commands.number_types import Finite
from device.console import say
from device.system.outputs import is_standard_output


@click.command()
@click.option("--bits", help="Switch state, such as 01100101; --share contains one as well.")
@click.option("--seconds", type=Finite(min=0.1), default=12.0, show_default=True, help="Length.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="WAV file to write.")
@options.model
@options.share
@options.music
def render(bits: str | None, seconds: float, out: Path, **parameters: Any) -> None:
    """Write one switch state as a WAV file."""
    settings = InstrumentSettings(**parameters, standalone=True, ahead=False, block_frames=16)
    position = settings.position
    if bits is None and position is None:
        raise click.UsageError("Missing option '--bits' or '--share'.")
    options.check_share_code_alone(position)
    from device.audio.wav_file import WavSpeaker
    from device.commands.build_instrument import build_instrument
    from device.model.network import interrupt
    from device.switches.base import FixedSwitches
    from device.switches.bits import parse_bits
    from device.system.termination import TerminationHandler

    with TerminationHandler(interrupt) as termination:
        with build_instrument(
            settings,
            termination,
            make_switches=lambda n: FixedSwitches(
                position.bits if position else parse_bits(bits or "", n)
            ),
            make_speaker=lambda rate: WavSpeaker(out, rate, paced=False, whole=True),
        ) as instrument:
            started = time.monotonic()
            with termination.stopping(instrument.stop.set):
                report = instrument.play(seconds)
            termination.check()
        elapsed = time.monotonic() - started
    line = f"{out}: {report.seconds:.1f} s, {report.seconds / elapsed:.0f}x real time"
    say(line, err=is_standard_output(out))
