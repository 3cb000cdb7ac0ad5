"""`switchboard train --plan`: what a training will need, as lines of text."""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from device.console import say
from training.commands.train_options import LabelOptions, TrainOptions

if TYPE_CHECKING:
    import torch

    from training.corpus.reader import Corpus
    from training.run.plan import Cost, Plan

# Planned for at least, though this machine may be smaller: another one may not.
_LEAST_PROCESSES = 8
_COLUMNS = (
    "processes",
    "memory each",
    "GPU memory",
    "codec step",
    "composer step",
    "steps",
    "time",
)


def print_plan(options: TrainOptions) -> None:
    """Take some steps of a training that is not begun, and print what all of it will need."""
    import torch

    from training.corpus.reader import Corpus
    from training.run.config import Config
    from training.run.plan import make_plan
    from training.run.run_folder import open_run
    from training.run.trainer import Budget

    device = options.torch_device()
    label_options = LabelOptions.of(options.switches, options.labels, options.tags)
    codec_run = open_run(options.codec_run) if options.codec_run else None
    initial_run = open_run(options.from_run) if options.from_run else None
    config = options.config(device, label_options, codec_run, initial_run)
    corpus = Corpus.open(options.corpus)

    def config_for(n_processes: int) -> Config:
        return options.with_batch(config, None, n_processes)

    most = max(_LEAST_PROCESSES, torch.cuda.device_count())
    budget = Budget(options.steps, options.minutes)
    plan = make_plan(corpus, budget, device, config_for, most=most)
    say(*_lines(plan, options, corpus, device))


def _lines(
    plan: "Plan", options: TrainOptions, corpus: "Corpus", device: "torch.device"
) -> Iterator[str]:
    from training.run.provenance import machine

    seconds = len(corpus) * corpus.beats_per_loop * 60 / corpus.tempo_bpm
    loops = f"{plan.n_loops:,} loops, {plan.n_train:,} to train on"
    yield f"{corpus.directory}: {loops}, {hours(seconds)}"
    yield f"networks: {plan.n_weights / 1e6:.1f} million weights"
    yield from _disk_lines(plan, options)
    yield (
        f"processes: {plan.most_processes} at most; each exchanges {size(plan.gradient_bytes)} of "
        "gradients a step, in a time that is not counted here"
    )
    yield f"on {machine(device)}, {os.cpu_count()} cores, as busy as now:"
    rows = [_COLUMNS, *(_cells(cost) for cost in plan.costs)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))


def _disk_lines(plan: "Plan", options: TrainOptions) -> Iterator[str]:
    from device.files import free_bytes

    run = max(2 * plan.checkpoint_bytes, plan.checkpoint_bytes + plan.finished_bytes)
    there = "there already" if not plan.missing_bytes else "to be written"
    yield f"disk: {size(plan.features_bytes)} of analysis beside the corpus, {there}"
    yield (
        f"disk: {size(run)} for the run: {size(plan.finished_bytes)} when it is finished, and a "
        f"checkpoint of {size(plan.checkpoint_bytes)}, of which there are two while one is replaced"
    )
    for folder, needed in ((options.corpus, plan.missing_bytes), (options.out, run)):
        if (free := free_bytes(folder.absolute())) < needed:
            yield f"{folder}: found {size(free)} free, expected {size(needed)}: make room"


def _cells(cost: "Cost") -> tuple[str, ...]:
    return (
        str(cost.n_processes),
        size(cost.memory),
        size(cost.gpu_memory) if cost.gpu_memory else "–",
        *(f"{1e3 * seconds:.0f} ms" for seconds in cost.step_seconds),
        " + ".join(f"{n:,}" for n in cost.n_steps),
        hours(cost.seconds),
    )


def size(n_bytes: float) -> str:
    """Format a size in the unit that fits."""
    n_mib = n_bytes / 2**20
    return f"{n_mib / 1024:,.1f} GiB" if n_mib >= 1024 else f"{n_mib:,.1f} MiB"


def hours(seconds: float) -> str:
    """Format a time in the unit that fits."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 3600:,.1f} h" if seconds >= 7200 else f"{seconds / 60:.0f} min"
