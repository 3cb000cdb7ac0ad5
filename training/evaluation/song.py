"""One state left alone: which passes of the loop are alike, and where the song changes.

A pass is described by the pitch classes of each of its bars, less what all passes have in common:
the model knows one key, and every pass goes through its chords. A song changes where the passes
before are alike, those after as well, and the two groups are not: the novelty of Foote (2000), for
one section on either side.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from device.model.network import Network
from device.switches.bits import Bits
from device.synthesis.variation import PASSES_PER_SECTION, STARTS, SongForm
from training.corpus.parallel import run_in_workers
from training.evaluation.flip_agreement import chroma
from training.evaluation.renders import RenderJob, render_state
from training.features.descriptors import BEATS_PER_BAR
from training.features.song_slots import played_slots

Doubles = NDArray[np.float64]
Done = Callable[[], None]

LEAST_NOVELTY = 0.3
"""A change is as novel as this at least."""

_TINY = 1e-9


@dataclass(frozen=True)
class Song:
    """What was measured in a song.

    Attributes
    ----------
    harmony : (n_passes, n_bars, 12)
        Pitch classes of every bar, summed over octaves.
    figures : (n_passes, n_figures)
        Figures of the sound of every pass.
    theme, section : (n_passes,)
        Numbers of the theme and the section that a pass belongs to.
    repeated_bars : int
        Bars that had been composed exactly so before.
    """

    bits: Bits
    seed: int
    harmony: Doubles
    figures: Doubles
    theme: NDArray[np.int64]
    section: NDArray[np.int64]
    repeated_bars: int

    @cached_property
    def bar_similarity(self) -> Doubles:
        """Cosines between the harmonies of all bars, (n_bars, n_bars)."""
        return _cosines(self._deviation.reshape(-1, self._deviation.shape[2]))

    @cached_property
    def pass_similarity(self) -> Doubles:
        """The same of whole passes, bar by bar: (n_passes, n_passes)."""
        return _cosines(self._deviation.reshape(len(self._deviation), -1))

    @property
    def _deviation(self) -> Doubles:
        deviation: Doubles = self.harmony - self.harmony.mean(axis=0)
        return deviation

    @property
    def within_sections(self) -> float:
        """Mean similarity of two passes of one section."""
        return self._mean(self._is_one_section)

    @property
    def between_returns(self) -> float:
        """Mean similarity of two passes of one theme in different sections."""
        return self._mean(self._is_one_theme & ~self._is_one_section)

    @property
    def between_themes(self) -> float:
        """Mean similarity of two passes of different themes."""
        return self._mean(~self._is_one_theme)

    @property
    def _is_one_theme(self) -> NDArray[np.bool_]:
        return np.equal.outer(self.theme, self.theme)

    @property
    def _is_one_section(self) -> NDArray[np.bool_]:
        return np.equal.outer(self.section, self.section)

    def _mean(self, pairs: NDArray[np.bool_]) -> float:
        return float(self.pass_similarity[np.triu(pairs, 1)].mean())

    @cached_property
    def novelty(self) -> Doubles:
        """Before each pass, (n_passes,); 0 where a section is missing on either side."""
        n, width = len(self.theme), PASSES_PER_SECTION
        novelty = np.zeros(n)
        others = ~np.eye(width, dtype=bool)
        for at in range(width, n - width + 1):
            before, after = slice(at - width, at), slice(at, at + width)
            alike = [self.pass_similarity[each, each][others].mean() for each in (before, after)]
            novelty[at] = np.mean(alike) - self.pass_similarity[before, after].mean()
        return novelty

    @property
    def changes_found(self) -> set[int]:
        """The first passes after a change that is heard: peaks of the novelty."""
        padded = np.pad(self.novelty, 1)
        before, here, after = padded[:-2], padded[1:-1], padded[2:]
        is_peak = (here > before) & (here >= after) & (here >= LEAST_NOVELTY)
        return set(np.flatnonzero(is_peak).tolist())

    @property
    def changes_planned(self) -> set[int]:
        """The first passes of another theme than the one before, where `novelty` is measured."""
        first = np.flatnonzero(np.diff(self.theme)) + 1
        width = PASSES_PER_SECTION
        return {n for n in first.tolist() if width <= n <= len(self.theme) - width}

    @property
    def drift(self) -> float:
        """Largest shift of a mean figure from the first half to the second, over its spread."""
        first, second = np.array_split(self.figures, 2)
        shift = np.abs(second.mean(axis=0) - first.mean(axis=0))
        spread = np.maximum(self.figures.std(axis=0), _TINY)
        return float((shift / spread).max())


def measure_song(
    model: Path, bits: Bits, seed: int, n_passes: int, *, n_workers: int, on_done: Done
) -> Song:
    """Render so many passes of the loop, each from its own start, and measure them."""
    network = Network.open(model)
    jobs = [RenderJob(model, bits, seed, False, first_pass=number) for number in range(n_passes)]
    renders = []
    for render in run_in_workers(render_state, jobs, n_workers):
        renders.append(render)
        on_done()
    renders.sort(key=lambda render: render.first_pass)
    form = SongForm(network.card.n_variation, seed=seed)
    passages = [form.passage_at(number) for number in range(n_passes)]
    return Song(
        bits,
        seed,
        np.array([_bars(render.pitches, network) for render in renders]),
        np.array([render.figures for render in renders]),
        np.array([form.theme_of(passage) for passage in passages]),
        np.array(passages) // len(STARTS),
        repeated_bars(network, bits, form, n_passes),
    )


def _bars(pitches: NDArray[np.float32], network: Network) -> Doubles:
    """Pitch classes of every bar of a pass, (n_bars, 12), from those of its half seconds."""
    classes = chroma(pitches).astype(np.float64)
    n_bars = max(network.card.beats_per_loop // BEATS_PER_BAR, 1)
    edges = np.linspace(0, len(classes), n_bars + 1)
    starts, stops = np.floor(edges[:-1]).astype(int), np.ceil(edges[1:]).astype(int)
    parts = [classes[start:stop] for start, stop in zip(starts, stops, strict=True)]
    return np.array([part.mean(axis=0) for part in parts])


def repeated_bars(network: Network, bits: Bits, form: SongForm, n_passes: int) -> int:
    """How many bars of so many passes had been composed exactly so before."""
    played, slots = played_slots(form, n_passes, network.card.n_slots)
    switches = np.array(bits, np.float32)
    scores = np.array(
        [network.compose(switches, form.at(number)) for number in range(played[-1] + 1)]
    )
    n_bars = max(network.card.beats_per_loop // BEATS_PER_BAR, 1) * n_passes
    bars = scores[played, slots].reshape(n_bars, -1)
    return n_bars - len({bar.tobytes() for bar in bars})


def _cosines(rows: Doubles) -> Doubles:
    lengths = np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), _TINY)
    cosines: Doubles = (rows / lengths) @ (rows / lengths).T
    return cosines
