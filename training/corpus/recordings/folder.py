"""A corpus out of a folder of music: any tempo, any key, no labels needed."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from training.corpus.format import CorpusError
from training.corpus.parallel import IN_THIS_PROCESS, Workers
from training.corpus.recordings.audio_files import SUFFIXES, readable
from training.corpus.recordings.corpus_writer import Piece, Skip, write_recordings
from training.corpus.recordings.rejection import FOUR_FOUR, Selection


def write_folder_corpus(
    directory: Path,
    music: Path,
    *,
    key: str | None = None,
    selection: Selection = FOUR_FOUR,
    workers: Workers = IN_THIS_PROCESS,
    on_progress: Callable[[int, int], None] = lambda n_done, n_files: None,
) -> None:
    """Make a corpus of all the music under a folder, or what is missing of it.

    Parameters are those of `training.corpus.recordings.corpus_writer.write_recordings`.

    Raises
    ------
    CorpusError
        If there is no audio, no usable loop, or the directory holds something else.
    """
    files = find_music(music)
    pieces = [Piece(path, readable(str(path.relative_to(music)))) for path in files.paths]
    write_recordings(
        directory,
        pieces,
        source="folder",
        parameters={"folder": str(music.resolve())},
        refused=files.refused,
        key=key,
        selection=selection,
        workers=workers,
        on_progress=on_progress,
    )


class MusicFiles(NamedTuple):
    """Audio files, in order of their paths, and what could not be read."""

    paths: list[Path]
    refused: list[Skip]


def find_music(music: Path) -> MusicFiles:
    """Find all audio files under a folder, also in folders that it links to, each folder once.

    Raises
    ------
    CorpusError
        If it is no folder, or holds no audio.
    """
    if not music.is_dir():
        raise CorpusError(f"{music} is not a directory: give the folder that holds the music")
    files = MusicFiles([], [])
    visited: set[tuple[int, int]] = set()
    # Links after real folders: a folder keeps the name it has without them.
    pending = deque([music])
    while pending:
        pending.extend(_walk(pending.popleft(), music, visited, files))
    if not files.paths:
        endings = " ".join(sorted(SUFFIXES))
        example = "; ".join(f"{skip.path}: {skip.reason}" for skip in files.refused[:1])
        raise CorpusError(
            f"{music} holds no audio files, expected some of {endings}"
            + (f"; for example {example}" if example else "")
        )
    files.paths.sort()
    return files


def _walk(
    start: Path, music: Path, visited: set[tuple[int, int]], files: MusicFiles
) -> Iterator[Path]:
    """Collect the files of a folder, and yield the links to other folders that are in it."""

    def refuse(path: str | Path, reason: str) -> None:
        files.refused.append(Skip(str(Path(path).relative_to(music)), reason))

    def refuse_folder(error: OSError) -> None:
        refuse(error.filename, f"cannot be listed ({error.strerror})")

    for name, folders, names in os.walk(start, onerror=refuse_folder):
        folder = Path(name)
        if not _is_new(folder, visited):
            folders.clear()
            continue
        folders.sort()
        yield from (folder / each for each in folders if (folder / each).is_symlink())
        for path in (folder / each for each in sorted(names)):
            if path.is_symlink() and not os.access(path, os.F_OK):
                refuse(path, "a link whose target cannot be reached")
            elif path.suffix.lower() in SUFFIXES and path.is_file():
                files.paths.append(path)


def _is_new(folder: Path, visited: set[tuple[int, int]]) -> bool:
    """Return whether a folder is visited for the first time, under any name."""
    status = folder.stat()
    identity = status.st_dev, status.st_ino
    is_new = identity not in visited
    visited.add(identity)
    return is_new
