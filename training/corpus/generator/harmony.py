"""Progressions and voicings: which notes sound in which half bar.

Major progressions are in C, minor ones in A, its relative: so every loop fits every other and a
network that blends two loops never has to blend two keys.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

PITCH_NAMES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")

# Semitones above the root, lowest first.
QUALITIES: dict[str, tuple[int, ...]] = {
    "maj7": (0, 4, 7, 11),
    "maj9": (0, 4, 7, 11, 14),
    "6/9": (0, 4, 7, 9, 14),
    "m7": (0, 3, 7, 10),
    "m9": (0, 3, 7, 10, 14),
    "m11": (0, 3, 7, 10, 14, 17),
    "m6": (0, 3, 7, 9),
    "9": (0, 4, 7, 10, 14),
    "13": (0, 4, 10, 14, 21),
    "7b9": (0, 4, 7, 10, 13),
    "7#5": (0, 4, 8, 10),
    "9sus": (0, 5, 7, 10, 14),
    "m7b5": (0, 3, 6, 10),
    "dim7": (0, 3, 6, 9),
    "mmaj7": (0, 3, 7, 11),
}

# Four bars each, written as (semitones above the tonic, quality); eight chords mean two a bar.
MAJOR_PROGRESSIONS: dict[str, tuple[tuple[int, str], ...]] = {
    "ii-V-I-VI": ((2, "m9"), (7, "13"), (0, "maj9"), (9, "7b9")),
    "I-vi-ii-V": ((0, "maj9"), (9, "m7"), (2, "m9"), (7, "9sus")),
    "IV-iii-ii-I": ((5, "maj9"), (4, "m7"), (2, "m9"), (0, "maj9")),
    "IV-iii-vi": ((5, "maj7"), (4, "m7"), (9, "m9"), (9, "m7")),
    "I-IV": ((0, "maj9"), (5, "maj9"), (0, "maj7"), (5, "6/9")),
    "I-iv": ((0, "maj9"), (0, "6/9"), (5, "m6"), (5, "m6")),
    "IV-iv-I-vi": ((5, "maj9"), (5, "m6"), (0, "maj9"), (9, "m7")),
    "iii-vi-ii-V": ((4, "m7"), (9, "m9"), (2, "m9"), (7, "13")),
    "I-bVII": ((0, "maj9"), (10, "9"), (0, "6/9"), (10, "9")),
    "I-bIII-bVI-bII": ((0, "maj9"), (3, "maj7"), (8, "maj9"), (1, "maj7")),
    "IV-V-iii-vi": ((5, "maj9"), (7, "9"), (4, "m7"), (9, "m9")),
    "I-#Idim-ii-V": ((0, "maj7"), (1, "dim7"), (2, "m9"), (7, "9sus")),
    "ii-V-I turnaround": (
        (2, "m9"), (7, "13"), (0, "maj9"), (0, "6/9"),
        (4, "m7"), (9, "7b9"), (2, "m9"), (7, "9sus"),
    ),
    "IV-iii-ii-I turnaround": (
        (5, "maj9"), (4, "m7"), (2, "m9"), (0, "maj7"),
        (5, "maj9"), (4, "7#5"), (9, "m9"), (7, "9sus"),
    ),
}  # fmt: skip
MINOR_PROGRESSIONS: dict[str, tuple[tuple[int, str], ...]] = {
    "i-iv": ((0, "m9"), (5, "m9"), (0, "m9"), (5, "9")),
    "i-bVI-bIII-bVII": ((0, "m9"), (8, "maj7"), (3, "maj9"), (10, "9")),
    "iio-V-i": ((2, "m7b5"), (7, "7b9"), (0, "m9"), (0, "m6")),
    "i-bVII-bVI-V": ((0, "m9"), (10, "9sus"), (8, "maj7"), (7, "7#5")),
    "i-iv-bVII-bIII": ((0, "m9"), (5, "m9"), (10, "13"), (3, "maj9")),
    "bVI-v-i": ((8, "maj9"), (7, "m7"), (0, "m9"), (0, "m11")),
    "i line cliche": ((0, "m7"), (0, "mmaj7"), (0, "m7"), (0, "m6")),
    "i-bIII-bVI-V turnaround": (
        (0, "m9"), (3, "maj7"), (8, "maj7"), (7, "7b9"),
        (0, "m9"), (10, "9"), (8, "maj9"), (7, "7#5"),
    ),
}  # fmt: skip
PROGRESSIONS = MAJOR_PROGRESSIONS | MINOR_PROGRESSIONS

_MAJOR_TONIC = 0  # C
_MINOR_TONIC = 9  # A
# C major's and A minor's pentatonic scales are the same five notes.
PENTATONIC = frozenset({0, 2, 4, 7, 9})

_LOWEST_VOICE = 52  # E3: below it, close chords turn to mud
_MIDDLE_VOICE = 60
_BARS_PER_PROGRESSION = 4


@dataclass(frozen=True, slots=True)
class Chord:
    """A chord: its root as a pitch class (0 = C) and its quality."""

    root: int
    quality: str

    @property
    def name(self) -> str:
        """How musicians write it."""
        return PITCH_NAMES[self.root] + self.quality

    @property
    def pitch_classes(self) -> tuple[int, ...]:
        """Its notes, root first, without their octaves."""
        return tuple((self.root + interval) % 12 for interval in QUALITIES[self.quality])

    def degree(self, name: str) -> int:
        """Semitones from the root to this chord's own "third" or "fifth"."""
        candidates = {"third": (3, 4, 5), "fifth": (7, 6, 8)}[name]
        intervals = {interval % 12 for interval in QUALITIES[self.quality]}
        return next((c for c in candidates if c in intervals), candidates[0])


