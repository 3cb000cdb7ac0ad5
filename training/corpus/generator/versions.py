"""Versions of a composition: the same music with other layers, busier, brighter or higher.

Loops that differ in known factors alone show a network what a switch is to change, and what it is
to leave as it is. Version 0 of a composition is its reference: every factor is on, so that nothing
has to be invented for any other version.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from training.corpus.generator.plan import LAYERS, draw_plan
from training.corpus.generator.random_streams import random_stream

FACTORS = ("drums", "bass", "chords", "melody", "pad", "busy", "bright", "high")
"""In the order of the switches."""

# (off, on): choices of a decision, of which a composition takes one for each.
_PATTERNS: Mapping[str, tuple[Sequence[str], Sequence[str]]] = {
    "kick_pattern": (("one", "two", "lazy"), ("double", "push", "busy", "boom bap", "stumbling")),
    "hat_pattern": (("quarters", "offbeats"), ("sixteenths", "skipping")),
    "bass_line": (("root", "two"), ("bounce", "walking", "syncopated")),
    "chord_rhythm": (("whole", "halves"), ("eighth arpeggio", "sixteenth arpeggio")),
}
_MELODY_DENSITY = (0.15, 0.6)
_BRIGHTNESS = (0.1, 0.85)
_BRIGHTNESS_SPREAD = 0.15
_OCTAVES = (0, 1)


def factors_of_version(seed: int, index: int, version: int) -> dict[str, bool]:
    """Which factors are on; each is in half of the versions after the reference."""
    if version == 0:
        return dict.fromkeys(FACTORS, True)
    drawn = random_stream(seed, index, "factors", version).integers(0, 2, len(FACTORS))
    return {name: bool(on) for name, on in zip(FACTORS, drawn, strict=True)}


def plan_of_version(seed: int, index: int, factors: Mapping[str, bool]) -> dict[str, Any]:
    """Decisions to overrule in the plan of a composition, see `render_loop`."""
    rng = random_stream(seed, index, "versions")
    patterns = {
        name: str(rng.choice(on if factors["busy"] else off))
        for name, (off, on) in _PATTERNS.items()
    }
    brightness = _BRIGHTNESS[factors["bright"]] + float(rng.uniform(0.0, _BRIGHTNESS_SPREAD))
    return {
        **{f"{layer}_on": factors[layer] for layer in LAYERS},
        **patterns,
        "melody_density": _MELODY_DENSITY[factors["busy"]],
        "ghost_notes_on": factors["busy"],
        "hats_on": True,
        "brightness": round(brightness, 3),
        "octave": _OCTAVES[factors["high"]],
        # Raised by an octave, the chords would leave the range of some instruments.
        "register": min(0, draw_plan(seed, index).register),
        "left_hand_on": False,
        "bed_on": True,
    }
