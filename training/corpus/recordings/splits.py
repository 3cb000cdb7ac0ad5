"""The held-out split of a corpus of recordings: whole artists or whole pieces, never a stretch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

LOOPS_PER_HELD_OUT = 50
SMALLEST_SPLIT = 20
"""A corpus of fewer loops has no held-out split."""
_LARGEST_ARTIST = 0.1  # of all loops, where no artist has fewer
_LARGEST_PIECE = 0.25


class LoopOrigin(NamedTuple):
    """A loop and where it comes from."""

    shard: int
    id: str
    provenance: Mapping[str, Any]


class Split(NamedTuple):
    """The loops held out, as (shard, id), and what they share: "artist", "piece" or None."""

    by: str | None
    held_out: list[tuple[int, str]]


def _artist(provenance: Mapping[str, Any]) -> str:
    return str(provenance.get("artist") or provenance["sha256"]).casefold()


def _piece(provenance: Mapping[str, Any]) -> str:
    return str(provenance["sha256"])


_LEVELS: tuple[tuple[str, Callable[[Mapping[str, Any]], str], float], ...] = (
    ("artist", _artist, _LARGEST_ARTIST),
    ("piece", _piece, _LARGEST_PIECE),
)


def choose_held_out(loops: Sequence[LoopOrigin]) -> Split:
    """Choose about one loop in fifty, by whole artists if they allow it, else by whole pieces."""
    if len(loops) >= SMALLEST_SPLIT:
        for by, name, largest in _LEVELS:
            groups: dict[str, list[tuple[int, str]]] = {}
            for loop in loops:
                groups.setdefault(name(loop.provenance), []).append((loop.shard, loop.id))
            held_out = _choose_groups(groups, len(loops), largest)
            if held_out:
                return Split(by, held_out)
    return Split(None, [])


def _choose_groups(
    groups: Mapping[str, list[tuple[int, str]]], n_loops: int, largest: float
) -> list[tuple[int, str]]:
    n_wanted = max(1, round(n_loops / LOOPS_PER_HELD_OUT))
    chosen: list[tuple[int, str]] = []
    for name in sorted(groups, key=_shuffled):
        if len(chosen) < n_wanted and len(chosen) + len(groups[name]) <= 2 * n_wanted:
            chosen += groups[name]
    smallest = min(groups.values(), key=len)
    return chosen or (smallest if len(smallest) <= largest * n_loops else [])


def _shuffled(name: str) -> str:
    """Return a hash, whose order is independent of the music."""
    return sha256(name.encode(errors="surrogateescape")).hexdigest()
