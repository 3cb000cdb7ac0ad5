"""The folder of a run: files written whole, checked when they are read."""

import csv
import io
import json
import math
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import torch

from device.errors import OutputError, SwitchboardError
from device.files import atomic_write
from device.system.outputs import regular_target
from training.corpus.format import is_positive, is_whole
from training.run.config import Config, TrainingError
from training.run.networks import Networks

CODEC_ORIGIN = "codec.json"
START_ORIGIN = "start.json"


@dataclass(frozen=True)
class FinishedRun:
    """Contents of `model.pt`, opened, and the latest scores of its curves."""

    config: Config
    n_slots: int
    tempo_bpm: float
    networks: Networks
    switch_labels: tuple[str, ...]
    provenance: dict[str, Any]
    scores: Mapping[str, float] = field(default_factory=dict)


@contextmanager
def replaced(path: Path) -> Iterator[BinaryIO]:
    """Open a file of a run for writing anew, whole or not at all.

    Raises
    ------
    OutputError
        If it cannot be written; what was there before stays.
    """
    target = regular_target(path)
    # One name for all processes: what a killed run left is overwritten by the next.
    with explained(path), atomic_write(target, target.with_name(target.name + ".part")) as file:
        yield file


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Name the file of a run that could not be written, and how to go on.

    Raises
    ------
    OutputError
        Instead of any other error of the system.
    """
    try:
        yield
    except OSError as error:
        if isinstance(error, SwitchboardError):
            raise
        has_checkpoint = (path.parent / "checkpoint.pt").is_file()
        raise OutputError(
            f"{path}: cannot be written ({error.strerror or error}); "
            + (
                "the latest checkpoint is whole: make room and go on with --resume"
                if has_checkpoint
                else "make room, or choose another --out"
            )
        ) from error


def save_atomically(path: Path, content: Any) -> None:
    """Write with torch.save, whole or not at all.

    Raises
    ------
    OutputError
        If it cannot be written; what was there before stays.
    """
    # In memory first: on a full disk torch's error names only a file position.
    packed = io.BytesIO()
    torch.save(content, packed)
    with replaced(path) as file:
        file.write(packed.getbuffer())


def save_json(path: Path, content: Any) -> None:
    """Write JSON, whole or not at all."""
    with replaced(path) as file:
        file.write(json.dumps(content, indent=2).encode() + b"\n")


def load_saved(path: Path) -> dict[str, Any]:
    """Read what `save_atomically` wrote.

    Raises
    ------
    TrainingError
        If the file is damaged or not of this kind.
    """
    damaged = (
        f"{path}: cannot be read, found damage or other things than weights and plain values; "
        "expected a file of `switchboard train`: bring back a copy, or run it again with --resume"
    )
    if not path.is_file():
        raise TrainingError(f"{path}: cannot be read, found no regular file; bring back a copy")
    try:
        # torch does not compare checksums.
        with zipfile.ZipFile(path) as archive:
            is_undamaged = archive.testzip() is None
        # weights_only: a run may come from elsewhere, and a pickle could carry code.
        # Opened here: torch itself takes no name that is not UTF-8.
        with path.open("rb") as file:
            content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        # Damaged bytes make an unpickler raise anything, and torch's own text would advise to
        # trust the file.
        raise TrainingError(damaged) from error
    if not is_undamaged:
        raise TrainingError(damaged)
    if not isinstance(content, dict):
        raise TrainingError(
            f"{path}: found {type(content).__name__}, expected a run's contents; bring back a copy"
        )
    return content


@contextmanager
def naming_file(path: Path) -> Iterator[None]:
    """Put the file's name before errors in its contents."""
    try:
        yield
    except TrainingError as error:
        raise TrainingError(f"{path}: {error}") from error


def check_contents(content: Mapping[str, Any], expected: Mapping[str, tuple[Any, str]]) -> None:
    """Check the contents of a file of a run.

    Parameters
    ----------
    expected : mapping
        Name → a test of the value, and a description of valid values.

    Raises
    ------
    TrainingError
        If something is missing or of another kind.
    """
    for name, (fits, words) in expected.items():
        if name not in content:
            raise TrainingError(
                f"found no {name}, expected {words}; bring back a copy, or train again"
            )
        if not fits(content[name]):
            text = ascii(content[name])
            shown = text if len(text) <= 40 else f"{text[:40]}…"
            raise TrainingError(
                f"found {name} {shown}, expected {words}; bring back a copy, or train again"
            )


