"""`switchboard export`. Heavy imports wait until the verb runs."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from device.console import say

if TYPE_CHECKING:
    from export.model.model_file import Exported


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("model.onnx"),
    show_default=True,
    help="Model file to write.",
)
@click.option("--title", default="Lo-Fi Switchboard", show_default=True, help="The model's name.")
@click.option(
    "--quantize",
    type=click.Choice(["none", "int8"]),
    default="none",
    show_default=True,
    help="int8 rounds the weights that draw frames; refused where that is audible or not faster.",
)
def export(run: Path, out: Path, title: str, quantize: str) -> None:
    """Turn a finished RUN into the one file that a device plays."""
    from export.model.model_file import export_run
    from training.run.run_folder import open_run

    done = export_run(open_run(run), out, title=title, rounded=quantize == "int8")
    say(f"{out}: {done.n_bytes / 2**20:.1f} MiB, read back from the disk and compared")
    say(*_findings(done))


def _findings(done: "Exported") -> Iterator[str]:
    """The measurements of the export, one line each."""
    from export.model.benchmark import BOARDS

    parity, card, speed = done.parity, done.card, done.speed
    yield (
        f"parity        torch and onnxruntime agree on {parity.code_agreement:.3%} of the codes "
        f"of {parity.n_states} states;"
    )
    yield f"              log magnitudes differ by {parity.largest_difference:.1e} nepers at most"
    if card.scores:
        named = ", ".join(f"{name} {value:.4g}" for name, value in card.scores.items())
        yield f"scores        {named}"
    if done.distance and done.plain_speed:
        distance, plain = done.distance, done.plain_speed
        yield (
            f"int8          {distance.mean_db:.2f} dB from float32 on average, "
            f"{distance.largest_db:.2f} dB at most; a frame took {plain.frame_ms:.4f} ms"
        )
    of_flip = f", of that after a flip {speed.flip_ms:.2f} ms" if card.n_codes else ""
    yield (
        f"this core     compose {speed.compose_ms:.2f} ms{of_flip}, a frame "
        f"{speed.frame_ms:.4f} ms: {speed.core_percent(card):.1f} % while it plays, without the "
        "inversion"
    )
    for board in BOARDS:
        share = board.core_percent(card, done.compose, done.flip, done.render)
        yield f"extrapolated  {board.name}: about {share:.0f} % of a core; not measured there"
