"""`switchboard render`: one state of the panel as a recording, faster than real time."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from device.commands import options
from device.commands.number_types import Finite
from device.console import say
from device.system.outputs import is_standard_output

if TYPE_CHECKING:
    from device.playback.share_code import SharedPosition


@click.command()
@click.option("--bits", help="State of the panel, such as 01100101; --share knows one, too.")
@click.option("--seconds", type=Finite(min=0.1), default=12.0, show_default=True, help="Length.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="WAV file to write.")
@options.model
@options.share
@options.music
def render(
    bits: str | None,
    seconds: float,
    out: Path,
    model: Path | None,
    place: "SharedPosition | None",
    seed: int,
    tempo: float | None,
    still: bool,
    tape: float,
    gain: float,
) -> None:
    """Write one state of the panel as a WAV file."""
    if bits is None and place is None:
        raise click.UsageError("Missing option '--bits' or '--share'.")
    options.check_not_said_twice(place)
    from device.audio.wav_file import WavSpeaker
    from device.model.network import BUNDLED_MODEL, Network, interrupt
    from device.playback.instrument import Instrument
    from device.playback.model_selection import find_store, open_model_of_share_code
    from device.switches.base import FixedSwitches
    from device.switches.bits import parse_bits
    from device.synthesis.performance import Performance
    from device.system.termination import TerminationHandler

    performance = Performance(
        seed=seed, tempo_bpm=tempo, still=still, tape=tape, gain_db=gain, block_frames=16
    )
    with TerminationHandler(interrupt) as ending:
        if place is not None:
            network = open_model_of_share_code(place, model, find_store(None))
            state, performance = place.bits, place.applied_to(performance)
        else:
            network = Network.open(model or BUNDLED_MODEL)
            state = parse_bits(bits or "", network.card.n_switches)
        started = time.monotonic()
        with (
            WavSpeaker(out, network.card.sample_rate, paced=False, whole=True) as speaker,
            Instrument(
                network, FixedSwitches(state), speaker, performance, ahead=False
            ) as instrument,
        ):
            ending.add_save(speaker.end)
            with ending.stopping(instrument.stop.set):
                report = instrument.play(seconds)
            ending.check()
        taken = time.monotonic() - started
    line = f"{out}: {report.seconds:.1f} s, {report.seconds / taken:.0f}x real time"
    say(line, err=is_standard_output(out))
