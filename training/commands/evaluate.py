"""`switchboard audition`. Heavy imports wait until the verb runs."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from device.commands.number_types import Finite
from device.console import say
from device.system.outputs import check_output, is_standard_output

if TYPE_CHECKING:
    from training.evaluation.evaluate import Evaluation, Plan
    from training.evaluation.release_gate import Threshold

_PARTS = ("likeness", "defects", "switches")


@dataclass(frozen=True)
class EvaluationOptions:
    """Options of `switchboard audition`.

    Attributes
    ----------
    model : Path
        The model file, `bundled`, or `bundled:NAME`.
    out : Path
        The HTML page.
    against : Path or None
        Corpus with held-out loops.
    json_path, sheet : Path or None
        The JSON file and the label sheet, where requested.
    pitch : float
        Millimetres from switch to switch on the label sheet.
    names : str
        ``model`` or ``sound``: where the switches' names come from.
    own_names : tuple of str
        Each ``N=NAME``, N from 1.
    write : bool
        Embed names and scores in the model file.
    gate : bool
        Fail when a condition of any part of the release gate is not met.
    parts : tuple of str
        Parts of the gate to decide alone.
    takes : int
        Common variations of every state.
    seed : int
        Of the first of them.
    passes : int
        Of the loop, for which one state is left alone.
    workers : int
        Processes.
    """

    model: Path
    out: Path
    against: Path | None
    json_path: Path | None
    sheet: Path | None
    pitch: float
    names: str
    own_names: tuple[str, ...]
    write: bool
    gate: bool
    parts: tuple[str, ...]
    takes: int
    seed: int
    passes: int
    workers: int

    @property
    def files(self) -> list[Path]:
        """The files to write, without the model."""
        return [path for path in (self.out, self.json_path, self.sheet) if path]

    @property
    def gate_parts(self) -> set[str]:
        """Parts of the gate that decide the exit status; empty where none does."""
        return set(self.parts) or (set(_PARTS) if self.gate else set())


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="HTML page to write.")
@click.option(
    "--against",
    type=click.Path(path_type=Path),
    metavar="CORPUS",
    help="Corpus whose held-out loops the model is compared with.  [default: the loops that the "
    "studio held out, for a model trained on it; else no comparison]",
)
@click.option(
    "--json",
    "json_path",
    type=click.Path(path_type=Path),
    help="JSON file with every measured value.",
)
@click.option(
    "--labels",
    "sheet",
    type=click.Path(path_type=Path),
    help="Label sheet: an SVG to print and glue beside the switches.",
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
    help="Names of the switches: those of the model, or after their strongest measured effect.",
)
@click.option(
    "--name",
    "own_names",
    multiple=True,
    metavar="N=NAME",
    help="Name of switch N; may be given several times.",
)
@click.option("--write", is_flag=True, help="Embed names and scores in MODEL; its hash changes.")
@click.option("--gate", is_flag=True, help="Fail when a condition of the release gate is not met.")
@click.option(
    "--gate-only",
    "parts",
    type=click.Choice(_PARTS),
    multiple=True,
    help="Fail when a condition of this part of the gate is not met; may be given several times.",
)
@click.option(
    "--takes",
    type=click.IntRange(2, 16),
    default=3,
    show_default=True,
    help="Common variations that every state is rendered in.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    help="Seed of the first variation; the others follow.",
)
@click.option(
    "--passes",
    type=click.IntRange(min=8),
    default=50,
    show_default=True,
    help="Passes of the loop for which one state is left alone; a song has 8.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=lambda: os.cpu_count() or 1,
    show_default="all cores",
    help="Processes; the result does not depend on their number.",
)
def audition(**arguments: Any) -> None:
    """Render every state of MODEL, measure the renders and report them on one page."""
    from device.model.bundled import bundled_model
    from training.evaluation.embed_scores import embed_scores
    from training.evaluation.evaluate import evaluate
    from training.evaluation.release_gate import check, thresholds
    from training.evaluation.scores import scores
    from training.reporting.progress import shown_progress

    options = EvaluationOptions(**arguments)
    if bundled := bundled_model(str(options.model)):
        options = replace(options, model=bundled)
    _check_files(options)
    plan, own_names = _plan(options), _own_names(options)
    with shown_progress("sounds") as show:
        evaluation = evaluate(plan, on_progress=show)
    labels = _labels(evaluation, options.names, own_names)
    evaluation = replace(evaluation, labels=labels)

    if options.write:
        digest = embed_scores(options.model, labels, scores(evaluation))
        evaluation = replace(evaluation, sha256_written=digest)
    n_bytes = _write_files(evaluation, options)
    parts = options.gate_parts
    conditions = [each for each in thresholds(evaluation) if not parts or each.part in parts]
    lines = *_lines(evaluation, options.out, n_bytes), *_table(conditions)
    say(*lines, err=any(map(is_standard_output, options.files)))
    if parts:
        check(conditions, evaluation.card.title)


def _check_files(options: EvaluationOptions) -> None:
    """Check before the work that every result can be written.

    Raises
    ------
    OutputError
        If a file cannot be written or is named twice.
    """
    from device.errors import OutputError

    model = options.model
    named = {model.resolve()}
    for path in options.files:
        check_output(path)
        if path.resolve() in named:
            raise OutputError(f"{path}: found it named twice, expected another file for each")
        named.add(path.resolve())
    if options.write:
        import_module("onnx")
        if not os.access(model.parent, os.W_OK):
            raise OutputError(
                f"{model}: found a folder that cannot be written in, expected one for --write: "
                "copy the model to a folder of your own"
            )


def _plan(options: EvaluationOptions) -> "Plan":
    """Find the reference music before the work, so that a gate without it fails at once.

    Raises
    ------
    TooLittleMusic
        If the gate needs reference music and there is none.
    """
    from device.model.network import Network
    from training.evaluation.evaluate import Plan
    from training.evaluation.reference_music import N_LOOPS, TooLittleMusic, find_music

    card = Network.open(options.model).card
    music = find_music(card, options.against, N_LOOPS)
    if music is None and options.gate_parts & {"likeness", "defects"}:
        raise TooLittleMusic(
            f"model {card.title!r}: found no held-out music that its file could bring back, "
            "expected some for the gate: give the corpus it was trained on with --against"
        )
    seeds = range(options.seed, options.seed + options.takes)
    return Plan(options.model, tuple(seeds), music, options.passes, options.workers)


def _own_names(options: EvaluationOptions) -> dict[int, str]:
    """Names of `--name`: switch number from 0 → name.

    Raises
    ------
    click.UsageError
        If a name is not of the form ``N=NAME``, or there is no switch N.
    """
    from device.model.summary import read_card

    n_switches = read_card(options.model).n_switches
    names = {}
    for item in options.own_names:
        number, _, name = item.partition("=")
        is_switch = number.isascii() and number.isdigit() and 1 <= int(number) <= n_switches
        if not is_switch or not 1 <= len(name.strip()) <= 40:
            raise click.UsageError(
                f"--name {item}: expected a switch from 1 to {n_switches}, =, and 1 to 40 letters"
            )
        names[int(number) - 1] = name.strip()
    return names


def _labels(evaluation: "Evaluation", names: str, own: dict[int, str]) -> tuple[str, ...]:
    """One label per switch: its own name, else the measured or the model's one."""
    from training.evaluation.effect_names import names_by_sound

    labels = names_by_sound(evaluation.switches) if names == "sound" else evaluation.labels
    return tuple(own.get(number, name) for number, name in enumerate(labels))


