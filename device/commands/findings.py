"""What `switchboard doctor` says of one thing it looked at."""

from dataclasses import dataclass

GOOD, NOTE, BAD = "good", "note", "bad"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    what : str
    verdict : str
        `GOOD`; `NOTE`, the instrument plays without it; `BAD`, it does not play.
    found : str
    remedy : str
        What mends it; empty where nothing needs mending.
    """

    what: str
    verdict: str
    found: str
    remedy: str = ""
