"""The variation over minutes: songs of sections, none of which is played twice the same."""

from bisect import bisect

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]

# A A' B A: for each section its theme, and the angle between its details and the theme's, in
# radians. The second theme of a song is the first one of the next.
SECTIONS = ((0, 0.0), (0, 0.8), (1, 0.4), (0, 0.4))
PASSES_PER_SECTION = 2
# The passages of a section: where each begins, in passes of the loop, and the angle between its
# details and the section's. The last one is the fill that leads to the next section.
STARTS = (0.0, 1.0, 1.75)
ANGLES = (0.0, 0.4, 1.0)
PASSES_PER_SONG = len(SECTIONS) * PASSES_PER_SECTION
_PASSAGES_PER_SONG = len(SECTIONS) * len(STARTS)
# Of a journey: how far another key may be from the home key, in semitones. A lower key takes longer
# to play, and so to follow a flip; a higher one takes more work.
TRANSPOSITIONS = (-3, -2, 2, 3)
# The last fill of a song is a break.
BREAK_START = PASSES_PER_SONG - PASSES_PER_SECTION + STARTS[-1]


def n_theme(n_variation: int) -> int:
    """How many numbers of a variation are its theme; the others are its details."""
    return n_variation // 2


class SongForm:
    """A standard-normal vector for every passage; random access, no state.

    A passage is what plays one score of a switch state: a pass of the loop, or the part of one
    that a fill takes. Passages are numbered from 0.

    The numbers of the theme are the same in all passages of a section and in all sections that have
    this theme. Those of the details are turned from the theme's towards others, drawn for each
    section, and from there towards others, drawn for each passage. A sum of two normal vectors
    whose weights are a cosine and a sine is as normal as they are, so the vectors stay inside the
    distribution that the network was trained on, without drift.

    Parameters
    ----------
    n_variation : int
    seed : int
        Not negative.
    frozen : bool
        Always the first passage.
    journey : bool
        Every other theme has another key than the home key, unless it is frozen.
    """

    def __init__(
        self, n_variation: int, *, seed: int, frozen: bool = False, journey: bool = False
    ) -> None:
        self.n_variation = n_variation
        self.seed = seed
        self.frozen = frozen
        self.journey = journey and not frozen

    def passage_at(self, passes: float) -> int:
        """The passage at a position since the start, in passes of the loop."""
        if self.frozen:
            return 0
        section, within = divmod(passes, PASSES_PER_SECTION)
        return int(section) * len(STARTS) + bisect(STARTS, within) - 1

    def end(self, passage: int) -> float:
        """Where a passage ends unless it is frozen, in passes of the loop."""
        section, number = divmod(passage + 1, len(STARTS))
        return section * PASSES_PER_SECTION + STARTS[number]

    def has_break(self, passage: int) -> bool:
        """Whether a passage is the break before a new song."""
        return not self.frozen and (passage + 1) % _PASSAGES_PER_SONG == 0

    def since_break(self, passes: Vector) -> Vector:
        """How long before positions a break began, all in passes; negative outside of breaks."""
        if self.frozen:
            return np.full_like(passes, -1.0)
        return np.asarray(passes % PASSES_PER_SONG - BREAK_START)

    def theme_of(self, passage: int) -> int:
        """The number of the theme that a passage has, from 0."""
        song, place = divmod(passage // len(STARTS), len(SECTIONS))
        return song + SECTIONS[place][0]

    def transposition_of(self, passage: int) -> int:
        """The key of a passage, in semitones above the home key: that of its theme."""
        theme = self.theme_of(passage)
        if not self.journey or theme % 2 == 0:
            return 0
        return int(np.random.default_rng([self.seed, theme, 3]).choice(TRANSPOSITIONS))

    def at(self, passage: int) -> NDArray[np.float32]:
        """The variation during one passage, (n_variation,), float32."""
        passage = 0 if self.frozen else passage
        section, number = divmod(passage, len(STARTS))
        _, angle = SECTIONS[section % len(SECTIONS)]
        vector = self._normal(self.theme_of(passage))
        first = n_theme(self.n_variation)
        details = _turned(vector, self._normal(section, 1), angle)
        details = _turned(details, self._normal(passage, 2), ANGLES[number])
        return np.concatenate([vector[:first], details[first:]]).astype(np.float32)

    def _normal(self, *key: int) -> Vector:
        return np.random.default_rng([self.seed, *key]).standard_normal(self.n_variation)


def _turned(vector: Vector, other: Vector, angle: float) -> Vector:
    return np.asarray(np.cos(angle) * vector + np.sin(angle) * other)
