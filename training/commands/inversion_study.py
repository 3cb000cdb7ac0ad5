"""`switchboard study`. Heavy imports wait until the verb runs."""

import json
from pathlib import Path

import click

from device.commands.number_types import Finite
from device.console import say
from device.system.outputs import check_output, is_standard_output


@click.command()
@click.argument("audio", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="HTML page to write.")
@click.option(
    "--json", "json_path", type=click.Path(path_type=Path), help="JSON file with every row."
)
@click.option(
    "--without-librosa",
    is_flag=True,
    help="Measure only the device's inversion, in a fraction of the time.",
)
@click.option(
    "--seconds",
    type=Finite(min=1.0),
    help="Seconds of the music to use, from its start.  [default: all]",
)
@click.option(
    "--window",
    "windows",
    type=click.Choice([str(2**power) for power in range(6, 13)]),
    multiple=True,
    help="Window in samples; may be given several times.  [default: all]",
)
def study(
    audio: Path,
    out: Path,
    json_path: Path | None,
    without_librosa: bool,
    seconds: float | None,
    windows: tuple[str, ...],
) -> None:
    """Invert spectrograms of AUDIO at every window; report time and error on one page."""
    from training.corpus.format import CorpusError
    from training.inversion_study.experiment import WINDOWS, Plan, read_music, run
    from training.inversion_study.page import build
    from training.reporting.html import write_text
    from training.reporting.progress import shown_progress

    for path in filter(None, (out, json_path)):
        check_output(path)
    samples = read_music(audio, at_most_seconds=seconds)
    plan = Plan(sorted(map(int, windows)) or WINDOWS, with_librosa=not without_librosa)
    try:
        with shown_progress("rows") as show:
            results = run(audio.name, samples, plan, on_progress=show)
    except MemoryError as error:
        raise CorpusError(
            f"{audio}: found no memory for {len(samples):,} samples at once; study less of it with "
            "--seconds"
        ) from error
    n_bytes = write_text(out, build(results))
    if json_path:
        write_text(json_path, json.dumps(results.to_dict(), indent=1) + "\n")
    line = f"{out}: {len(results.rows)} rows, {n_bytes / 1e6:.1f} MB"
    say(line, err=any(map(is_standard_output, filter(None, (out, json_path)))))
