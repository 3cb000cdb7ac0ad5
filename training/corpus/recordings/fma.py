"""A corpus out of the Free Music Archive as Defferrard et al. published it (ISMIR 2017).

One folder holds ``fma_metadata/`` with ``tracks.csv`` and ``genres.csv``, and the audio of a
subset, ``fma_small/000/000002.mp3``. ``tracks.csv`` has two rows of column names, then a row that
only names its index, then a row a track; ``genres_all`` is a list in text. The medium subset
includes the small one, and the large one includes both.
"""

from __future__ import annotations

import csv
import difflib
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from training.corpus.format import CorpusError
from training.corpus.parallel import IN_THIS_PROCESS, Workers
from training.corpus.recordings.audio_files import Tags
from training.corpus.recordings.corpus_writer import Piece, Skip, write_recordings
from training.corpus.recordings.licences import CODES, is_allowed
from training.corpus.recordings.rejection import FOUR_FOUR, Selection

SUBSETS = ("small", "medium", "large", "full")
"""In order of size; "full" has the tracks of "large", whole instead of thirty seconds each."""

_LONGEST_FIELD = 2**24  # some biographies are longer than csv's limit
_LONGEST_NUMBER = 18  # digits; longer ones are invalid
_SHOWN = 40  # characters of an invalid cell in a message
_NEEDED = (
    ("set", "subset"),
    ("track", "genres_all"),
    ("track", "title"),
    ("track", "license"),
    ("artist", "name"),
)


@dataclass(frozen=True, slots=True)
class Genre:
    """A genre and the one it belongs to, 0 for none."""

    title: str
    parent: int


@dataclass(frozen=True, slots=True)
class Track:
    """The columns of a row of ``tracks.csv`` that are used."""

    id: int
    subset: str
    genres: frozenset[int]
    tags: Tags

    @property
    def name(self) -> str:
        """Its path below the folder of a subset."""
        return f"{self.id // 1000:03d}/{self.id:06d}.mp3"


class Chosen(NamedTuple):
    """Tracks to cut, and those left out of what was requested."""

    pieces: list[Piece]
    refused: list[Skip]


def write_fma_corpus(
    directory: Path,
    archive: Path,
    *,
    subset: str,
    genres: Sequence[str],
    licences: Sequence[str] = (),
    key: str | None = None,
    selection: Selection = FOUR_FOUR,
    workers: Workers = IN_THIS_PROCESS,
    on_progress: Callable[[int, int], None] = lambda n_done, n_files: None,
) -> None:
    """Make a corpus of the tracks of some genres, or what is missing of it.

    Parameters
    ----------
    archive
        Folder that holds ``fma_metadata`` and the folder of the subset.
    subset
        One of `SUBSETS`.
    genres
        Titles as in ``genres.csv``, in any case; their subgenres are included.
    licences
        Codes of `licences.CODES` or names as in ``tracks.csv``; empty: all.

    The others are those of `training.corpus.recordings.corpus_writer.write_recordings`.

    Raises
    ------
    CorpusError
        If the archive is not as published, a genre or licence is unknown, nothing is left to cut,
        or the directory holds something else.
    """
    chosen = choose_tracks(archive, subset=subset, genres=genres, licences=licences)
    write_recordings(
        directory,
        chosen.pieces,
        source="fma",
        parameters={
            "folder": str(archive.resolve()),
            "subset": subset,
            "genres": list(genres),
            "licences": list(licences),
        },
        refused=chosen.refused,
        key=key,
        selection=selection,
        workers=workers,
        on_progress=on_progress,
    )


def choose_tracks(
    archive: Path, *, subset: str, genres: Sequence[str], licences: Sequence[str] = ()
) -> Chosen:
    """Return the tracks of some genres that exist and may be used, and why others are left out."""
    audio, metadata = archive / f"fma_{subset}", archive / "fma_metadata"
    for folder in (audio, metadata):
        if not folder.is_dir():
            raise CorpusError(
                f"{folder} is not a directory: unpack {folder.name}.zip of the Free Music Archive "
                f"in {archive}"
            )
    numbers = find_genres(read_genres(metadata / "genres.csv"), genres)
    refused: list[Skip] = []
    tracks = [
        track
        for track in read_tracks(metadata / "tracks.csv", refused)
        if track.genres & numbers and track.subset in SUBSETS[: SUBSETS.index(subset) + 1]
    ]
    if not tracks:
        raise CorpusError(f"{audio} has no track of {', '.join(genres)}: try a larger subset")
    _check_licences(licences, {track.tags.licence for track in tracks})
    pieces = []
    for track in tracks:
        reason = _refusal(track, audio / track.name, licences)
        if reason:
            refused.append(Skip(track.name, reason))
        else:
            pieces.append(Piece(audio / track.name, track.name, track.tags, {"fma": track.id}))
    if not pieces:
        raise CorpusError(
            f"none of the {len(tracks)} tracks of {', '.join(genres)} in {audio} is left; for "
            f"example {refused[-1].path}: {refused[-1].reason}"
        )
    return Chosen(pieces, refused)


def _refusal(track: Track, path: Path, licences: Collection[str]) -> str | None:
    if licences and not is_allowed(track.tags.licence, licences):
        return f"licence {track.tags.licence or 'unknown'!r} is not among those requested"
    return None if path.is_file() else "missing from the archive"


