"""The format of a corpus on disk: names of files, constants, JSON, the header, the lock."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from device.errors import SwitchboardError
from device.files import create_locked, flush_file, flush_folder, remove_stale
from device.system.outputs import regular_target

FORMAT_VERSION = 2
READ_VERSIONS = (1, FORMAT_VERSION)
SAMPLE_RATE = 22050
BEATS_PER_LOOP = 16
MARGIN = 4096
"""Samples of context on either side of a loop."""
TRAIN, HELD_OUT = "train", "held-out"

Audio = NDArray[np.float32]

_FULL_SCALE = 32767.0
_PARTIAL = ".partial"
# No number of samples, loops or beats is larger.
_MOST = 2**40
_ANEW = "restore a copy, or make the corpus again in an empty folder"
_HEADER_KEYS = frozenset(
    {"format_version", "source", "sample_rate", "beats_per_loop", "margin", "tempo_bpm"}
    | {"n_shards", "n_loops"}
)


class CorpusError(SwitchboardError, ValueError):
    """A corpus that cannot be read, or music that gives no corpus."""

    exit_code = 20


def is_whole(value: Any, least: int) -> bool:
    """Return whether a JSON value is a whole number from `least` to the largest plausible one."""
    return type(value) is int and least <= value <= _MOST


def is_positive(value: Any) -> bool:
    """Return whether a JSON value is a number above 0, up to the largest plausible one."""
    return type(value) in (int, float) and 0 < value <= _MOST


def _is_position(value: Any) -> bool:
    return value == 0 or is_positive(value)


def _audio_path(directory: Path, shard: int) -> Path:
    return directory / f"shard-{shard:05d}.npy"


def _stems_path(directory: Path, shard: int) -> Path:
    return directory / f"stems-{shard:05d}.npy"


def _records_path(directory: Path, shard: int) -> Path:
    return directory / f"records-{shard:05d}.npz"


def write_json(path: Path, content: object) -> None:
    """Write a JSON file whole or not at all."""
    # A name that is not UTF-8 holds lone surrogates: written as \\udcXX, which JSON reads back.
    text = json.dumps(content, ensure_ascii=False, indent=1).encode(errors="backslashreplace")
    with written_whole(path) as file:
        file.write(text)


@contextmanager
def written_whole(path: Path) -> Iterator[BinaryIO]:
    """Open a file that takes its name when it is complete.

    Until then it has a name of its own and is locked, so that processes on several machines may
    write beside each other and clear up: `remove_leftovers` leaves what is being written.
    """
    target = regular_target(path)
    partial = partial_of(target)
    try:
        with create_locked(partial) as file:
            yield file
            flush_file(file)
            partial.replace(target)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise
    flush_folder(target.parent)


def partial_of(path: Path) -> Path:
    """Return a name for a file until it is complete, which no other process has."""
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}{_PARTIAL}")


def remove_leftovers(directory: Path) -> None:
    """Remove partial files of killed processes; those that a process writes stay."""
    remove_stale(directory, f".*{_PARTIAL}")


@contextmanager
def locked(directory: Path, *, wait: bool) -> Iterator[None]:
    """Let one process at a time make or analyse a corpus.

    The lock is the kernel's, so a killed process leaves none behind. A file system whose folders
    cannot be locked, such as NFS, goes without it: every file is still written whole.

    Raises
    ------
    CorpusError
        If another process holds it, unless `wait`.
    """
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        os.close(descriptor)
        raise CorpusError(
            f"{directory} is in use: found another process that makes or analyses this corpus, "
            "expected none; wait for it, or stop it"
        ) from None
    except OSError as error:
        if error.errno not in (errno.EBADF, errno.ENOLCK, errno.EOPNOTSUPP):
            os.close(descriptor)
            raise
    try:
        yield
    finally:
        os.close(descriptor)


def _check_header(directory: Path, header: Mapping[str, Any]) -> None:
    stems, skipped = header.get("stems"), header.get("skipped", [])
    expected = {
        "source": (isinstance(header["source"], str), "a text"),
        "sample_rate": (is_whole(header["sample_rate"], 1), "a whole number of Hz"),
        "beats_per_loop": (is_whole(header["beats_per_loop"], 1), "a whole number, 1 or more"),
        "margin": (is_whole(header["margin"], 0), "a whole number of samples"),
        "tempo_bpm": (is_positive(header["tempo_bpm"]), "a positive number"),
        "n_shards": (is_whole(header["n_shards"], 0), "a whole number"),
        "n_loops": (is_whole(header["n_loops"], 0), "a whole number"),
        "stems": (not stems or _is_list_of(stems, str), "names of layers, or none"),
        "shards": (
            header["format_version"] == 1 or _is_index(header.get("shards"), header["n_shards"]),
            "the numbers of loops and samples of each",
        ),
        "skipped": (
            _is_list_of(skipped, dict)
            and all({"path", "reason"} <= skip.keys() for skip in skipped),
            "what was left out, each with path and reason",
        ),
    }
    for name, (is_valid, description) in expected.items():
        if not is_valid:
            raise CorpusError(
                f"{directory / 'corpus.json'}: found {name} {_shown(header.get(name))}, expected "
                f"{description}; {_ANEW}"
            )


def _is_index(value: Any, n_shards: int) -> bool:
    return (
        _is_list_of(value, dict)
        and len(value) == n_shards
        and all(is_whole(shard.get(key), 0) for shard in value for key in ("n_loops", "n_samples"))
    )


def _is_list_of(value: Any, kind: type) -> bool:
    return isinstance(value, list) and all(isinstance(each, kind) for each in value)


def _shown(value: Any) -> str:
    text = ascii(value)
    return text if len(text) <= 40 else f"{text[:40]}…"


def _read_header(directory: Path) -> dict[str, Any]:
    if not directory.is_dir():
        raise CorpusError(
            f"{directory} is not a directory: make a corpus with `switchboard corpus studio --out "
            f"{directory}`"
        )
    path = directory / "corpus.json"
    if not path.is_file():
        raise CorpusError(
            f"{directory} holds no corpus (corpus.json is missing): give a corpus directory, or an "
            "empty one to make a corpus in"
        )
    header = read_json(path)
    version = header.get("format_version") if isinstance(header, dict) else None
    if not isinstance(header, dict) or version not in READ_VERSIONS or type(version) is not int:
        raise CorpusError(
            f"{path} has format version {_shown(version)}, expected "
            f"{' or '.join(map(str, READ_VERSIONS))}; {_ANEW}"
        )
    return header


def read_json(path: Path, *, remedy: str = _ANEW) -> Any:
    """Read a JSON file of a corpus.

    Parameters
    ----------
    remedy : str
        What to do if it is damaged.

    Raises
    ------
    CorpusError
        If it is.
    """
    if path.exists() and not path.is_file():
        raise CorpusError(f"{path} cannot be read (it is no regular file); {remedy}")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CorpusError(f"{path} cannot be read ({error}); {remedy}") from error
