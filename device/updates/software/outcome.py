"""What became of the last update: a file written by systemd/trial.sh. Standard library alone."""

from dataclasses import dataclass
from pathlib import Path

from device.errors import SwitchboardError
from device.files import read_json_object

HOME = Path("/opt/switchboard")
PLAYS, BACK = "plays", "back"
_OUTCOME, _TRIAL = "last-update.json", "trial"


class UpdateFailed(SwitchboardError, RuntimeError):
    """An update could not be installed, or did not play: the version before plays."""

    exit_code = 63


@dataclass(frozen=True)
class Outcome:
    """The end of one trial.

    Attributes
    ----------
    outcome : str
        `PLAYS` or `BACK`.
    version, before : str
        Names of the folders below `HOME`/versions.
    reason : str
        Why it went back; empty otherwise.
    at : float
        Seconds since the epoch.
    """

    outcome: str
    version: str
    before: str
    reason: str
    at: float

    @property
    def words(self) -> str:
        """For people."""
        if self.outcome == PLAYS:
            return f"{self.version} plays, updated from {self.before}"
        return f"went back to {self.before} from {self.version}: {self.reason}"


def last_outcome(home: Path = HOME) -> Outcome | None:
    """The last trial that ended here; None where none did or its record is damaged."""
    record = read_json_object(home / _OUTCOME)
    try:
        return Outcome(
            outcome=str(record["outcome"]),
            version=str(record["version"]),
            before=str(record["before"]),
            reason=str(record["reason"]),
            at=float(record["at"]),
        )
    except (KeyError, TypeError, ValueError):
        return None


def version_on_trial(home: Path = HOME) -> str | None:
    """The version that is on trial now, or will be at the next boot."""
    try:
        return (home / _TRIAL).read_text(encoding="utf-8", errors="replace").split()[0]
    except (OSError, IndexError):
        return None
