"""Commands that make a corpus: `switchboard corpus studio` and `switchboard corpus folder`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from training.progress import shown_progress

_OUT = click.option(
    "--out",
    "directory",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory of the corpus. A run that was interrupted goes on here.",
)
_WORKERS = click.option(
    "--workers",
    "n_workers",
    type=click.IntRange(min=1),
    default=lambda: os.cpu_count() or 1,
    show_default="all cores",
    help="Processes to work with; the result is the same.",
)


@click.group()
def corpus() -> None:
    """Make the music that a network learns from."""


@corpus.command()
@click.option(
    "--minutes",
    type=click.FloatRange(min=0.2),
    default=600.0,
    show_default=True,
    help="How much music. More than before extends a corpus.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    help="Which series of loops.",
)
@_OUT
@_WORKERS
def studio(minutes: float, seed: int, directory: Path, n_workers: int) -> None:
    """Play a corpus in the studio: seeded loops, nothing to download, CC0."""
    from training.studio.shards import write_studio_corpus

    with _reported(directory, "loops") as on_progress:
        write_studio_corpus(
            directory, seed=seed, minutes=minutes, n_workers=n_workers, on_progress=on_progress
        )


@corpus.command()
@click.argument("music", type=click.Path(path_type=Path))
@_OUT
@_WORKERS
def folder(music: Path, directory: Path, n_workers: int) -> None:
    """Cut a folder of MUSIC (mp3, ogg, flac, wav, aiff, m4a) into loops of sixteen beats."""
    from training.folder import write_folder_corpus

    with _reported(directory, "files") as on_progress:
        write_folder_corpus(directory, music, n_workers=n_workers, on_progress=on_progress)
    _print_skipped(directory)


@contextmanager
def _reported(directory: Path, unit: str) -> Iterator[Callable[[int, int], None]]:
    """Show progress while a corpus is made, and one line of facts afterwards."""
    started = time.monotonic()
    shares_done: list[float] = []
    with shown_progress(unit) as show:

        def on_progress(n_done: int, n_total: int) -> None:
            shares_done.append(n_done / n_total)
            show(n_done, n_total)

        yield on_progress
    _print_summary(directory, time.monotonic() - started, shares_done[-1] - shares_done[0])


def _print_summary(directory: Path, seconds: float, share_new: float) -> None:
    from training.corpus import Corpus

    facts = Corpus.open(directory).provenance_summary()
    line = f"{directory}: {facts['n_loops']} loops, {facts['hours']:.2f} hours"
    if share_new > 0.0:
        speed = share_new * facts["hours"] * 3600.0 / seconds
        line += f", {seconds:.0f} s, {speed:.0f} x real time"
    else:
        line += ", was complete already"
    click.echo(line)


def _print_skipped(directory: Path, n_shown: int = 5) -> None:
    from training.corpus import Corpus

    skipped = Corpus.open(directory).header["skipped"]
    if not skipped:
        return
    click.echo(f"{len(skipped)} skipped, all listed in {directory / 'corpus.json'}:")
    for entry in skipped[:n_shown]:
        click.echo(f"  {entry['path']}: {entry['reason']}")
    if len(skipped) > n_shown:
        click.echo(f"  and {len(skipped) - n_shown} more")