def _write_files(evaluation: "Evaluation", options: EvaluationOptions) -> int:
    """Write page, JSON and label sheet; the size of the page in bytes."""
    from training.evaluation import label_sheet, page
    from training.evaluation.scores import to_dict
    from training.reporting.html import write_text

    n_bytes = write_text(options.out, page.build(evaluation))
    if options.json_path:
        write_text(options.json_path, json.dumps(to_dict(evaluation), indent=1) + "\n")
    if options.sheet:
        title = evaluation.card.title
        sheet = label_sheet.build(title, evaluation.labels, pitch_mm=options.pitch)
        write_text(options.sheet, sheet)
    return n_bytes


def _lines(evaluation: "Evaluation", out: Path, n_bytes: int) -> Iterator[str]:
    """The page, the effect of every switch, and what was embedded in the model."""
    from training.evaluation.effect_names import sentence

    n_states = len(evaluation.sweep.states)
    yield f"{out}: {n_states} states, {n_bytes / 1e6:.1f} MB"
    distances = {
        "model": evaluation.distances,
        "inversion": evaluation.inversion_distances,
        "halves": evaluation.noise_floor,
    }
    for source, each in evaluation.pitch_comparisons.items():
        yield (
            f"notes, {source}: distance {distances[source]['notes']:.2f} sd, kernel distance "
            f"{each.kernel_distance:.0f}, diversity {each.diversity:.2f}"
        )
    if evaluation.is_sample:
        yield f"a sample: the switches have {2**evaluation.card.n_switches:,} states"
    for switch in evaluation.switches:
        yield (
            f"{switch.number + 1:>2} {switch.label}: {sentence(switch)}; coherence "
            f"{switch.coherence:.2f}, recognised {switch.recognised:.1%}"
        )
    if evaluation.sha256_written:
        yield (
            "names and scores are written into the model; its hash was "
            f"{evaluation.sha256[:12]} and is {evaluation.sha256_written[:12]}: share codes of the "
            "old file do not open the new one"
        )


def _table(conditions: "Sequence[Threshold]") -> list[str]:
    """One line per condition of the gate."""
    width = max(len(each.name) for each in conditions)
    return [
        f"{each.status:6}  {each.name:{width}}  {each.measured}, expected {each.expected}"
        for each in conditions
    ]
