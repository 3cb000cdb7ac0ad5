"""How often a model was started without coming to play: how a box notices that one crashes it."""

from pathlib import Path

from device.files import read_object, removed, write_object


class Starts:
    """A JSON file with one hash and one number."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def n_of(self, digest: str) -> int:
        """Starts of this model since one succeeded, or since another model was started."""
        mark = read_object(self._path)
        n = mark.get("n")
        return n if mark.get("digest") == digest and isinstance(n, int) else 0

    def count(self, digest: str) -> None:
        """One more."""
        write_object(self._path, {"digest": digest, "n": self.n_of(digest) + 1})

    def clear(self) -> None:
        """It played."""
        removed(self._path)
