"""How the starts of a model ended, to detect a model that crashes the device at once or later.

A recorded start without a recorded stop was cut off. If the machine has been booted since, its plug
was pulled: the kernel gives every boot another number. If not, the instrument crashed, was killed
for its memory, or hung and was ended by the watchdog.
"""

from pathlib import Path
from typing import Any

from device.files import read_json_object, remove_durably, write_json_object

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

# Starts without success while the machine stays up: each of them was a crash.
MOST_STARTS = 2
# Crashes at any time, however long it had played, since it last played for long without one.
MOST_CRASHES = 4
# Times the machine went down before a start succeeded. A pulled plug does not mean that the model
# is bad; but a model that takes the whole machine down must not be started for ever.
MOST_REBOOTS = 5


class StartCounter:
    """A JSON file about the one model that was started last.

    ``n``, ``boot`` and ``n_downs`` mean the same in every version; a file of an older version lacks
    the other keys and records no crash.

    Parameters
    ----------
    boot_id : Path
        A file whose content changes with every boot.
    """

    def __init__(self, path: Path, boot_id: Path = BOOT_ID) -> None:
        self._path = path
        self._boot_id = boot_id

    def exceeded_limit(self, digest: str) -> str | None:
        """Why this model must not be started again, or None."""
        n_crashes = self.n_crashes_of(digest)
        if n_crashes >= MOST_CRASHES:
            return f"the device crashed {n_crashes} times while it played"
        if self.n_starts_of(digest) >= MOST_STARTS or self.n_reboots_of(digest) >= MOST_REBOOTS:
            return "the device crashed with it before a start succeeded"
        return None

    def n_starts_of(self, digest: str) -> int:
        """Starts of this model in this boot since one succeeded, or another model was started."""
        mark = self._mark(digest)
        return _integer(mark, "n") if mark.get("boot") == self._boot() else 0

    def n_crashes_of(self, digest: str) -> int:
        """Crashes with this model since it last played for long, or another one was started.

        The last start counts too if it was cut off; valid before the next start, not during it.
        """
        mark = self._mark(digest)
        # Without a boot number a crash cannot be distinguished from a pulled plug.
        is_same_boot = bool(self._boot()) and mark.get("boot") == self._boot()
        return _integer(mark, "n_crashes") + (mark.get("running") is True and is_same_boot)

    def n_reboots_of(self, digest: str) -> int:
        """How often the machine went down before a start of this model had succeeded."""
        mark = self._mark(digest)
        cut_short = _integer(mark, "n") > 0 and mark.get("boot") != self._boot()
        return _integer(mark, "n_downs") + cut_short

    def record_start(self, digest: str) -> None:
        """Another start."""
        self._write(digest, n=self.n_starts_of(digest) + 1, n_crashes=self.n_crashes_of(digest))

    def mark_suspect(self, digest: str) -> None:
        """Count it as crashed unless it is confirmed or ends while this machine stays up."""
        self._write(digest, n=MOST_STARTS, n_crashes=_integer(self._mark(digest), "n_crashes"))

    def confirm_running(self) -> None:
        """It plays: from now on a machine that goes down does not count against it."""
        self._change(n=0, n_downs=0)

    def clear_crashes(self) -> None:
        """It has played for long: its crashes are forgotten."""
        self._change(n=0, n_downs=0, n_crashes=0)

    def record_stop(self) -> None:
        """It ended on request."""
        self._change(n=0, n_downs=0, running=False)

    def _change(self, **values: Any) -> None:
        mark = read_json_object(self._path)
        changed = {**mark, **values}
        if not changed.get("running") and not _integer(changed, "n_crashes"):
            remove_durably(self._path)
        elif changed != mark:
            write_json_object(self._path, changed)

    def _write(self, digest: str, *, n: int, n_crashes: int) -> None:
        mark = {
            "digest": digest,
            "n": n,
            "boot": self._boot(),
            "n_downs": self.n_reboots_of(digest),
            "n_crashes": n_crashes,
            "running": True,
        }
        write_json_object(self._path, mark)

    def _mark(self, digest: str) -> dict[str, Any]:
        mark = read_json_object(self._path)
        return mark if mark.get("digest") == digest else {}

    def _boot(self) -> str:
        try:
            return self._boot_id.read_text(encoding="ascii").strip()
        except OSError:
            return ""


def _integer(mark: dict[str, Any], key: str) -> int:
    """The integer of a key; 0 if the file is damaged."""
    value = mark.get(key)
    return value if isinstance(value, int) else 0
