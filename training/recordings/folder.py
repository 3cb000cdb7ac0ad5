"""A corpus out of a folder of music: any tempo, any key, no labels needed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from training.corpus import CorpusError
from training.recordings.audio_files import SUFFIXES, readable
from training.recordings.cutting import Piece, write_recordings


def write_folder_corpus(
    directory: Path,
    music: Path,
    *,
    key: str | None = None,
    n_workers: int = 0,
    on_progress: Callable[[int, int], None] = lambda n_done, n_files: None,
) -> None:
    """Make a corpus of all the music under a folder, or what is missing of it.

    Parameters are those of `training.recordings.cutting.write_recordings`.

    Raises
    ------
    CorpusError
        If there is no audio, no usable loop, or the directory holds something else.
    """
    pieces = [Piece(path, readable(str(path.relative_to(music)))) for path in find_music(music)]
    write_recordings(
        directory,
        pieces,
        source="folder",
        parameters={"folder": str(music.resolve())},
        key=key,
        n_workers=n_workers,
        on_progress=on_progress,
    )


def find_music(music: Path) -> list[Path]:
    """Return all audio files under a folder, in order of their paths."""
    if not music.is_dir():
        raise CorpusError(f"{music} is not a directory: give the folder that holds the music")
    paths = sorted(
        path for path in music.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file()
    )
    if not paths:
        endings = " ".join(sorted(SUFFIXES))
        raise CorpusError(f"{music} holds no audio files, expected some of {endings}")
    return paths
