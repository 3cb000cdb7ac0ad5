"""`switchboard export`. Heavy imports wait until the verb runs."""

from pathlib import Path

import click


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
def export(run: Path, out: Path, title: str) -> None:
    """Turn a finished RUN into the one file that a box plays."""
    from export.model_file import export_run
    from training.run import open_run

    parity = export_run(open_run(run), out, title=title)
    click.echo(
        f"{out}: {out.stat().st_size / 2**20:.1f} MiB; torch and onnxruntime agree on "
        f"{parity.code_agreement:.3%} of the digits of {parity.n_states} states, log magnitudes "
        f"differ by {parity.largest_difference:.1e} at most"
    )