@dataclass(frozen=True, slots=True)
class PlacedChord:
    """A chord with its place on the grid (in 16ths) and its voicing as MIDI keys."""

    chord: Chord
    bar: int
    first_step: int
    n_steps: int
    keys: tuple[int, ...]


def mode_of(progression: str) -> str:
    """Return "major" or "minor"."""
    return "major" if progression in MAJOR_PROGRESSIONS else "minor"


def place_chords(progression: str, bars: int, register: int) -> tuple[PlacedChord, ...]:
    """Lay a progression over the bars of a loop, each chord voiced close to the one before."""
    tonic = _MAJOR_TONIC if mode_of(progression) == "major" else _MINOR_TONIC
    written = PROGRESSIONS[progression]
    per_bar = len(written) // _BARS_PER_PROGRESSION
    n_steps = 16 // per_bar
    placed: list[PlacedChord] = []
    for number in range(bars * per_bar):
        semitones, quality = written[number % len(written)]
        chord = Chord((tonic + semitones) % 12, quality)
        keys = _voice(chord, placed[-1].keys if placed else (), register)
        bar, part = divmod(number, per_bar)
        placed.append(PlacedChord(chord, bar, part * n_steps, n_steps, keys))
    return tuple(placed)


def _voice(chord: Chord, previous: tuple[int, ...], register: int) -> tuple[int, ...]:
    """Choose the close position that moves least and clusters least."""
    # Chords of more than four notes leave the root to the bass.
    classes = chord.pitch_classes[1:] if len(chord.pitch_classes) > 4 else chord.pitch_classes
    lowest = _LOWEST_VOICE + register
    positions = [
        tuple(sorted(start + (pitch - start) % 12 for pitch in classes))
        for start in range(lowest, lowest + 12)
        if start % 12 in classes
    ]
    return min(positions, key=lambda keys: _voicing_cost(keys, previous, register))


def _voicing_cost(keys: tuple[int, ...], previous: tuple[int, ...], register: int) -> float:
    centre = 0.3 * abs(sum(keys) / len(keys) - _MIDDLE_VOICE - register)
    movement = sum(min(abs(key - old) for old in previous) for key in keys) if previous else 0
    clusters = sum(upper - lower == 1 for lower, upper in pairwise(keys))
    return centre + movement + 2.0 * clusters
