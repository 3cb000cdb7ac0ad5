"""Files that are whole or absent."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


@contextmanager
def written_whole(path: Path, partial: Path) -> Iterator[BinaryIO]:
    """Open a file that takes its name when it is complete; the old one stays whole until then.

    Parameters
    ----------
    partial : Path
        Its name until then, in the same folder; removed if anything goes wrong.
    """
    try:
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise
