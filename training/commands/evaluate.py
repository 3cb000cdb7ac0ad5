"""`switchboard audition`. Heavy imports wait until the verb runs."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import click

from device.commands.number_types import Finite
from device.console import say
from device.system.outputs import check_output, is_standard_output

if TYPE_CHECKING:
    from training.evaluation.evaluate import Evaluation, Plan
    from training.evaluation.release_gate import Threshold

_PARTS = ("likeness", "defects", "switches")


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="The report, an HTML page."
)
@click.option(
    "--against",
    type=click.Path(path_type=Path),
    metavar="CORPUS",
    help="Corpus whose held-out loops the model is scored against.  [default: a model trained on "
    "the studio brings its own back; others go without scores]",
)
@click.option(
    "--json", "json_path", type=click.Path(path_type=Path), help="Every figure as JSON, beside it."
)
@click.option(
    "--labels",
    "sheet",
    type=click.Path(path_type=Path),
    help="Label sheet, an SVG to print and glue beside the switches.",
)
@click.option(
    "--pitch",
    type=Finite(8, 186),
    default=20.0,
    show_default=True,
    help="Millimetres from switch to switch on the label sheet.",
)
@click.option(
    "--names",
    type=click.Choice(["model", "sound"]),
    default="model",
    show_default=True,
    help="Call the switches what the model calls them, or after what they were heard to do.",
)
@click.option(
    "--name",
    "own_names",
    multiple=True,
    metavar="N=NAME",
    help="Your own name for switch N; may be given several times.",
)
@click.option("--write", is_flag=True, help="Put names and scores into MODEL; its hash changes.")
@click.option("--gate", is_flag=True, help="Fail when a condition for a release is not met.")
@click.option(
    "--gate-only",
    "parts",
    type=click.Choice(_PARTS),
    multiple=True,
    help="The same with this part of the conditions alone; may be given several times.",
)
@click.option(
    "--takes",
    type=click.IntRange(2, 16),
    default=3,
    show_default=True,
    help="Variations of every state.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Of the first take."
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=lambda: os.cpu_count() or 1,
    show_default="all cores",
    help="Processes to work with; the result is the same.",
)
def audition(
    model: Path,
    out: Path,
    against: Path | None,
    json_path: Path | None,
    sheet: Path | None,
    pitch: float,
    names: str,
    own_names: tuple[str, ...],
    write: bool,
    gate: bool,
    parts: tuple[str, ...],
    takes: int,
    seed: int,
    workers: int,
) -> None:
    """Hear every state of MODEL, measure it, and put it on one page."""
    from training.evaluation import label_sheet as sheets
    from training.evaluation.embed_scores import embed_scores
    from training.evaluation.evaluate import hold
    from training.evaluation.page import build
    from training.evaluation.release_gate import check, thresholds
    from training.evaluation.scores import scores, to_dict
    from training.reporting.html import write_text
    from training.reporting.progress import shown_progress

    model = _found(model)
    _check_files(model, [path for path in (out, json_path, sheet) if path])
    if write:
        _check_can_write(model)
    judged = set(parts) or (set(_PARTS) if gate else set())
    plan = _plan(model, against, range(seed, seed + takes), workers, judged)
    own = _own_names(own_names, model)
    with shown_progress("sounds") as show:
        found = hold(plan, on_progress=show)
    found = replace(found, labels=_names(found, names, own))

    if write:
        found = replace(found, sha256_written=embed_scores(model, found.labels, scores(found)))
    n_bytes = write_text(out, build(found))
    if json_path:
        write_text(json_path, json.dumps(to_dict(found), indent=1) + "\n")
    if sheet:
        write_text(sheet, sheets.build(found.card.title, found.labels, pitch_mm=pitch))
    conditions = [each for each in thresholds(found) if not judged or each.part in judged]
    lines = *_lines(found, out, n_bytes), *_table(conditions)
    say(*lines, err=any(map(is_standard_output, filter(None, (out, json_path, sheet)))))
    if judged:
        check(conditions, found.card.title)


def _found(model: Path) -> Path:
    """`bundled` is a model's name; every other word is a path."""
    from device.model.network import BUNDLED_MODEL

    return BUNDLED_MODEL if model == Path("bundled") else model


def _check_files(model: Path, written: Sequence[Path]) -> None:
    """Find out before the work whether its results will have a place."""
    from device.errors import OutputError

    taken = {model.resolve()}
    for path in written:
        check_output(path)
        if path.resolve() in taken:
            raise OutputError(f"{path}: found it named twice, expected another file for each")
        taken.add(path.resolve())


def _check_can_write(model: Path) -> None:
    """Find what `--write` needs before the work, too: onnx, and a folder to write in."""
    from device.errors import OutputError

    import_module("onnx")
    if not os.access(model.parent, os.W_OK):
        raise OutputError(
            f"{model}: found a folder that cannot be written in, expected one for --write: copy "
            "the model to a folder of your own"
        )


def _plan(
    model: Path, against: Path | None, seeds: Sequence[int], n_workers: int, judged: set[str]
) -> "Plan":
    """Find everything that will be needed before any of the work is done."""
    from device.model.network import Network
    from training.evaluation.evaluate import Plan
    from training.evaluation.reference_music import N_LOOPS, NoHeldOutMusic, find_music

    card = Network.open(model).card
    music = find_music(card, against, N_LOOPS)
    if music is None and judged & {"likeness", "defects"}:
        raise NoHeldOutMusic(
            f"model {card.title!r}: found no held-out music that its file could bring back, "
            "expected some for the gate: give the corpus it was trained on with --against"
        )
    return Plan(model, tuple(seeds), music, n_workers)


def _own_names(own_names: Sequence[str], model: Path) -> dict[int, str]:
    """Switch number from 0 → name."""
    from device.model.summary import read_card

    n_switches = read_card(model).n_switches
    found = {}
    for item in own_names:
        number, _, name = item.partition("=")
        is_switch = number.isascii() and number.isdigit() and 1 <= int(number) <= n_switches
        if not is_switch or not 1 <= len(name.strip()) <= 40:
            raise click.UsageError(
                f"--name {item}: expected a switch from 1 to {n_switches}, =, and 1 to 40 letters"
            )
        found[int(number) - 1] = name.strip()
    return found


def _names(found: "Evaluation", names: str, own: dict[int, str]) -> tuple[str, ...]:
    from training.evaluation.effect_names import names_by_sound

    named = names_by_sound(found.switches) if names == "sound" else found.labels
    return tuple(own.get(number, name) for number, name in enumerate(named))


def _lines(found: "Evaluation", out: Path, n_bytes: int) -> Iterator[str]:
    """The page, the legend, and what was written."""
    from training.evaluation.effect_names import sentence

    n_states = len(found.sweep.states)
    yield (f"{out}: {n_states} states, {n_bytes / 1e6:.1f} MB")
    if found.is_sample:
        yield (f"a sample: the panel has {2**found.card.n_switches:,} states")
    for switch in found.switches:
        yield (
            f"{switch.number + 1:>2} {switch.label}: {sentence(switch)}; coherence "
            f"{switch.coherence:.2f}, recognised {switch.recognised:.1%}"
        )
    if found.sha256_written:
        yield (
            f"names and scores are written into the model; its hash was {found.sha256[:12]} and is "
            f"{found.sha256_written[:12]}: share codes of the old file do not open the new one"
        )


def _table(conditions: "Sequence[Threshold]") -> list[str]:
    width = max(len(each.name) for each in conditions)
    return [
        f"{each.verdict:6}  {each.name:{width}}  {each.measured}, expected {each.expected}"
        for each in conditions
    ]
