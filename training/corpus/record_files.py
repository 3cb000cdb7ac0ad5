"""Records on disk: one uncompressed .npz file, each array of it checked when it is read."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from training.corpus.format import _MOST, CorpusError
from training.corpus.records import FLOAT, PROPERTIES, TEXT, Column, Columns, Texts, remade

Arrays = dict[str, NDArray[Any]]

_EXPECTED = {
    "ids": (np.uint8, 1),
    "id_ends": (np.int64, 1),
    "start": (np.int64, 1),
    "beats": (np.float64, 2),
    "held_out": (np.bool_, 1),
    "floats": (np.float64, 2),
    "codes": (np.int32, 2),
    "values": (np.uint8, 1),
    "value_ends": (np.int64, 1),
    "columns": (np.uint8, 1),
    "more": (np.uint8, 1),
}


@dataclass(frozen=True, eq=False, slots=True)
class RecordFile:
    """Records, and what is stored with them in JSON."""

    columns: Columns
    more: Mapping[str, Any]


def write_records(
    file: BinaryIO, columns: Columns, more: Mapping[str, Any], **arrays: NDArray[Any]
) -> None:
    """Write records, JSON values and arrays; the same content gives the same bytes."""
    names = {
        properties: [[name, *column] for name, column in columns.columns[properties].items()]
        for properties in PROPERTIES
    }
    np.savez(
        file,
        allow_pickle=False,
        ids=columns.ids.characters,
        id_ends=columns.ids.ends,
        start=columns.start,
        beats=columns.beats,
        held_out=columns.held_out,
        floats=columns.floats,
        codes=columns.codes,
        values=columns.values.characters,
        value_ends=columns.values.ends,
        columns=_json_bytes(names),
        more=_json_bytes(more),
        **arrays,
    )


def _json_bytes(content: object) -> NDArray[np.uint8]:
    return np.frombuffer(json.dumps(content).encode(), dtype=np.uint8)


def read_arrays(path: Path, names: Sequence[str]) -> Arrays:
    """Read some arrays of a file.

    Raises
    ------
    CorpusError
        If it lacks one, or is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return {name: _read_array(archive, f"{name}.npy") for name in names}
    except (
        *(OSError, ValueError, EOFError, SyntaxError, KeyError, MemoryError, RecursionError),
        *(zipfile.BadZipFile, NotImplementedError, RuntimeError, TypeError),
    ) as error:
        reason = " ".join(str(error).split())
        raise CorpusError(f"{path} cannot be read ({reason}); {remade(path)}") from error


def _read_array(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    # Never compressed, so that no array is larger than the file.
    if archive.getinfo(name).compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{name} is compressed")
    with archive.open(name) as file:
        array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
        file.read(1)  # to the end, where the checksum is compared
    return array


def read_records(path: Path, shard: int, *, n_beats: int, margin: int) -> RecordFile:
    """Read the records of a shard, or of one part of it.

    Parameters
    ----------
    n_beats
        Beats of every loop, the one after it included.
    margin
        Samples before the first loop.

    Raises
    ------
    CorpusError
        If the file is missing or damaged.
    """
    arrays = read_arrays(path, list(_EXPECTED))
    for name, is_valid, expected in _expectations(arrays, n_beats, margin):
        if not is_valid:
            found = f"{arrays[name].dtype} {arrays[name].shape}"
            raise CorpusError(
                f"{path} holds records that are not loops: {name}: found {found}, expected "
                f"{expected}; {remade(path)}"
            )
    columns = _parsed(path, arrays["columns"])
    widths = {FLOAT: arrays["floats"].shape[1], TEXT: arrays["codes"].shape[1]}
    if not _are_columns(columns, widths):
        raise CorpusError(f"{path} holds a damaged list of columns; {remade(path)}")
    return RecordFile(
        Columns(
            path=path,
            shard=np.full(len(arrays["start"]), shard, dtype=np.int32),
            ids=Texts(arrays["ids"], arrays["id_ends"]),
            start=arrays["start"],
            beats=arrays["beats"],
            held_out=arrays["held_out"],
            floats=arrays["floats"],
            codes=arrays["codes"],
            values=Texts(arrays["values"], arrays["value_ends"]),
            columns={
                properties: {name: Column(kind, number) for name, kind, number in stored}
                for properties, stored in columns.items()
            },
        ),
        _parsed(path, arrays["more"]),
    )


def _expectations(
    arrays: Mapping[str, NDArray[Any]], n_beats: int, margin: int
) -> Iterator[tuple[str, bool, str]]:
    """For each array: its name, whether it is valid, and what is expected."""
    for name, (kind, n_axes) in _EXPECTED.items():
        array = arrays[name]
        is_valid = array.dtype == kind and array.ndim == n_axes
        yield name, is_valid, f"{np.dtype(kind).name} of {n_axes} axes"
    n_loops = len(arrays["start"])
    for name in ("id_ends", "beats", "held_out", "floats", "codes"):
        yield name, len(arrays[name]) == n_loops, f"{n_loops} rows"
    for ends, characters in (("id_ends", "ids"), ("value_ends", "values")):
        stops = [0, *arrays[ends][[-1]].tolist()] if len(arrays[ends]) else [0]
        is_valid = stops[-1] == len(arrays[characters]) and _ascend(arrays[ends])
        yield ends, is_valid and bool((arrays[ends] >= 0).all()), "ascending ends of texts"
    start, beats, codes = arrays["start"], arrays["beats"], arrays["codes"]
    is_valid = bool((start >= margin).all() and (start <= _MOST).all()) and _ascend(start)
    yield "start", is_valid, f"ascending samples, {margin} or later"
    # Written so that what is not a number fails.
    is_valid = n_loops == 0 or (
        beats.shape[1] == n_beats and bool((beats >= 0).all() and (beats <= _MOST).all())
    )
    is_valid = is_valid and bool((np.diff(beats, axis=1) >= 0).all())
    yield "beats", is_valid, f"{n_beats} ascending positions"
    n_values = len(arrays["value_ends"])
    yield "codes", bool(((codes >= -1) & (codes < n_values)).all()), f"numbers of {n_values} texts"


def _ascend(values: NDArray[Any]) -> bool:
    return bool((np.diff(values) >= 0).all())


def _parsed(path: Path, text: NDArray[np.uint8]) -> dict[str, Any]:
    try:
        content = json.loads(bytes(text))
    except (ValueError, RecursionError) as error:
        raise CorpusError(f"{path} holds a damaged text ({error}); {remade(path)}") from error
    if not isinstance(content, dict):
        raise CorpusError(f"{path} holds a damaged text (no object); {remade(path)}")
    return content


def _are_columns(columns: Mapping[str, Any], widths: Mapping[str, int]) -> bool:
    """Return whether each property names a column that there is."""

    def is_column(stored: Any) -> bool:
        return (
            isinstance(stored, list)
            and [type(part) for part in stored] == [str, str, int]
            and 0 <= stored[2] < widths.get(stored[1], 0)
        )

    return columns.keys() == set(PROPERTIES) and all(
        isinstance(stored, list) and all(map(is_column, stored)) for stored in columns.values()
    )
