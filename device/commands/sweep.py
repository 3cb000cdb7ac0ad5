"""`switchboard sweep`: renders every switch state and measures it, before it is played."""

import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import click

from device.commands import options
from device.commands.instrument_settings import InstrumentSettings
from device.commands.number_types import Finite
from device.console import say, say_json

if TYPE_CHECKING:
    from device.audio.measurement import AudioMeasurement
    from device.model.network import Network
    from device.switches.bits import Bits
    from device.synthesis.performance import Performance
    from device.system.termination import TerminationHandler

SILENT_LUFS = -35.0
LOUD_PEAK_DB = -1.0
ALIKE_DB = 0.5

# 65,536 states.
_MOST_SWITCHES = 16


@click.command()
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="Folder for the WAV files."
)
@click.option("--seconds", type=Finite(min=1), default=12.0, show_default=True, help="Of each.")
@options.model
@options.music
@options.as_json
def sweep(out: Path, seconds: float, as_json: bool, **parameters: Any) -> None:
    """Render every switch state as OUT/BITS.wav and compare them."""
    from rich.console import Console
    from rich.progress import track

    from device.console import SafeStream
    from device.errors import BitsError, OutputError
    from device.model.bundled import BUNDLED_MODEL
    from device.model.network import Network, interrupt
    from device.switches.bits import format_bits
    from device.switches.state_sampling import all_states
    from device.system.termination import TerminationHandler

    settings = InstrumentSettings(**parameters, standalone=True, ahead=False, block_frames=16)
    console = Console(file=cast(IO[str], SafeStream(sys.stderr)))
    with TerminationHandler(interrupt) as termination:
        network = Network.open(settings.model or BUNDLED_MODEL)
        if network.card.n_switches > _MOST_SWITCHES:
            raise BitsError(
                f"sweep: found a model with {network.card.n_switches} switches, expected "
                f"{_MOST_SWITCHES} at most: every further one doubles the number of states; "
                "`render --bits` renders one, `audition` a sample"
            )
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{out}: cannot make this folder ({error.strerror})") from error
        states = all_states(network.card.n_switches)
        paths = {bits: out / f"{format_bits(bits)}.wav" for bits in states}
        measurements = [
            _render(network, settings.performance, bits, seconds, paths[bits], termination)
            for bits in track(states, description="sweeping", console=console)
        ]
    figures = _figures([format_bits(bits) for bits in states], measurements)
    if as_json:
        say_json(figures)
    else:
        say(*_table(figures).splitlines())


def _render(
    network: "Network",
    performance: "Performance",
    bits: "Bits",
    seconds: float,
    path: Path,
    termination: "TerminationHandler",
) -> "AudioMeasurement":
    import numpy as np

    from device.audio.measurement import measure
    from device.audio.wav_file import WavSpeaker
    from device.synthesis.voice import Voice

    sample_rate = network.card.sample_rate
    voice = Voice(network, performance)
    n_samples = round(seconds * sample_rate)
    blocks, n_made = [], 0
    while n_made < n_samples:
        termination.check()
        blocks.append(voice.block(bits))
        n_made += len(blocks[-1])
    samples = np.concatenate(blocks)[:n_samples]
    with WavSpeaker(path, sample_rate, paced=False, whole=True) as speaker:
        termination.add_save(speaker.end)
        speaker.write(samples)
    return measure(samples, sample_rate)


def _figures(names: list[str], measurements: "list[AudioMeasurement]") -> dict[str, Any]:
    from device.audio.measurement import nearest

    rows: list[dict[str, Any]] = [
        {
            "bits": name,
            "lufs": round(measured.lufs, 2),
            "true_peak_db": round(measured.true_peak_db, 2),
            "silent_share": round(measured.silent_share, 3),
            "is_finite": measured.is_finite,
            "nearest": names[other],
            "nearest_db": round(distance, 2),
        }
        for name, measured, (other, distance) in zip(
            names, measurements, nearest(measurements), strict=True
        )
    ]
    return {
        "n_states": len(rows),
        "n_silent": sum(row["lufs"] <= SILENT_LUFS for row in rows),
        "n_loud": sum(row["true_peak_db"] > LOUD_PEAK_DB for row in rows),
        "n_not_finite": sum(not row["is_finite"] for row in rows),
        "n_alike": sum(row["nearest_db"] < ALIKE_DB for row in rows),
        "states": rows,
    }


def _table(figures: dict[str, Any]) -> str:
    lines = [f"{'bits':>16}  {'LUFS':>6}  {'dBTP':>6}  {'silent':>6}  nearest"]
    lines += [
        f"{row['bits']:>16}  {row['lufs']:6.1f}  {row['true_peak_db']:6.1f}  "
        f"{row['silent_share']:6.1%}  {row['nearest']} at {row['nearest_db']:.1f} dB"
        for row in figures["states"]
    ]
    lines.append(
        f"{figures['n_states']} states: {figures['n_silent']} silent (at or below "
        f"{SILENT_LUFS:.0f} LUFS), {figures['n_loud']} loud (above {LOUD_PEAK_DB:.0f} dBTP), "
        f"{figures['n_not_finite']} not finite, {figures['n_alike']} alike (below {ALIKE_DB} dB)"
    )
    return "\n".join(lines)
