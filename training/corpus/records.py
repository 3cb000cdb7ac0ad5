"""The records of loops, held in columns: 285,000 of them take some 100 MB in a process."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from training.corpus.format import HELD_OUT, TRAIN, CorpusError

FLOAT, TEXT = "float", "text"
PROPERTIES = ("labels", "provenance")
"""What records say about the music, in any names and JSON values."""


@dataclass(frozen=True, slots=True)
class LoopRecord:
    """One loop: its place in the corpus and what is known about it."""

    id: str
    shard: int
    start: int
    beats: tuple[float, ...]
    split: str
    labels: Mapping[str, Any]
    provenance: Mapping[str, Any]


class Texts(NamedTuple):
    """Texts one after another.

    Attributes
    ----------
    characters : (n_bytes,), uint8
        UTF-8; a lone surrogate, of a file name that is not UTF-8, as its three bytes.
    ends : (n_texts,), int64
        Where each text ends, ascending.
    """

    characters: NDArray[np.uint8]
    ends: NDArray[np.int64]

    @classmethod
    def of(cls, texts: Sequence[str]) -> Texts:
        """Store texts."""
        coded = [text.encode("utf-8", "surrogatepass") for text in texts]
        lengths = np.array([len(each) for each in coded], dtype=np.int64)
        return cls(np.frombuffer(b"".join(coded), dtype=np.uint8), np.cumsum(lengths))

    def text(self, number: int) -> str:
        """Return one of them."""
        start = self.ends[number - 1] if number else 0
        return bytes(self.characters[start : self.ends[number]]).decode("utf-8", "surrogatepass")


class Column(NamedTuple):
    """Where the values of one property are: `FLOAT` or `TEXT`, and the column of that kind."""

    kind: str
    number: int


@dataclass(frozen=True, eq=False)
class Columns:
    """Records of some loops.

    Attributes
    ----------
    path
        The file that holds them, for errors.
    shard : (n_loops,), int32
    ids : n_loops texts
    start : (n_loops,), int64
        Sample of beat 0 in the shard.
    beats : (n_loops, beats_per_loop + 1), float64
    held_out : (n_loops,), bool
    floats : (n_loops, n_floats), float64
        Properties that are a fractional number for every loop.
    codes : (n_loops, n_others), int32
        Other properties, as numbers of texts in `values`; -1: the loop has none.
    values
        JSON texts, each different.
    columns
        For each of `PROPERTIES`: name → column.
    """

    path: Path
    shard: NDArray[np.int32]
    ids: Texts
    start: NDArray[np.int64]
    beats: NDArray[np.float64]
    held_out: NDArray[np.bool_]
    floats: NDArray[np.float64]
    codes: NDArray[np.int32]
    values: Texts
    columns: Mapping[str, Mapping[str, Column]]
    _decoded: dict[int, Any] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.start)

    def record(self, number: int) -> LoopRecord:
        """Return the record of one loop.

        Raises
        ------
        CorpusError
            If one of its texts is damaged.
        """
        labels, provenance = (self._properties(name, number) for name in PROPERTIES)
        return LoopRecord(
            id=self.id(number),
            shard=int(self.shard[number]),
            start=int(self.start[number]),
            beats=tuple(self.beats[number].tolist()),
            split=HELD_OUT if self.held_out[number] else TRAIN,
            labels=labels,
            provenance=provenance,
        )

    def id(self, number: int) -> str:
        """Return the name of one loop."""
        try:
            return self.ids.text(number)
        except UnicodeDecodeError as error:
            raise self._damaged(error) from error

    def distinct(self, properties: str, name: str) -> list[Any]:
        """Return the values that loops have of one property; None for those without it."""
        column = self.columns[properties].get(name)
        if column is None:
            return [None]
        if column.kind == FLOAT:
            return list(np.unique(self.floats[:, column.number]))
        codes = np.unique(self.codes[:, column.number])
        return [self._value(code) if code >= 0 else None for code in codes.tolist()]

    def _properties(self, properties: str, number: int) -> dict[str, Any]:
        floats, codes = self.floats[number].tolist(), self.codes[number].tolist()
        found: dict[str, Any] = {}
        for name, (kind, column) in self.columns[properties].items():
            if kind == FLOAT:
                found[name] = floats[column]
            elif codes[column] >= 0:
                found[name] = self._value(codes[column])
        return found

    def _value(self, code: int) -> Any:
        if code not in self._decoded:
            try:
                self._decoded[code] = json.loads(self.values.text(code))
            except (ValueError, RecursionError) as error:
                raise self._damaged(error) from error
        return self._decoded[code]

    def _damaged(self, error: Exception) -> CorpusError:
        return CorpusError(f"{self.path} holds a damaged text ({error}); {remade(self.path)}")


def remade(path: Path) -> str:
    """Say what to do about a damaged shard: without its records it is made again."""
    return (
        f"remove {path.name} there and run the command that made the corpus again, it makes what "
        "is missing"
    )


def columns_of(records: Sequence[Mapping[str, Any]], shards: Sequence[int], path: Path) -> Columns:
    """Put records into columns.

    Parameters
    ----------
    records
        Each with ``id``, ``start``, ``beats`` (of the same number), ``split``, ``labels`` and
        ``provenance``, JSON values.
    shards
        The shard of each.
    """
    columns: dict[str, dict[str, Column]] = {}
    floats: list[list[float]] = []
    codes: list[list[int]] = []
    numbers: dict[str, int] = {}
    for properties in PROPERTIES:
        columns[properties] = {}
        for name in dict.fromkeys(name for record in records for name in record[properties]):
            found = [record[properties].get(name, ...) for record in records]
            if all(type(value) is float for value in found):
                columns[properties][name] = Column(FLOAT, len(floats))
                floats.append(found)
            else:
                columns[properties][name] = Column(TEXT, len(codes))
                codes.append([_code(value, numbers) for value in found])
    n_loops = len(records)
    beats = np.array([record["beats"] for record in records], dtype=np.float64)
    return Columns(
        path=path,
        shard=np.array(shards, dtype=np.int32),
        ids=Texts.of([record["id"] for record in records]),
        start=np.array([record["start"] for record in records], dtype=np.int64),
        beats=beats.reshape(n_loops, -1) if n_loops else np.zeros((0, 0)),
        held_out=np.array([record["split"] == HELD_OUT for record in records], dtype=np.bool_),
        floats=np.array(floats, dtype=np.float64).reshape(len(floats), n_loops).T.copy(),
        codes=np.array(codes, dtype=np.int32).reshape(len(codes), n_loops).T.copy(),
        values=Texts.of(list(numbers)),
        columns=columns,
    )


def _code(value: Any, numbers: dict[str, int]) -> int:
    # As ASCII: a lone surrogate is escaped and read back.
    return -1 if value is ... else numbers.setdefault(json.dumps(value), len(numbers))


class Records(Sequence[LoopRecord]):
    """The records of a corpus in order; each is put together when it is asked for."""

    def __init__(self, blocks: Sequence[Columns]) -> None:
        self.blocks = tuple(blocks)
        self._ends = np.cumsum([len(block) for block in self.blocks], dtype=np.int64)

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    @overload
    def __getitem__(self, index: int) -> LoopRecord: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[LoopRecord, ...]: ...
    def __getitem__(self, index: int | slice) -> LoopRecord | tuple[LoopRecord, ...]:
        if isinstance(index, slice):
            return tuple(self[number] for number in range(*index.indices(len(self))))
        number = index + len(self) if index < 0 else index
        if not 0 <= number < len(self):
            raise IndexError(f"found loop {index}, expected one of {len(self)}")
        place = int(np.searchsorted(self._ends, number, side="right"))
        block = self.blocks[place]
        return block.record(number - int(self._ends[place]) + len(block))

    def __iter__(self) -> Iterator[LoopRecord]:
        for block in self.blocks:
            yield from (block.record(number) for number in range(len(block)))

    def ids(self) -> Iterator[str]:
        """Yield the names of all loops."""
        for block in self.blocks:
            yield from (block.id(number) for number in range(len(block)))

    def held_out(self) -> NDArray[np.bool_]:
        """Return which loops are held out, (n_loops,)."""
        return np.concatenate([np.zeros(0, np.bool_), *(block.held_out for block in self.blocks)])

    def distinct(self, properties: str, name: str) -> list[Any]:
        """Return the values of one property, of "labels" or "provenance"; may repeat."""
        return [value for block in self.blocks for value in block.distinct(properties, name)]
