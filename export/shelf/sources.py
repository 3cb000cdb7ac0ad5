"""Where models come from: addresses, files and folders."""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from device.errors import ModelNotFound
from device.files import read_regular
from device.model.contract import MAX_MODEL_BYTES, check_file
from export.shelf.download import DownloadFailed, download, is_address


def expand(sources: Iterable[str]) -> Iterator[str]:
    """The same, with the model files of each folder in its place.

    Raises
    ------
    ModelNotFound
        If a folder has none.
    """
    for source in sources:
        if is_address(source) or not Path(source).is_dir():
            yield source
            continue
        files = sorted(Path(source).glob("*.onnx"))
        if not files:
            raise ModelNotFound(f"{source}: found no .onnx file in this folder; give another one")
        yield from map(str, files)


def read(source: str, sha256: str | None = None) -> bytes:
    """All bytes of a model from an address or a file.

    Parameters
    ----------
    sha256 : str or None
        What its hash must be.

    Raises
    ------
    ModelNotFound, ModelTooLarge, DownloadFailed
    """
    if is_address(source):
        content = download(source)
    else:
        check_file(Path(source))
        content = read_regular(Path(source), MAX_MODEL_BYTES)
    found = hashlib.sha256(content).hexdigest()
    if sha256 is not None and found != sha256.strip().lower():
        raise DownloadFailed(
            f"{source[:200]}: found SHA-256 {found}, expected {sha256[:80]}; it is another file "
            "than was published: ask its publisher"
        )
    return content
