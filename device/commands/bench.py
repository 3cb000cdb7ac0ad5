"""`switchboard bench`: the load of the instrument on this machine, measured while it plays."""

import os
import platform
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from device.commands import options
from device.commands.instrument_settings import InstrumentSettings
from device.commands.number_types import Finite
from device.console import say, say_json

if TYPE_CHECKING:
    from device.switches.script import ScriptSwitches
    from device.synthesis.voice import Voice

_FLIP_SECONDS = 4.0
_LEAST_FLIPS = 10


@click.command()
@click.option(
    "--seconds",
    type=Finite(min=1),
    default=30.0,
    show_default=True,
    help="How long to play, in real time.",
)
@options.model
@options.seed
@options.as_json
def bench(seconds: float, model: Path | None, seed: int, as_json: bool) -> None:
    """Play in real time, without sound; report the cost, and how soon flips are heard.

    The cost with a random flip every 4 s; then one flip for every second of that, at random
    moments, each found in the sound that a simulated card was given.
    """
    figures = measure(seconds, model, seed)
    if as_json:
        say_json(figures)
    else:
        say(*_table(figures).splitlines())


def measure(seconds: float, model: Path | None, seed: int) -> dict[str, Any]:
    """The figures of `bench`: costs, blocks, flips and machine, in about twice the seconds.

    Parameters
    ----------
    model : Path or None
        None is the bundled model.

    Raises
    ------
    SwitchboardError
        If the model cannot be opened or played.
    """
    from device.audio.speaker import SilentSpeaker
    from device.commands.build_instrument import build_instrument
    from device.commands.flip_latency import measure_flips
    from device.model.network import interrupt
    from device.playback.statistics import resident_mb
    from device.system.termination import TerminationHandler

    settings = InstrumentSettings(model=model, seed=seed, standalone=True)
    with (
        TerminationHandler(interrupt) as termination,
        build_instrument(
            settings,
            termination,
            make_switches=lambda n: _random_flips(n, seconds, seed),
            make_speaker=SilentSpeaker,
        ) as instrument,
    ):
        cpu, wall = time.process_time(), time.monotonic()
        with termination.stopping(instrument.stop.set):
            report = instrument.play(seconds)
        termination.check()
        cpu, wall = time.process_time() - cpu, time.monotonic() - wall
        costs = {**_costs(instrument.voice, cpu, wall), "resident_mb": round(resident_mb(), 1)}
        n_flips = max(int(seconds), _LEAST_FLIPS)
        flips = measure_flips(
            instrument.voice.network, settings.performance, n_flips=n_flips, seed=seed
        )
    return {**costs, **report.to_dict(), **flips.figures(), **_machine()}


def _costs(voice: "Voice", cpu_seconds: float, wall_seconds: float) -> dict[str, Any]:
    """Share of one core, of the whole process and of each part, in percent."""
    parts = {
        "compose": voice.compose_seconds,
        "render": voice.render_seconds,
        "inversion": voice.stage_seconds.inversion,
    }
    seconds = {"core": cpu_seconds, **parts, "rest": max(0.0, cpu_seconds - sum(parts.values()))}
    return {
        **{f"{name}_percent": round(100 * s / wall_seconds, 3) for name, s in seconds.items()},
        "score_misses": voice.n_misses,
    }


def _machine() -> dict[str, Any]:
    from device.synthesis.implementation import describe_kernel

    return {
        "kernel": describe_kernel(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }


def _random_flips(n_switches: int, seconds: float, seed: int) -> "ScriptSwitches":
    """A script of single flips, one switch at a time, seeded."""
    import numpy as np

    from device.switches.script import ScriptSwitches

    rng = np.random.default_rng(seed)
    bits = [False] * n_switches
    flips = []
    for number in range(int(seconds / _FLIP_SECONDS)):
        switch = int(rng.integers(n_switches))
        bits[switch] = not bits[switch]
        flips.append((number * _FLIP_SECONDS, tuple(bits)))
    return ScriptSwitches(flips, n_switches)


def _table(figures: dict[str, Any]) -> str:
    def number(key: str) -> str:
        value = figures[key]
        return "-" if value is None else f"{value:.2f}"

    return "\n".join(
        [
            f"whole instrument   {number('core_percent')} % of a core",
            f"  compose          {number('compose_percent')} %",
            f"  render           {number('render_percent')} %",
            f"  inversion        {number('inversion_percent')} %",
            f"  the rest         {number('rest_percent')} %",
            f"block              p50 {number('block_p50_ms')} ms, p99 {number('block_p99_ms')} ms, "
            f"max {number('block_max_ms')} ms, deadline {number('block_deadline_ms')} ms",
            f"missed deadlines   {figures['missed_deadlines']}, underruns {figures['underruns']}",
            f"flip to heard      p50 {number('flip_to_heard_p50_ms')} ms, "
            f"p99 {number('flip_to_heard_p99_ms')} ms until half of the sound is new "
            f"({figures['n_timed_flips']} flips, a card of 44,100 Hz)",
            f"  read             p50 {number('flip_to_read_p50_ms')} ms, "
            f"p99 {number('flip_to_read_p99_ms')} ms",
            f"  first sample     p50 {number('flip_to_first_sample_p50_ms')} ms, "
            f"p99 {number('flip_to_first_sample_p99_ms')} ms",
            f"  nine tenths new  p50 {number('flip_to_heard_90_percent_p50_ms')} ms, "
            f"p99 {number('flip_to_heard_90_percent_p99_ms')} ms",
            f"computed by        {figures['kernel']}",
            f"resident memory    {number('resident_mb')} MB",
        ]
    )
