"""What a model store says of one of its files."""

from dataclasses import dataclass


@dataclass(frozen=True)
class StoredModel:
    """One file of the store.

    Attributes
    ----------
    digest : str
        SHA-256 of its bytes, in hexadecimal.
    size_bytes : int
    added : float
        Seconds since the epoch.
    is_active, is_previous : bool
    refused : str or None
        Why it must not play, if so.
    """

    digest: str
    size_bytes: int
    added: float
    is_active: bool
    is_previous: bool
    refused: str | None
