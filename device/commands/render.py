"""`switchboard render`: one state of the panel as a recording, faster than real time."""

import time
from pathlib import Path

import click

from device.commands import options


@click.command()
@click.option("--bits", required=True, help="State of the panel, such as 01100101.")
@click.option(
    "--seconds", type=options.Finite(min=0.1), default=12.0, show_default=True, help="Length."
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="WAV file to write.")
@options.model
@options.music
def render(
    bits: str,
    seconds: float,
    out: Path,
    model: Path | None,
    seed: int,
    tempo: float | None,
    still: bool,
    patina: float,
    gain: float,
) -> None:
    """Write one state of the panel as a WAV file."""
    from device.instrument import Instrument
    from device.network import BUNDLED_MODEL, Network
    from device.speakers import WavSpeaker
    from device.switches import FixedSwitches, parse_bits
    from device.voice import Performance

    network = Network.open(model or BUNDLED_MODEL)
    state = parse_bits(bits, network.card.n_switches)
    performance = Performance(
        seed=seed, tempo_bpm=tempo, still=still, patina=patina, gain_db=gain, block_frames=16
    )
    started = time.monotonic()
    with (
        WavSpeaker(out, network.card.sample_rate, paced=False) as speaker,
        Instrument(network, FixedSwitches(state), speaker, performance, ahead=False) as instrument,
    ):
        report = instrument.play(seconds)
    taken = time.monotonic() - started
    click.echo(f"{out}: {report.seconds:.1f} s, {report.seconds / taken:.0f}x real time")
