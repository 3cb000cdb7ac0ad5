"""A model file's description of itself, as text and as data; read without running any of it."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from device.errors import SwitchboardError
from device.files import sha256_of
from device.model.contract import ModelCard
from device.model.onnx_reader import read_onnx_file
from device.plain_text import one_line

# How deep provenance is printed line by line; what lies deeper stays JSON.
_MOST_DEPTH = 4
# Provenance is any JSON of a stranger's file: so much of it is shown on a page.
_MOST_FACTS, _MOST_FACT = 80, 200


def read_card(path: Path) -> ModelCard:
    """Read the card of an untrusted file.

    Raises
    ------
    ModelNotFound, ModelTooLarge, ModelUnreadable, ForbiddenGraph, ContractError
    """
    return ModelCard.from_metadata(read_onnx_file(path).metadata)


def title_of(path: Path) -> str:
    """Its title, for a list; `unreadable` if it has none."""
    try:
        return one_line(read_card(path).title)
    except (SwitchboardError, OSError):
        return "unreadable"


def describe(path: Path) -> dict[str, Any]:
    """All of a file's card but the numbers of its golden vector, and its hash."""
    card = read_card(path)
    entries = asdict(card)
    del entries["golden"]
    return {
        "title": entries.pop("title"),
        "sha256": sha256_of(path),
        "size_bytes": path.stat().st_size,
        **entries,
        "golden_tolerance": card.golden.tolerance,
    }


def to_lines(description: dict[str, Any]) -> list[str]:
    """`describe` for people: a line for each entry, names aligned."""
    entries = _flat("", description, _MOST_DEPTH)
    flat = [(one_line(name), one_line(text)) for name, text in entries]
    width = max(len(name) for name, _ in flat)
    return [f"{name:{width}}  {text}".rstrip() for name, text in flat]


def facts_of(card: ModelCard) -> list[tuple[str, str]]:
    """What a card says of the model's sound and origin: names and texts, each one short line."""
    sound = {"tempo_bpm": card.tempo_bpm, "sample_rate": card.sample_rate}
    # The music and its licences first: the list may be cut.
    first = {name: card.provenance[name] for name in ("corpus",) if name in card.provenance}
    entries = _flat("", {**sound, **first, "scores": card.scores, **card.provenance}, _MOST_DEPTH)
    short = [(one_line(name, _MOST_FACT), one_line(text, _MOST_FACT)) for name, text in entries]
    return short[:_MOST_FACTS]


def _flat(prefix: str, value: Any, depth: int) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value and depth:
        for key, inner in value.items():
            yield from _flat(f"{prefix}.{key}" if prefix else key, inner, depth - 1)
    elif isinstance(value, (list, tuple)) and all(isinstance(v, (str, int, float)) for v in value):
        yield prefix, ", ".join(map(str, value))
    else:
        yield prefix, value if isinstance(value, str) else json.dumps(value)
