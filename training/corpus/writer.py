"""Writes a corpus part by part, in any order, so that it can be interrupted and resumed.

Each job gives one part, a file of its own. When all parts of a shard are there, they become the
shard, in the order of their numbers: neither the order of arrival nor the number of workers
changes a byte.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from training.corpus.format import (
    _PARTIAL,
    BEATS_PER_LOOP,
    FORMAT_VERSION,
    MARGIN,
    SAMPLE_RATE,
    CorpusError,
    _read_header,
    _records_path,
    is_positive,
    locked,
    remove_leftovers,
    write_json,
)
from training.corpus.parts import (
    Contents,
    Part,
    Size,
    part_path,
    read_contents,
    read_part,
    read_size,
    write_part,
)
from training.corpus.records import Records
from training.corpus.shards import read_parts, remove_shard, write_shard

SHARD_BYTES = 10**9
"""Audio of a shard, stems not counted, unless a single part has more."""


@contextmanager
def corpus_writer(
    directory: Path,
    source: str,
    parameters: Mapping[str, Any],
    n_loops: Sequence[int | None],
    *,
    may_grow: Sequence[str] = (),
) -> Iterator[CorpusWriter]:
    """Start a corpus, or continue one that was started with the same parameters.

    Parameters
    ----------
    directory
        Made if absent; must be empty or hold this corpus.
    source
        "studio", "folder" or "fma".
    parameters
        What decides the contents; stored, and compared when a run continues.
    n_loops
        For each part, how many loops it must have; None: any number.
    may_grow
        Parameters that may be larger than before.

    Raises
    ------
    CorpusError
        If the directory holds something else, or another process makes a corpus there.
    """
    header = {
        "format_version": FORMAT_VERSION,
        "source": source,
        "sample_rate": SAMPLE_RATE,
        "beats_per_loop": BEATS_PER_LOOP,
        "margin": MARGIN,
        **parameters,
    }
    _check_same(directory, header, may_grow)
    directory.mkdir(parents=True, exist_ok=True)
    with locked(directory, wait=False):
        # Again: another process may have begun meanwhile.
        if not _check_same(directory, header, may_grow):
            write_json(directory / "corpus.json", header)
        remove_leftovers(directory)
        yield CorpusWriter(directory, n_loops)


def _check_same(directory: Path, header: Mapping[str, Any], may_grow: Sequence[str]) -> bool:
    """Return whether a directory holds this corpus; False if it may be begun or extended."""
    if not directory.exists() or _is_vacant(directory):
        return False
    before = _read_header(directory)
    if before["format_version"] != FORMAT_VERSION:
        raise CorpusError(
            f"{directory} holds a corpus of format {before['format_version']}, which is read but "
            "not continued: choose another --out"
        )
    for key, requested in header.items():
        stored = before.get(key)
        grows = key in may_grow and is_positive(stored) and requested > stored
        if stored != requested and not grows:
            raise CorpusError(
                f"{directory} holds a corpus with {key} {stored!r}, requested {requested!r}: "
                "request the same, or choose another --out"
            )
    return all(before.get(key) == value for key, value in header.items())


def _is_vacant(directory: Path) -> bool:
    """Return whether a directory is empty, apart from partial files of a killed run."""
    return directory.is_dir() and all(
        path.name.startswith(".") and path.suffix == _PARTIAL for path in directory.iterdir()
    )


class CorpusWriter:
    """Stores the parts of a corpus, and makes shards of them; see `corpus_writer`."""

    def __init__(self, directory: Path, n_loops: Sequence[int | None]) -> None:
        self._directory = directory
        self._n_loops = n_loops
        self._shards: dict[int, Contents] = {}
        self._sizes: dict[int, Size] = {}
        self._open_shards()
        self._open_parts()
        self._pack()

    def _open_shards(self) -> None:
        for path in sorted(self._directory.glob("records-*.npz")):
            shard = int(path.stem.partition("-")[2])
            _, contents = read_contents(path, shard)
            # The last one of a corpus that has grown.
            grows = not contents.is_full and contents.end < len(self._n_loops)
            if grows or not all(map(self._is_enough, *_numbered(contents))):
                self._unpack(shard, contents)
            else:
                self._shards[shard] = contents
                self._remove_parts(contents)

    def _open_parts(self) -> None:
        for path in sorted(self._directory.glob("part-*.npz")):
            number = int(path.stem.partition("-")[2])
            size = read_size(self._directory, number)
            if self._is_enough(number, size):
                self._sizes[number] = size
            else:
                path.unlink()

    def _is_enough(self, number: int, size: Size) -> bool:
        return number < len(self._n_loops) and size.n_loops >= (self._n_loops[number] or 0)

    def _unpack(self, shard: int, contents: Contents) -> None:
        for part in read_parts(self._directory, shard):
            if self._is_enough(part.number, Size(len(part.records), len(part.audio))):
                write_part(self._directory, part)
        remove_shard(self._directory, shard)

    def _remove_parts(self, contents: Contents) -> None:
        for number in range(contents.first, contents.end):
            part_path(self._directory, number).unlink(missing_ok=True)
            self._sizes.pop(number, None)

    def missing(self) -> list[int]:
        """Return the numbers of the parts that are not there, ascending."""
        there = set(self._sizes)
        for contents in self._shards.values():
            there.update(range(contents.first, contents.end))
        return [number for number in range(len(self._n_loops)) if number not in there]

    def add(self, part: Part) -> None:
        """Store a part."""
        self._sizes[part.number] = write_part(self._directory, part)
        self._pack()

    def _pack(self) -> None:
        """Make shards of the parts that are there without a gap."""
        first, shard = 0, 0
        others = {contents.first for contents in self._shards.values()}
        while first < len(self._n_loops):
            if shard not in self._shards:
                end = self._end_of_shard(first)
                is_full = end in self._sizes or end in others
                if end == first or not (is_full or end == len(self._n_loops)):
                    return
                parts = (read_part(self._directory, number) for number in range(first, end))
                sizes = [self._sizes[number] for number in range(first, end)]
                self._shards[shard] = write_shard(self._directory, shard, parts, sizes, is_full)
                self._remove_parts(self._shards[shard])
            first, shard = self._shards[shard].end, shard + 1

    def _end_of_shard(self, first: int) -> int:
        """Return the part after the last that is there and fits into a shard."""
        n_bytes, end = 0, first
        while end in self._sizes:
            n_bytes += 2 * self._sizes[end].n_samples
            if n_bytes > SHARD_BYTES and end > first:
                break
            end += 1
        return end

    def records(self) -> Records:
        """Return the records of all shards."""
        return Records(
            [
                read_contents(_records_path(self._directory, shard), shard)[0]
                for shard in self._order
            ]
        )

    @property
    def _order(self) -> list[int]:
        return sorted(self._shards)

    def skipped(self) -> list[Mapping[str, Any]]:
        """Return what was left out of all parts."""
        return [
            skip for shard in self._order for part in self._shards[shard].skipped for skip in part
        ]

    def remove(self) -> None:
        """Remove the corpus, and the directory if nothing else is there."""
        for shard in self._order:
            remove_shard(self._directory, shard)
        (self._directory / "corpus.json").unlink()
        if not any(self._directory.iterdir()):
            self._directory.rmdir()

    def finish(
        self,
        *,
        tempo_bpm: float,
        skipped: Sequence[Mapping[str, Any]] = (),
        more: Mapping[str, Any] | None = None,
    ) -> None:
        """Mark a corpus as complete, so that `Corpus.open` opens it; `more` joins its header."""
        missing = self.missing()
        if missing:
            raise CorpusError(
                f"{self._directory} lacks part {missing[0]} of {len(self._n_loops)}: run the "
                "command again"
            )
        index = [
            {
                "n_loops": sum(size.n_loops for size in self._shards[shard].sizes),
                "n_samples": sum(size.n_samples for size in self._shards[shard].sizes),
            }
            for shard in self._order
        ]
        totals = {
            "tempo_bpm": tempo_bpm,
            "n_shards": len(index),
            "n_loops": sum(shard["n_loops"] for shard in index),
            "shards": index,
            "skipped": list(skipped),
        }
        header = {**_read_header(self._directory), **totals, **(more or {})}
        write_json(self._directory / "corpus.json", header)


def _numbered(contents: Contents) -> tuple[Iterable[int], Sequence[Size]]:
    return range(contents.first, contents.end), contents.sizes