def _is_mapping(value: Any) -> bool:
    return isinstance(value, Mapping)


_FINISHED: Mapping[str, tuple[Any, str]] = {
    "config": (_is_mapping, "the settings of the run"),
    "n_slots": (lambda value: is_whole(value, 1), "a number of 16th notes"),
    "tempo_bpm": (is_positive, "a positive number"),
    "networks": (_is_mapping, "weights"),
    "switch_labels": (
        lambda value: (
            isinstance(value, (list, tuple)) and all(isinstance(each, str) for each in value)
        ),
        "a name for each switch",
    ),
    "provenance": (_is_mapping, "where the run comes from"),
}


def save_run(directory: Path, run: FinishedRun) -> None:
    """Write ``model.pt``, from which `open_run` makes the same run again."""
    content = {
        "config": run.config.to_dict(),
        "n_slots": run.n_slots,
        "tempo_bpm": run.tempo_bpm,
        "networks": run.networks.state(),
        "switch_labels": list(run.switch_labels),
        "provenance": run.provenance,
    }
    save_atomically(directory / "model.pt", content)


def open_run(directory: Path) -> FinishedRun:
    """Open the finished networks of a run, on the CPU, ready to compute.

    Raises
    ------
    TrainingError
        If there is no run, or it is not finished, or its file is damaged.
    """
    path = directory / "model.pt"
    if not path.is_file():
        state = "an unfinished run" if (directory / "checkpoint.pt").is_file() else "no run"
        raise TrainingError(
            f"{directory}: found {state}, expected {path.name}; "
            "finish it with `switchboard train CORPUS --out RUN --resume`"
        )
    content = load_saved(path)
    with naming_file(path):
        check_contents(content, _FINISHED)
        config = Config.from_dict(content["config"])
        n_labels = len(content["switch_labels"])
        if n_labels != config.n_switches:
            raise TrainingError(
                f"found {n_labels} switch_labels, expected {config.n_switches}; train again"
            )
        networks = Networks.build(config, content["n_slots"])
        networks.load(content["networks"])
    for network in vars(networks).values():
        network.eval()
    return FinishedRun(
        config=config,
        n_slots=content["n_slots"],
        tempo_bpm=content["tempo_bpm"],
        networks=networks,
        switch_labels=tuple(content["switch_labels"]),
        provenance=content["provenance"],
        scores=held_out_scores(directory / "curves.csv"),
    )


def held_out_scores(curves: Path) -> dict[str, float]:
    """Read the latest figures on held-out loops, such as ``codec_held_out_db``.

    Raises
    ------
    TrainingError
        If the file is damaged. Where there is none there are no scores.
    """
    if not curves.exists():
        return {}
    try:
        text = curves.read_bytes().decode("utf-8")
        # Of a file that was cut in its last field nothing else tells.
        if text and not text.endswith("\n"):
            raise ValueError("half a row")
        rows = csv.DictReader(text.splitlines())
        if not {"stage", "figure", "value"} <= set(rows.fieldnames or ()):
            raise KeyError("figure")
        return {
            f"{row['stage']}_{row['figure']}": _finite(row["value"])
            for row in rows
            if row["figure"].startswith("held_out")
        }
    except (KeyError, TypeError, ValueError, AttributeError, OSError, csv.Error) as error:
        raise TrainingError(
            f"{curves}: found a damaged row, expected stage, figure and value; bring back a copy, "
            "or remove the file to export without scores"
        ) from error


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def read_origins(directory: Path) -> dict[str, Any]:
    """Read where networks of a run come from, if from other runs: of ``codec`` and ``start``.

    Raises
    ------
    TrainingError
        If a file is damaged.
    """
    origins = {}
    for what, name in (("codec", CODEC_ORIGIN), ("start", START_ORIGIN)):
        path = directory / name
        if path.exists():
            origins[what] = _origin(path)
    return origins


def _origin(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    except (OSError, ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise TrainingError(
            f"{path}: cannot be read, expected where networks of the run come from; bring back a "
            "copy, or remove it to go on without"
        )
    return content
