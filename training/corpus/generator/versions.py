"""Versions of a composition: the same music with other layers, busier, brighter or higher.

Loops that differ in known factors alone show a network what a switch is to change, and what it is
to leave as it is. Version 0 of a composition is its reference: every factor is on. Any other
version is a function of it, for which nothing has to be invented: layers are left out, each busy
pattern has one sparse pattern, and a sparse melody is every second note of the busy one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training.corpus.generator.plan import LAYERS, draw_plan
from training.corpus.generator.random_streams import random_stream

FACTORS = ("drums", "bass", "chords", "melody", "pad", "busy", "bright", "high")
"""In the order of the switches."""

# What is played when busy, of which a composition takes one, and what is played of it when sparse.
_PATTERNS: Mapping[str, Mapping[str, str]] = {
    "kick_pattern": {
        "double": "two",
        "push": "two",
        "busy": "lazy",
        "boom bap": "lazy",
        "stumbling": "one",
    },
    "hat_pattern": {"sixteenths": "offbeats", "skipping": "quarters"},
    "bass_line": {"bounce": "root", "walking": "two", "syncopated": "root"},
    "chord_rhythm": {"eighth arpeggio": "halves", "sixteenth arpeggio": "whole"},
}
_MELODY_DENSITY = 0.6
# A visitor is to hear the melody's switch in a full mix.
_MELODY_GAIN = 1.5
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
    busy = {name: str(rng.choice(list(sparse_of))) for name, sparse_of in _PATTERNS.items()}
    sparse = {name: _PATTERNS[name][pattern] for name, pattern in busy.items()}
    brightness = _BRIGHTNESS[factors["bright"]] + float(rng.uniform(0.0, _BRIGHTNESS_SPREAD))
    return {
        **{f"{layer}_on": factors[layer] for layer in LAYERS},
        **(busy if factors["busy"] else sparse),
        "melody_density": _MELODY_DENSITY,
        "melody_thinned": not factors["busy"],
        "melody_gain": _MELODY_GAIN,
        "ghost_notes_on": factors["busy"],
        "hats_on": True,
        "brightness": round(brightness, 3),
        "octave": _OCTAVES[factors["high"]],
        # Raised by an octave, the chords would leave the range of some instruments.
        "register": min(0, draw_plan(seed, index).register),
        "left_hand_on": False,
        "bed_on": True,
    }
