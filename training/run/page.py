"""``page.html``: curves, previews and their spectrograms, drawn again while the run trains.

The networks draw the previews between two steps; another thread turns them into sounds, pictures
and a page, so that a GPU does not wait for that.
"""

import csv
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from device.errors import SwitchboardError
from training.features.analysis import Analysis
from training.helper_threads import helper_threads
from training.reporting.html import Column, Sound, chart, chart_style, render, sound
from training.reporting.progress import TrainingProgress, log_line, span
from training.run.preview import (
    Preview,
    draw_curves,
    draw_previews,
    figure_of_curves,
    write_preview,
)
from training.run.run_folder import explained, replaced
from training.run.stages import ComposerStage

if TYPE_CHECKING:
    from training.run.trainer import Trainer

PAGE_SECONDS = 60.0
# The page takes this share of the time at most.
MOST_SHARE = 0.02
_STARTS = [
    Column("time", is_number=False),
    Column("finished stages"),
    Column("from step"),
    Column("processes"),
    Column("machine", is_number=False),
]


class RunPage:
    """The page of a run, of its leader.

    Parameters
    ----------
    trainer : Trainer
    tempo_bpm : float
        Of the previews.
    clock : callable
        Seconds, monotonic.
    """

    def __init__(
        self, trainer: "Trainer", tempo_bpm: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._trainer = trainer
        self._tempo_bpm = tempo_bpm
        self._clock = clock
        self._due = clock() + PAGE_SECONDS
        self._pool = helper_threads("page")
        self._writing: Future[float] | None = None

    @contextmanager
    def refreshed(self) -> Iterator[None]:
        """End the thread with the block, when the page that it writes is whole."""
        try:
            yield
        finally:
            self._pool.shutdown()

    def refresh_if_due(self, progress: TrainingProgress) -> None:
        """Begin a new page if the last one is old and whole; a failure is a line of the log."""
        if self._clock() < self._due or (self._writing and not self._writing.done()):
            return
        began = self._clock()
        previews = self._draw(with_states=progress.stage == ComposerStage.name)
        drawing = self._clock() - began
        writing = self._writing.result() if self._writing else 0.0
        self._due = self._clock() + max(PAGE_SECONDS, (drawing + writing) / MOST_SHARE)
        facts = [
            f"{progress.stage}, step {progress.step:,}",
            f"{min(progress.done_of_run, 1.0):.0%} of the budget",
            f"{span(self._trainer.progress.seconds)} in this stage",
        ]
        self._writing = self._pool.submit(self._try_to_write, previews, facts)

    def write_finished(self) -> None:
        """Write the last page, and the curves as a picture.

        Raises
        ------
        OutputError
            If a file cannot be written.
        """
        self._pool.shutdown()
        self._write(self._draw(with_states=True), ["finished"], is_finished=True)

    def _draw(self, *, with_states: bool) -> list[Preview]:
        trainer = self._trainer
        return draw_previews(
            trainer.networks, trainer.features, trainer.config, with_states=with_states
        )

    def _try_to_write(self, previews: list[Preview], facts: list[str]) -> float:
        """Seconds that it took; the page is not worth a training."""
        began = self._clock()
        try:
            self._write(previews, facts, is_finished=False)
        except (SwitchboardError, OSError) as error:
            log_line(f"switchboard: {error}; the training goes on without a new page", err=True)
        return self._clock() - began

    def _write(self, previews: list[Preview], facts: list[str], *, is_finished: bool) -> None:
        trainer, analysis = self._trainer, self._trainer.config.analysis
        directory, sounds = trainer.directory, []
        with explained(directory):
            (directory / "preview").mkdir(exist_ok=True)
        for preview in previews:
            samples = write_preview(directory / "preview", preview, analysis, self._tempo_bpm)
            sounds.append(sound(preview.label, samples, analysis.sample_rate, note=preview.note))
        if is_finished:
            draw_curves(directory)
        starts = _starts(directory / "starts.csv")
        page = _page(directory, facts, sounds, analysis, starts, is_finished=is_finished)
        with replaced(directory / "page.html") as file:
            file.write(page.encode("utf-8", "backslashreplace"))


def _page(
    directory: Path,
    facts: list[str],
    sounds: list[Sound],
    analysis: Analysis,
    starts: list[list[str]],
    *,
    is_finished: bool,
) -> str:
    with chart_style():
        curves = chart(figure_of_curves(directory), "curves", "Losses and figures over the steps")
    return render(
        "run.html",
        title=f"Run {directory.name}",
        facts=facts,
        curves=curves,
        sounds=sounds,
        sample_rate=analysis.sample_rate,
        columns=_STARTS,
        groups=[[("", row) for row in starts]],
        is_finished=is_finished,
    )


def _starts(path: Path) -> list[list[str]]:
    """Rows of ``starts.csv``, without its title; what a kill cut off is left out."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [row for row in csv.reader(file) if len(row) == len(_STARTS)][1:]