def _check_licences(licences: Sequence[str], published: Collection[str | None]) -> None:
    for licence in licences:
        if licence not in CODES and licence not in published:
            raise CorpusError(
                f"unknown licence {licence!r}, expected some of {', '.join(CODES)}, or a name "
                "exactly as these tracks have it"
            )


# -- genres ---------------------------------------------------------------------------------


def read_genres(path: Path) -> dict[int, Genre]:
    """Read ``genres.csv``."""
    genres = {}
    with _rows(path) as rows:
        names = next(rows, [])
        missing = {"genre_id", "parent", "title"} - set(names)
        if missing:
            raise CorpusError(
                f"{path} has no column {min(missing)}: give the file as it was published"
            )
        for row in rows:
            cells = dict(zip(names, row, strict=False))
            number = _number(cells.get("genre_id", ""))
            if number is not None:
                parent = _number(cells.get("parent", ""))
                genres[number] = Genre(cells.get("title", ""), parent or 0)
    return genres


def _number(text: str) -> int | None:
    """Read a number as the archive writes them; None if it is not one."""
    is_number = text.isascii() and text.isdecimal() and len(text) <= _LONGEST_NUMBER
    return int(text) if is_number else None


def find_genres(genres: Mapping[int, Genre], titles: Sequence[str]) -> frozenset[int]:
    """Return the numbers of genres by title, with those of their subgenres.

    Raises
    ------
    CorpusError
        If there is no genre of such a title.
    """
    by_title = {genre.title.casefold(): number for number, genre in genres.items()}
    for title in titles:
        if title.casefold() not in by_title:
            raise CorpusError(f"unknown genre {title!r}{_suggestion(title, genres)}")
    requested = {by_title[title.casefold()] for title in titles}
    return frozenset(number for number in genres if requested & set(_lineage(genres, number)))


def _suggestion(title: str, genres: Mapping[int, Genre]) -> str:
    titles = {genre.title.casefold(): genre.title for genre in genres.values()}
    close = difflib.get_close_matches(title.casefold(), titles, n=3, cutoff=0.5)
    return f", did you mean {' or '.join(titles[c] for c in close)}?" if close else ""


def _lineage(genres: Mapping[int, Genre], number: int) -> Iterator[int]:
    """Yield a genre, its parent, and so on; a cycle ends where it closes."""
    seen: set[int] = set()
    while number in genres and number not in seen:
        yield number
        seen.add(number)
        number = genres[number].parent


# -- tracks ---------------------------------------------------------------------------------


def read_tracks(path: Path, skipped: list[Skip]) -> Iterator[Track]:
    """Yield the rows of ``tracks.csv``; an invalid row is listed and skipped."""
    with _rows(path) as rows:
        groups, names = next(rows, []), next(rows, [])
        columns = {column: i for i, column in enumerate(zip(groups, names, strict=False))}
        missing = [column for column in _NEEDED if column not in columns]
        if missing:
            raise CorpusError(
                f"{path} has no column {'/'.join(missing[0])} in its first two rows: give the file "
                "as it was published"
            )
        for row in rows:
            if row[:1] == ["track_id"]:
                continue
            try:
                yield _track(row, columns)
            except (ValueError, IndexError, RecursionError) as error:
                skipped.append(Skip(f"{path.name}:{rows.line_num}", f"not a track ({error})"))


def _track(row: Sequence[str], columns: Mapping[tuple[str, str], int]) -> Track:
    subset, genres, title, licence, artist = (row[columns[column]] for column in _NEEDED)
    number = _number(row[0])
    if number is None:
        raise ValueError(f"found track_id {row[0][:_SHOWN]!r}, expected a number")
    tags = Tags(artist.strip() or None, title.strip() or None, licence.strip() or None)
    return Track(number, subset.strip(), _genre_numbers(genres), tags)


def _genre_numbers(text: str) -> frozenset[int]:
    """Read ``genres_all``, such as '[21, 45]'."""
    numbers = json.loads(text)
    # JSON's true is an int to Python.
    if not isinstance(numbers, list) or any(type(number) is not int for number in numbers):
        raise ValueError(f"found genres_all {text[:_SHOWN]!r}, expected a list of whole numbers")
    return frozenset(numbers)


class _Rows(Iterator[list[str]]):
    """A csv reader whose errors are `CorpusError`."""

    def __init__(self, path: Path, lines: Iterator[str]) -> None:
        self._path = path
        self._reader = csv.reader(lines)

    @property
    def line_num(self) -> int:
        return self._reader.line_num

    def __next__(self) -> list[str]:
        try:
            return next(self._reader)
        except (csv.Error, UnicodeDecodeError) as error:
            raise CorpusError(
                f"{self._path} cannot be read as CSV ({error}): unpack fma_metadata.zip again"
            ) from error


@contextmanager
def _rows(path: Path) -> Iterator[_Rows]:
    limit_before = csv.field_size_limit(_LONGEST_FIELD)
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            yield _Rows(path, lines)
    except OSError as error:
        raise CorpusError(
            f"{path} cannot be read ({error.strerror}): unpack fma_metadata.zip again"
        ) from error
    finally:
        csv.field_size_limit(limit_before)
