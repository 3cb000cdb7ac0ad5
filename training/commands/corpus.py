"""Commands that make a corpus: `switchboard corpus studio`, `folder` and `fma`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from device.commands.number_types import Finite
from device.console import say
from training.reporting.progress import shown_progress

if TYPE_CHECKING:
    from training.corpus.parallel import Workers

_OUT = click.option(
    "--out",
    "directory",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory of the corpus. An interrupted run continues there.",
)
_WORKER_OPTIONS = (
    click.option(
        "--workers",
        "n_workers",
        type=click.IntRange(min=1),
        show_default="all cores",
        help="Processes; the result does not depend on their number.",
    ),
    click.option(
        "--scheduler",
        metavar="ADDRESS",
        help="Instead of processes, workers of this Dask scheduler: tcp://HOST:8786 or "
        "tls://HOST:8786. Needs the cluster extra.",
    ),
    click.option(
        "--scheduler-tls",
        "tls",
        type=click.Path(file_okay=False, path_type=Path),
        help="Folder with ca.pem, cert.pem and key.pem, for a scheduler at tls://.",
    ),
)


def _with_workers(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say what computes, as its parameter `workers`."""

    @wraps(command)
    def run(
        *arguments: Any,
        n_workers: int | None,
        scheduler: str | None,
        tls: Path | None,
        **options: Any,
    ) -> None:
        command(*arguments, workers=_chosen_workers(n_workers, scheduler, tls), **options)

    for option in reversed(_WORKER_OPTIONS):
        run = option(run)
    return run


def _chosen_workers(n_workers: int | None, scheduler: str | None, tls: Path | None) -> Workers:
    from training.corpus.cluster import Cluster
    from training.corpus.parallel import Processes

    if scheduler is None:
        if tls is not None:
            raise click.UsageError("--scheduler-tls is for a --scheduler")
        return Processes(n_workers or os.cpu_count() or 1)
    if n_workers is not None:
        raise click.UsageError("give --workers or --scheduler: a scheduler has its own workers")
    cluster = Cluster(scheduler, tls, lambda line: say(line, err=True))
    if cluster.is_open:
        say(
            f"{scheduler} is neither encrypted nor authenticated: whoever reaches that port can "
            "run programs on the scheduler, on its workers and here",
            err=True,
        )
    return cluster


_KEY = click.option(
    "--key",
    metavar="NOTE",
    help="Move every piece to this major key or its relative minor, such as C or Eb.",
)
_METRES = click.option(
    "--metre",
    "metres",
    multiple=True,
    type=click.Choice(["4/4", "3/4", "6/8"]),
    default=["4/4"],
    show_default=True,
    help="Take music of this metre; others are left out by name. May be given several times.",
)
_KEEP_DOUBTFUL = click.option(
    "--keep-doubtful",
    is_flag=True,
    help="Also take pieces whose metre or (with --key) key is uncertain.",
)
_CHECK = click.option(
    "--check",
    "check_page",
    metavar="PAGE.html",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a page that plays a loop of each piece with clicks on its beats, the least certain "
    "first.",
)


@click.group()
def corpus() -> None:
    """Make the music that a network is trained on."""


@corpus.command()
@click.option(
    "--minutes",
    type=Finite(min=0.2),
    default=600.0,
    show_default=True,
    help="Minutes of music. More than before extends a corpus.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    help="Seed of the series of loops.",
)
@click.option(
    "--soundfont",
    metavar="FILE.sf2",
    type=click.Path(path_type=Path),
    help="General MIDI sound font for better instruments; needs FluidSynth.",
)
@click.option(
    "--stems", "with_stems", is_flag=True, help="Also store every layer by itself (6 x the space)."
)
@click.option(
    "--versions",
    "n_versions",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Play every composition in so many versions, which differ in layers, density, brightness "
    "and octave alone: for train --switches versions.",
)
@_OUT
@_with_workers
def studio(
    minutes: float,
    seed: int,
    soundfont: Path | None,
    with_stems: bool,
    n_versions: int,
    directory: Path,
    workers: Workers,
) -> None:
    """Play a corpus in the studio: seeded loops, nothing to download, CC0."""
    if with_stems and n_versions > 1:
        raise click.UsageError("--versions shows the layers already: leave out --stems")
    from training.corpus.generator.corpus_writer import write_studio_corpus
    from training.corpus.parallel import IN_THIS_PROCESS, Processes

    with _reported(directory, "loops") as on_progress:
        write_studio_corpus(
            directory,
            seed=seed,
            minutes=minutes,
            soundfont=soundfont,
            with_stems=with_stems,
            n_versions=n_versions,
            workers=IN_THIS_PROCESS if workers == Processes(1) else workers,
            on_progress=on_progress,
        )


