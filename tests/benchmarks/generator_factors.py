"""What the audition finds of the generator's own versions: the most that a model can reach.

    python tests/benchmarks/generator_factors.py [--variations 2] [--workers 2] [--json FILE]

Compositions that were held out from seed 1 take the place of variations: each of the first is
rendered in all 256 states of the eight factors, and every state once more in a composition of its
own, by the generator alone, without any network. Figures and formulas are those of `audition`.
"""

import json
from itertools import count, islice, product
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from device.switches.bits import Bits
from training.corpus.format import SAMPLE_RATE
from training.corpus.generator.corpus_writer import is_held_out
from training.corpus.generator.loop import render_loop
from training.corpus.generator.versions import FACTORS, plan_of_version
from training.corpus.parallel import run_in_workers
from training.evaluation.factors import LAYERS
from training.evaluation.flip_agreement import agreement_of_flips
from training.evaluation.renders import Render
from training.evaluation.state_similarity import compare_states
from training.evaluation.switch_effects import Sweep, measure_switches
from training.metrics.audio_metrics import analyse
from training.metrics.spectra import as_recorded

CONSOLE = Console(width=max(120, Console().width))
SEED = 1


def render(job: tuple[int, Bits]) -> Render:
    """Render a composition in a state, and measure it as the audition does."""
    composition, bits = job
    factors = dict(zip(FACTORS, bits, strict=True))
    loop = render_loop(
        SEED,
        composition,
        fix=plan_of_version(SEED, composition, factors),
        as_loud_as=plan_of_version(SEED, composition, dict.fromkeys(FACTORS, True)),
    )
    found = analyse(as_recorded(loop.audio), SAMPLE_RATE)
    return Render(
        bits, composition, found.figures, found.pitches, found.onsets, is_finite=True, clip=None
    )


@click.command()
@click.option("--variations", "n_variations", default=2, show_default=True)
@click.option("--workers", "n_workers", default=2, show_default=True)
@click.option("--json", "results", type=click.Path(path_type=Path), help="Write all figures.")
def main(n_variations: int, n_workers: int, results: Path | None) -> None:
    """Render, measure and print."""
    states = list(product((False, True), repeat=len(FACTORS)))
    held_out = (index for index in count() if is_held_out(SEED, index))
    compositions = list(islice(held_out, n_variations + len(states)))
    common, own = compositions[:n_variations], compositions[n_variations:]
    jobs = [(composition, bits) for composition in common for bits in states]
    independent = list(zip(own, states, strict=True))
    jobs += independent
    rendered = track(run_in_workers(render, jobs, n_workers), "renders", len(jobs))
    renders = {(each.seed, each.bits): each for each in rendered}
    sweep = Sweep(
        tuple(states),
        np.array([[renders[one, bits].figures for bits in states] for one in common]),
        np.array([renders[job].figures for job in independent]),
    )
    first = [renders[common[0], bits] for bits in states]
    layers = [number for number, name in enumerate(FACTORS) if name in LAYERS]
    in_a_mix = agreement_of_flips(first, len(FACTORS), on=layers)
    anywhere = agreement_of_flips(first, len(FACTORS))
    between = compare_states(sweep).between_renders
    table = Table(title=f"{len(renders)} loops; two renders of a state differ by {between:.2f} sd")
    for name in ("factor", "moves", "per render", "coherence", "of a render", "recognised"):
        table.add_column(name)
    for name in ("harmony", "rhythm", "harmony in a mix", "rhythm in a mix"):
        table.add_column(name)
    rows = []
    for switch, every, mix in zip(
        measure_switches(sweep, FACTORS), anywhere, in_a_mix, strict=True
    ):
        figures = (
            *(switch.moves, switch.moves / between, switch.coherence, switch.coherence_of_takes),
            *(switch.recognised, every.harmony, every.rhythm, mix.harmony, mix.rhythm),
        )
        table.add_row(switch.label, *(f"{value:.2f}" for value in figures))
        rows.append([switch.label, *figures])
    CONSOLE.print(table)
    if results:
        results.write_text(json.dumps({"between_renders": between, "rows": rows}, indent=2))


if __name__ == "__main__":
    main()
