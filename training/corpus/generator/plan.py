"""Every decision about a loop: a plan determines the arrangement, and is its labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np

from device.errors import SwitchboardError
from training.corpus.generator.harmony import PROGRESSIONS, mode_of
from training.corpus.generator.random_streams import random_stream

LAYERS = ("chords", "bass", "drums", "melody", "pad")
# Quiet chords that go on where all layers are off.
BED = "bed"

# name: how often it is chosen, relative to the others
CHORD_INSTRUMENTS = {
    "tine piano": 0.32, "glass piano": 0.12, "piano": 0.22,
    "nylon guitar": 0.14, "jazz guitar": 0.12, "vibraphone": 0.08,
}  # fmt: skip
CHORD_RHYTHMS = {
    "whole": 0.20, "charleston": 0.17, "halves": 0.13, "push": 0.13,
    "offbeat": 0.08, "eighth arpeggio": 0.14, "sixteenth arpeggio": 0.07, "stabs": 0.08,
}  # fmt: skip
BASS_INSTRUMENTS = {
    "upright bass": 0.35, "finger bass": 0.30, "fretless bass": 0.15, "sub bass": 0.20,
}  # fmt: skip
BASS_LINES = {
    "root": 1.0, "two": 1.0, "pushed": 1.0, "bounce": 1.0, "walking": 1.0, "syncopated": 1.0,
}  # fmt: skip
MELODY_INSTRUMENTS = {
    "vibraphone": 1.0, "piano": 1.0, "flute": 1.0, "muted trumpet": 1.0,
    "jazz guitar": 1.0, "kalimba": 1.0, "music box": 1.0, "tine piano": 1.0,
}  # fmt: skip
PAD_INSTRUMENTS = {"warm pad": 1.0, "strings": 1.0}
KITS = {"dusty": 0.28, "jazz": 0.20, "brushes": 0.14, "analogue": 0.18, "crisp": 0.20}
KICK_PATTERNS = {
    "two": 1.0, "boom bap": 1.0, "lazy": 1.0, "stumbling": 1.0,
    "double": 1.0, "push": 1.0, "busy": 1.0, "one": 1.0,
}  # fmt: skip
SNARE_SOUNDS = {"snare": 0.68, "rim": 0.24, "clap": 0.08}
HAT_PATTERNS = {
    "eighths": 0.38, "sixteenths": 0.16, "offbeats": 0.10, "quarters": 0.16, "skipping": 0.20,
}  # fmt: skip
HAT_SOUNDS = {"closed hat": 0.74, "shaker": 0.14, "ride": 0.12}

_CHOICES: dict[str, Sequence[str]] = {
    "progression": tuple(PROGRESSIONS),
    "chord_instrument": tuple(CHORD_INSTRUMENTS),
    "chord_rhythm": tuple(CHORD_RHYTHMS),
    "bass_instrument": tuple(BASS_INSTRUMENTS),
    "bass_line": tuple(BASS_LINES),
    "melody_instrument": tuple(MELODY_INSTRUMENTS),
    "pad_instrument": tuple(PAD_INSTRUMENTS),
    "kit": tuple(KITS),
    "kick_pattern": tuple(KICK_PATTERNS),
    "snare_sound": tuple(SNARE_SOUNDS),
    "hat_pattern": tuple(HAT_PATTERNS),
    "hat_sound": tuple(HAT_SOUNDS),
}

# A drum has this many takes: same kit, slightly different sound.
N_DRUM_TAKES = 3


class PlanError(SwitchboardError, ValueError):
    """A plan that cannot be played."""

    exit_code = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All decisions of one loop. Amounts without a unit run from 0 to 1."""

    progression: str
    register: int  # semitones by which chords and melody leave their middle
    swing: float  # share of the pair the first note takes: .5 is straight, .66 triplets
    swing_unit: int  # 16 or 8: which pairs of notes swing
    humanise: float
    lay_back_seconds: float  # how far snare, bass and melody drag behind the grid

    chords_on: bool
    chord_instrument: str
    chord_rhythm: str
    left_hand_on: bool  # the chord player adds the roots that no bass plays
    bass_on: bool
    bass_instrument: str
    bass_line: str
    melody_on: bool
    melody_instrument: str
    melody_density: float
    pad_on: bool
    pad_instrument: str

    drums_on: bool
    kit: str
    kick_pattern: str
    kick_take: int
    snare_sound: str
    snare_take: int
    ghost_notes_on: bool
    hats_on: bool
    hat_pattern: str
    hat_sound: str
    hat_take: int

    brightness: float
    duck: float
    reverb: float
    drive: float
    tremolo: float

    # Only versions of a composition have these.
    bed_on: bool = False
    octave: int = 0  # by which chords, pad, melody and bed are raised
    melody_thinned: bool = False  # every second note is left out
    melody_gain: float = 1.0

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise PlanError(
                    f"{name} is {getattr(self, name)!r}, expected one of: {', '.join(choices)}"
                )
        if not any(self.plays(layer) for layer in (*LAYERS, BED)):
            raise PlanError(f"no layer is left to play; turn on one of: {', '.join(LAYERS)}")

    def plays(self, layer: str) -> bool:
        """Return whether a layer is on."""
        return bool(getattr(self, f"{layer}_on"))

    def labels(self) -> dict[str, Any]:
        """Return the plan as plain JSON values."""
        return {**asdict(self), "mode": mode_of(self.progression)}


