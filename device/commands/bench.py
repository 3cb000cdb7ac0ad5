"""`switchboard bench`: what the instrument costs on this machine, measured while it plays."""

import os
import platform
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from device.commands import options
from device.commands.number_types import Finite
from device.console import say, say_json

_FLIP_SECONDS = 4.0


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
    """Play in real time, unheard, with a random flip every 4 s, and report the cost."""
    from device.audio.speaker import SilentSpeaker
    from device.model.network import BUNDLED_MODEL, Network, interrupt
    from device.playback.instrument import Instrument
    from device.playback.statistics import resident_mb
    from device.synthesis.performance import Performance
    from device.system.termination import TerminationHandler

    with TerminationHandler(interrupt) as ending, ExitStack() as stack:
        network = Network.open(model or BUNDLED_MODEL)
        flips, performance = _flips(network.card.n_switches, seconds, seed), Performance(seed=seed)
        speaker = stack.enter_context(SilentSpeaker(network.card.sample_rate))
        instrument = stack.enter_context(
            Instrument(network, flips, speaker, performance, ahead=True)
        )
        cpu, wall = time.process_time(), time.monotonic()
        with ending.stopping(instrument.stop.set):
            report = instrument.play(seconds)
        ending.check()
        cpu, wall = time.process_time() - cpu, time.monotonic() - wall
        voice = instrument.voice
    stages = {
        "compose": voice.compose_seconds,
        "render": voice.spent.render,
        "inversion": voice.spent.inversion,
    }
    stages["rest"] = max(0.0, cpu - sum(stages.values()))
    facts: dict[str, Any] = {
        "core_percent": round(100 * cpu / wall, 3),
        **{f"{name}_percent": round(100 * spent / wall, 3) for name, spent in stages.items()},
        **report.to_dict(),
        "score_misses": voice.n_misses,
        "resident_mb": round(resident_mb(), 1),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }
    if as_json:
        say_json(facts)
    else:
        say(*_table(facts).splitlines())


def _flips(n_switches: int, seconds: float, seed: int) -> Any:
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


def _table(facts: dict[str, Any]) -> str:
    def number(key: str) -> str:
        value = facts[key]
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
            f"missed deadlines   {facts['missed_deadlines']}",
            f"switch to sample   p50 {number('switch_to_sample_p50_ms')} ms, "
            f"p99 {number('switch_to_sample_p99_ms')} ms ({facts['n_flips']} flips), "
            f"then {number('inversion_latency_ms')} ms of inversion (half of it new after "
            f"{number('inversion_halfway_ms')} ms) and the card's buffer",
            f"resident memory    {number('resident_mb')} MB",
        ]
    )
