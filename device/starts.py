"""How often a model was started without coming to play: how a box notices that one crashes it."""

from pathlib import Path

from device.files import read_object, removed, write_object

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Starts:
    """A JSON file with one hash and one number.

    Parameters
    ----------
    boot_id : Path
        A file that says something else after every boot.
    """

    def __init__(self, path: Path, boot_id: Path = BOOT_ID) -> None:
        self._path = path
        self._boot_id = boot_id

    def n_of(self, digest: str) -> int:
        """Starts of this model since one succeeded, or since another model was started."""
        mark = read_object(self._path)
        n = mark.get("n")
        if mark.get("digest") != digest or not isinstance(n, int):
            return 0
        # Whoever pulls the plug does not say that the model is bad.
        return n if mark.get("boot", self._boot()) == self._boot() else 1

    def count(self, digest: str) -> None:
        """One more."""
        write_object(self._path, {"digest": digest, "n": self.n_of(digest) + 1})

    def suspect(self, digest: str, n: int) -> None:
        """As good as `n`, if it is not cleared before this machine is booted again."""
        write_object(self._path, {"digest": digest, "n": n, "boot": self._boot()})

    def clear(self) -> None:
        """It played."""
        removed(self._path)

    def _boot(self) -> str:
        try:
            return self._boot_id.read_text(encoding="ascii").strip()
        except OSError:
            return ""