@corpus.command()
@click.argument("music", type=click.Path(path_type=Path))
@_OUT
@_KEY
@_METRES
@_KEEP_DOUBTFUL
@_CHECK
@_with_workers
def folder(
    music: Path,
    directory: Path,
    key: str | None,
    metres: tuple[str, ...],
    keep_doubtful: bool,
    check_page: Path | None,
    workers: Workers,
) -> None:
    """Cut a folder of MUSIC (mp3, ogg, flac, wav, aiff, m4a) into loops of sixteen beats."""
    from training.corpus.recordings.folder import write_folder_corpus
    from training.corpus.recordings.rejection import Selection

    with _reported(directory, "files") as on_progress:
        write_folder_corpus(
            directory,
            music,
            key=key,
            selection=Selection(metres, keep_doubtful),
            workers=workers,
            on_progress=on_progress,
        )
    _print_skipped(directory)
    _write_check_page(directory, check_page)


@corpus.command()
@click.argument("archive", metavar="FMA_DIR", type=click.Path(path_type=Path))
@click.option(
    "--subset",
    type=click.Choice(["small", "medium", "large", "full"]),
    required=True,
    help="Which fma_SUBSET folder to read.",
)
@click.option(
    "--genre",
    "genres",
    multiple=True,
    default=["Lo-Fi"],
    show_default=True,
    help="Title as in genres.csv; includes its sub-genres. May be given several times.",
)
@click.option(
    "--licences",
    metavar="LIST",
    default="",
    help="Take only these, such as by,by-sa,cc0; also by-nc, by-nc-sa, by-nd, by-nc-nd, "
    "public-domain, other, or names as in tracks.csv.  [default: all]",
)
@_OUT
@_KEY
@_METRES
@_KEEP_DOUBTFUL
@_CHECK
@_with_workers
def fma(
    archive: Path,
    subset: str,
    genres: tuple[str, ...],
    licences: str,
    directory: Path,
    key: str | None,
    metres: tuple[str, ...],
    keep_doubtful: bool,
    check_page: Path | None,
    workers: Workers,
) -> None:
    """Cut tracks of the Free Music Archive into loops of sixteen beats.

    FMA_DIR holds fma_metadata and the folder of the subset, as published.
    """
    from training.corpus.recordings.fma import write_fma_corpus
    from training.corpus.recordings.rejection import Selection

    with _reported(directory, "files") as on_progress:
        write_fma_corpus(
            directory,
            archive,
            subset=subset,
            genres=genres,
            licences=[name.strip() for name in licences.split(",") if name.strip()],
            key=key,
            selection=Selection(metres, keep_doubtful),
            workers=workers,
            on_progress=on_progress,
        )
    _print_skipped(directory)
    _write_check_page(directory, check_page)


@contextmanager
def _reported(directory: Path, unit: str) -> Iterator[Callable[[int, int], None]]:
    """Show progress while a corpus is made, and one line of summary afterwards."""
    started = time.monotonic()
    shares_done: list[float] = []
    with shown_progress(unit) as show:

        def on_progress(n_done: int, n_total: int) -> None:
            shares_done.append(n_done / n_total)
            show(n_done, n_total)

        yield on_progress
    _print_summary(directory, time.monotonic() - started, shares_done[-1] - shares_done[0])


def _print_summary(directory: Path, seconds: float, share_new: float) -> None:
    from training.corpus.reader import Corpus

    summary = Corpus.open(directory).provenance_summary()
    line = f"{directory}: {summary['n_loops']} loops, {summary['hours']:.2f} hours"
    if share_new > 0.0:
        speed = share_new * summary["hours"] * 3600.0 / seconds
        line += f", {seconds:.0f} s, {speed:.0f} x real time"
    else:
        line += ", was complete already"
    say(line)


def _print_skipped(directory: Path, n_shown: int = 5) -> None:
    from training.corpus.reader import Corpus

    skipped = Corpus.open(directory).header["skipped"]
    if not skipped:
        return
    say(f"{len(skipped)} skipped, all listed in {directory / 'corpus.json'}:")
    for entry in skipped[:n_shown]:
        say(f"  {entry['path']}: {entry['reason']}")
    if len(skipped) > n_shown:
        say(f"  and {len(skipped) - n_shown} more")


def _write_check_page(directory: Path, page: Path | None) -> None:
    if page is None:
        return
    from training.corpus.reader import Corpus
    from training.reporting.beat_check import build
    from training.reporting.html import write_text

    n_bytes = write_text(page, build(Corpus.open(directory)))
    say(f"{page}: {n_bytes / 1e6:.1f} MB, the least certain pieces first")