def draw_plan(seed: int, index: int, fix: Mapping[str, Any] | None = None) -> Plan:
    """Draw the plan of a loop, then replace what `fix` names; nothing else changes.

    Raises
    ------
    PlanError
        If `fix` names an unknown decision or value, or leaves no layer on.
    """
    known = {field.name for field in fields(Plan)}
    unknown = sorted(set(fix or {}) - known)
    if unknown:
        raise PlanError(f"unknown decision {unknown[0]!r}, expected one of: {', '.join(known)}")
    return replace(_draw(random_stream(seed, index, "plan")), **(fix or {}))


def _draw(rng: np.random.Generator) -> Plan:
    # The order of the draws decides what a seed gives: append, never insert.
    chords_on, bass_on = _chance(rng, 0.94), _chance(rng, 0.84)
    drums_on, melody_on, pad_on = _chance(rng, 0.85), _chance(rng, 0.5), _chance(rng, 0.35)
    return Plan(
        progression=_choose(rng, dict.fromkeys(PROGRESSIONS, 1.0)),
        register=int(rng.choice([-5, 0, 0, 4])),
        swing=float(rng.choice([0.50, 0.54, 0.57, 0.60, 0.63, 0.66])),
        swing_unit=int(rng.choice([16, 16, 8])),
        humanise=_amount(rng, 0.2, 1.0),
        lay_back_seconds=round(float(rng.uniform(0.0, 0.02)), 4),
        # At least one layer has to carry the harmony.
        chords_on=chords_on or not (melody_on or pad_on),
        chord_instrument=_choose(rng, CHORD_INSTRUMENTS),
        chord_rhythm=_choose(rng, CHORD_RHYTHMS),
        left_hand_on=not bass_on,
        bass_on=bass_on,
        bass_instrument=_choose(rng, BASS_INSTRUMENTS),
        bass_line=_choose(rng, BASS_LINES),
        melody_on=melody_on,
        melody_instrument=_choose(rng, MELODY_INSTRUMENTS),
        melody_density=_amount(rng, 0.15, 0.6),
        pad_on=pad_on,
        pad_instrument=_choose(rng, PAD_INSTRUMENTS),
        drums_on=drums_on,
        kit=_choose(rng, KITS),
        kick_pattern=_choose(rng, KICK_PATTERNS),
        kick_take=int(rng.integers(N_DRUM_TAKES)),
        snare_sound=_choose(rng, SNARE_SOUNDS),
        snare_take=int(rng.integers(N_DRUM_TAKES)),
        ghost_notes_on=_chance(rng, 0.4),
        hats_on=_chance(rng, 0.88),
        hat_pattern=_choose(rng, HAT_PATTERNS),
        hat_sound=_choose(rng, HAT_SOUNDS),
        hat_take=int(rng.integers(N_DRUM_TAKES)),
        brightness=_amount(rng, 0.0, 1.0),
        # A negative start means "often not at all".
        duck=_amount(rng, -0.3, 0.7),
        reverb=_amount(rng, 0.0, 1.0),
        drive=_amount(rng, 0.0, 1.0),
        tremolo=_amount(rng, -0.5, 0.6),
    )


def _choose(rng: np.random.Generator, weights: Mapping[str, float]) -> str:
    shares = np.array(list(weights.values()))
    return list(weights)[int(rng.choice(len(shares), p=shares / shares.sum()))]


def _chance(rng: np.random.Generator, probability: float) -> bool:
    return bool(rng.random() < probability)


def _amount(rng: np.random.Generator, low: float, high: float) -> float:
    return round(max(0.0, float(rng.uniform(low, high))), 3)
