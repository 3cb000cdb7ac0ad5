"""``curves.csv``: the figures of a run, one row per stage, step and figure."""

import csv
import io
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from training.run.config import TrainingError
from training.run.run_folder import explained, replaced
from training.run.stages import STAGES


@dataclass
class Progress:
    """Position of a run, saved with every checkpoint; `stage` is the number of finished stages."""

    stage: int = 0
    step: int = 0
    seconds: float = 0.0


class TrainingLog:
    """``curves.csv``: one row per stage, step and figure."""

    COLUMNS = ("stage", "step", "seconds", "figure", "value")

    def __init__(self, path: Path) -> None:
        self.path = path

    def cut(self, at: Progress) -> None:
        """Keep rows up to a stage and step; none for a run that begins.

        Raises
        ------
        TrainingError
            If a row is damaged.
        OutputError
            If the file cannot be written.
        """
        try:
            kept = [row for row in self._rows() if _stage_and_step(row) <= (at.stage, at.step)]
        except (KeyError, TypeError, ValueError, OSError, csv.Error) as error:
            raise TrainingError(
                f"{self.path}: found a damaged row, expected stage, step, seconds, figure and "
                "value; bring back a copy, or remove the file to go on without its curves"
            ) from error
        text = io.StringIO(newline="")
        csv.writer(text).writerows([self.COLUMNS, *(row.values() for row in kept)])
        with replaced(self.path) as file:
            file.write(text.getvalue().encode())

    def append(self, stage: str, at: Progress, figures: Mapping[str, float]) -> None:
        """Append the figures of one step."""
        with explained(self.path), self.path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(
                [stage, at.step, f"{at.seconds:.1f}", name, f"{value:.5g}"]
                for name, value in figures.items()
            )

    def _rows(self) -> Iterator[dict[str, str]]:
        if self.path.exists():
            with self.path.open(newline="", encoding="utf-8") as file:
                # A killed run may have left half a row.
                rows = csv.DictReader(file)
                if tuple(rows.fieldnames or ()) != self.COLUMNS:
                    raise KeyError("stage")
                yield from (row for row in rows if None not in row.values())


class StartLog:
    """``starts.csv``: one row per start of a run: when, from where, on which machine."""

    COLUMNS = ("time", "stage", "step", "processes", "machine")

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, at: Progress, n_processes: int) -> None:
        """Append a start at a stage and step.

        Raises
        ------
        OutputError
            If the file cannot be written.
        """
        now = datetime.now(UTC).isoformat(timespec="seconds")
        is_new = not self.path.exists()
        with explained(self.path), self.path.open("a", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            if is_new:
                rows.writerow(self.COLUMNS)
            rows.writerow([now, at.stage, at.step, n_processes, platform.node()])


def _stage_and_step(row: Mapping[str, str]) -> tuple[int, int]:
    # Raises ValueError here what would break the plot of the curves later.
    float(row["value"])
    return STAGES.index(row["stage"]), int(row["step"])
