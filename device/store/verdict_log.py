"""Verdicts on models that were examined or played here, by the hash of the file."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from device.files import read_json_object, write_json_object

_MOST = 200


@dataclass(frozen=True)
class Refusal:
    """A model that must not play.

    Attributes
    ----------
    digest : str
        SHA-256 of its file.
    reason : str
    at : float
        Seconds since the epoch.
    """

    digest: str
    reason: str
    at: float


class VerdictLog:
    """A JSON file of hashes: accepted, or refused with a reason. One writer at a time."""

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        self._path = path
        self._clock = clock

    def refusal(self, digest: str) -> str | None:
        """Why this hash must not play, or None."""
        verdict = self._read().get(digest)
        return None if verdict is None or verdict["accepted"] else str(verdict["reason"])

    def last_refusal(self) -> Refusal | None:
        """The latest refusal that still holds, or None."""
        for digest, verdict in reversed(self._read().items()):
            if not verdict["accepted"]:
                at = verdict.get("at")
                return Refusal(digest, str(verdict["reason"]), at if isinstance(at, float) else 0.0)
        return None

    def is_accepted(self, digest: str) -> bool:
        """Whether it was examined here, accepted, and not refused since."""
        verdict = self._read().get(digest)
        return verdict is not None and verdict["accepted"] is True

    def record(self, digest: str, refusal: str | None) -> None:
        """Record a verdict in place of an earlier one; None is acceptance."""
        verdicts = self._read()
        verdicts.pop(digest, None)
        verdicts[digest] = {
            "accepted": refusal is None,
            "reason": refusal or "",
            "at": round(self._clock(), 3),
        }
        write_json_object(self._path, dict(list(verdicts.items())[-_MOST:]))

    def _read(self) -> dict[str, dict[str, Any]]:
        return {
            digest: verdict
            for digest, verdict in read_json_object(self._path).items()
            if isinstance(verdict, dict) and {"accepted", "reason"} <= set(verdict)
        }
