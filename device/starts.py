"""How often a model was started without coming to play: how a box notices that one crashes it."""

from pathlib import Path
from typing import Any

from device.files import read_object, removed, write_object

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

# Starts without success while the machine stays up: each of them was a crash.
MOST_STARTS = 2
# Times the machine went down before a start came to anything. Whoever pulls the plug does not say
# that the model is bad; but one that takes the whole machine down must not have it for ever.
MOST_DOWNS = 5


class Starts:
    """A JSON file about the one model that was started last.

    Parameters
    ----------
    boot_id : Path
        A file that says something else after every boot.
    """

    def __init__(self, path: Path, boot_id: Path = BOOT_ID) -> None:
        self._path = path
        self._boot_id = boot_id

    def is_to_blame(self, digest: str) -> bool:
        """Whether this model has had its chances."""
        return self.n_of(digest) >= MOST_STARTS or self.n_downs_of(digest) >= MOST_DOWNS

    def n_of(self, digest: str) -> int:
        """Starts of this model in this boot since one succeeded, or another model was started."""
        mark = self._mark(digest)
        return _whole(mark, "n") if mark.get("boot") == self._boot() else 0

    def n_downs_of(self, digest: str) -> int:
        """How often the machine went down before a start of this model had succeeded."""
        mark = self._mark(digest)
        cut_short = _whole(mark, "n") > 0 and mark.get("boot") != self._boot()
        return _whole(mark, "n_downs") + cut_short

    def count(self, digest: str) -> None:
        """One more."""
        self._write(digest, self.n_of(digest) + 1)

    def suspect(self, digest: str) -> None:
        """As good as crashed, if it is not cleared while this machine stays up."""
        self._write(digest, MOST_STARTS)

    def clear(self) -> None:
        """It played."""
        removed(self._path)

    def _write(self, digest: str, n: int) -> None:
        n_downs = self.n_downs_of(digest)
        mark = {"digest": digest, "n": n, "boot": self._boot(), "n_downs": n_downs}
        write_object(self._path, mark)

    def _mark(self, digest: str) -> dict[str, Any]:
        mark = read_object(self._path)
        return mark if mark.get("digest") == digest else {}

    def _boot(self) -> str:
        try:
            return self._boot_id.read_text(encoding="ascii").strip()
        except OSError:
            return ""


def _whole(mark: dict[str, Any], key: str) -> int:
    """A number that a damaged file need not have."""
    value = mark.get(key)
    return value if isinstance(value, int) else 0
