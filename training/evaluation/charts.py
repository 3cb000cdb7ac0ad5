"""Charts of an evaluation: the model in one colour, the inversion alone in the other."""

from collections.abc import Callable
from string import ascii_uppercase
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from device.plain_text import visible
from training.evaluation.effect_names import WORDS
from training.evaluation.evaluate import Evaluation
from training.evaluation.release_gate import (
    LOUDEST_PEAK_DB,
    MOST_DEFECT_DISTANCE,
    MOST_DISTANCE,
    MOST_LU,
)
from training.evaluation.song import LEAST_NOVELTY
from training.metrics.audio_metrics import GROUPS, METRIC_NAMES
from training.reporting.html import FIRST, INK, MUTED, RULE, SECOND, chart, chart_style
from training.reporting.text import typeset

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MODEL, _INVERSION = SECOND, FIRST
_LIMIT: dict[str, Any] = {"color": MUTED, "lw": 1, "ls": (0, (1, 2))}
# Shifts further than this are drawn at the edge.
_FURTHEST_SHIFT = 3.0
# A change of one standard deviation is a dot of this area.
_DOT_AREA = 55.0
# A change this small is not drawn.
_FAINTEST = 0.15
# Red, green, blue and opacity; between the `second` colours of the light and the dark page.
_SIMILAR = (0.85, 0.42, 0.12, 1.0)


def draw(evaluation: Evaluation) -> dict[str, Markup]:
    """Every chart by its name, as SVG; those of held-out music only where there was some."""
    makers: dict[str, tuple[Callable[[Evaluation], Figure], str]] = {
        "effects": (_effects, "Effect of every switch on every figure"),
        "flips": (_flips, "Distance in sound over the number of switches that differ"),
        "loudness": (_loudness, "Histograms of the loudness and the true peaks of all renders"),
        "song": (_song, "Similarity of all bars of a song, and how novel each pass is"),
    }
    if evaluation.reference is not None:
        makers["families"] = (_families, "Distance from held-out music by family of figures")
        makers["shifts"] = (_shifts, "Shift of the median of every figure, model and inversion")
    with chart_style():
        return {name: chart(make(evaluation), name, alt) for name, (make, alt) in makers.items()}


def _figure(height: float, **grid: Any) -> "tuple[Figure, Any]":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.6, height), layout="constrained")
    return figure, figure.subplots(**grid)


def _effects(evaluation: Evaluation) -> "Figure":
    """Dots as large as the change, in the colour of its direction."""
    changes = [{e.name: e.change for e in switch.effects} for switch in evaluation.switches]
    names = [name for name in METRIC_NAMES if max(abs(c[name]) for c in changes) >= 2 * _FAINTEST]
    figure, axes = _figure(0.22 * len(names) + 0.9)
    for x, change in enumerate(changes):
        for y, name in enumerate(names):
            if abs(change[name]) >= _FAINTEST:
                colour = SECOND if change[name] > 0 else FIRST
                axes.scatter(x, y, _DOT_AREA * abs(change[name]), color=colour, lw=0)
    axes.set_yticks(range(len(names)), [f"{WORDS[name][0]} · {name}" for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    # Number and the first two words of a label below each other, as columns are narrow.
    labels = [[s.number + 1, *visible(s.label).split(maxsplit=1)] for s in evaluation.switches]
    axes.set_xticks(range(len(labels)), ["\n".join(map(str, lines)) for lines in labels])
    axes.set_xlim(-0.6, len(labels) - 0.4)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


def _families(evaluation: Evaluation) -> "Figure":
    limits = {**MOST_DISTANCE, "defect": MOST_DEFECT_DISTANCE}
    names = list(GROUPS)
    figure, axes = _figure(2.6)
    bars_of = [
        ("the model", evaluation.distances, _MODEL),
        ("inversion alone", evaluation.inversion_distances, _INVERSION),
        ("half the music from the other half", evaluation.noise_floor, RULE),
    ]
    for n, (label, distances, colour) in enumerate(bars_of):
        places = np.arange(len(names)) + 0.28 * (n - 1)
        bars = axes.bar(places, [distances[g] for g in names], 0.25, color=colour, label=label)
        axes.bar_label(bars, fmt="%.2f", padding=2, color=MUTED, fontsize=7.5)
    for x, group in enumerate(names):
        if group in limits:
            axes.plot([x - 0.42, x + 0.42], [limits[group]] * 2, **(_LIMIT | {"color": INK}))
    axes.plot([], [], **(_LIMIT | {"color": INK}), label="the gate's limit")
    axes.set_xticks(range(len(names)), names)
    axes.set_ylabel("sd of held-out music")
    axes.grid(visible=False, axis="x")
    axes.legend(ncols=4, loc="upper right")
    axes.set_ylim(0, 1.25 * max(axes.get_ylim()[1], 1.0))
    return figure


def _shifts(evaluation: Evaluation) -> "Figure":
    figure, columns = _figure(3.9, ncols=2)
    halves = [("level", "defect", "timbre"), ("sharp", "rhythm", "notes")]
    for axes, groups in zip(columns, halves, strict=True):
        names = [name for group in groups for name in GROUPS[group]]
        for comparisons, colour, size in (
            (evaluation.inversion_comparisons, _INVERSION, 4.5),
            (evaluation.comparisons, _MODEL, 6),
        ):
            shifts = {each.name: each.shift for each in comparisons}
            clipped = np.clip([shifts[n] for n in names], -_FURTHEST_SHIFT, _FURTHEST_SHIFT)
            axes.plot(clipped, range(len(names)), "o", color=colour, markersize=size)
        axes.set_yticks(range(len(names)), names, fontsize=7.5)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_xlim(-_FURTHEST_SHIFT - 0.2, _FURTHEST_SHIFT + 0.2)
        axes.axvline(0, color=MUTED, lw=1)
        axes.set_xlabel("shift of the median, sd of held-out music")
        axes.set_title(", ".join(groups))
    return figure


def _flips(evaluation: Evaluation) -> "Figure":
    similarity = evaluation.state_similarity
    rows = similarity.by_flips
    figure, axes = _figure(2.8)
    across = [row.n_flips for row in rows]
    axes.vlines(
        across, [r.low for r in rows], [r.high for r in rows], color=SECOND, lw=5, alpha=0.35
    )
    axes.plot(across, [row.middle for row in rows], "o-", color=SECOND, label="states")
    axes.axhline(similarity.between_renders, color=FIRST, lw=1.2, label="renders of one state")
    axes.axhline(
        similarity.indistinguishable_distance, **_LIMIT, label="half of that: indistinguishable"
    )
    axes.set_xticks(across)
    axes.set_xlabel("switches that differ")
    axes.set_ylabel("distance in sound, sd")
    axes.set_ylim(bottom=0)
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def _loudness(evaluation: Evaluation) -> "Figure":
    figure, (loudness, peaks) = _figure(2.4, ncols=2)
    lufs = evaluation.loudness
    middle = float(np.median(lufs))
    loudness.hist(lufs, 24, color=SECOND)
    loudness.axvspan(middle - MOST_LU, middle + MOST_LU, color=FIRST, alpha=0.12, lw=0)
    loudness.set_title(f"Loudness (LUFS), and {MOST_LU:g} LU around the middle")
    peaks.hist([render.true_peak_db for render in evaluation.renders.values()], 24, color=SECOND)
    peaks.axvline(LOUDEST_PEAK_DB, **(_LIMIT | {"color": INK}))
    peaks.set_title(typeset(f"True peak (dBTP), and the limit of {LOUDEST_PEAK_DB:g}"))
    for axes in (loudness, peaks):
        axes.set_ylabel("renders")
        axes.grid(visible=False, axis="x")
    return figure


def _song(evaluation: Evaluation) -> "Figure":
    """The matrix of the bars above the novelty of the passes, on one axis of time."""
    song = evaluation.song
    n_passes, n_bars = song.harmony.shape[:2]
    figure, (matrix, novelty) = _figure(9.4, nrows=2, sharex=True, height_ratios=[8, 1])
    # One colour, as opaque as two bars are similar, so that it is seen on light and dark pages.
    pixels = np.full((*song.bar_similarity.shape, 4), _SIMILAR)
    pixels[..., 3] = song.bar_similarity.clip(0, 1)
    extent = (0, n_passes * n_bars, n_passes * n_bars, 0)
    matrix.imshow(pixels, extent=extent, interpolation="nearest", aspect="auto")
    starts = np.flatnonzero(np.diff(song.section, prepend=-1))
    middles = (starts + np.append(starts[1:], n_passes)) / 2 * n_bars
    letters = [ascii_uppercase[theme % 26] for theme in song.theme[starts].tolist()]
    matrix.set_yticks(middles, letters)
    matrix.tick_params(length=0)
    matrix.grid(visible=False)
    matrix.set_title("Similarity of bars; the letters are the themes of the sections")
    novelty.plot(np.arange(n_passes) * n_bars, song.novelty, color=SECOND)
    for change in song.changes_found:
        novelty.axvline(change * n_bars, color=FIRST, lw=1)
    novelty.axhline(LEAST_NOVELTY, **_LIMIT)
    novelty.set_xticks(middles, letters)
    novelty.set_title("Novelty of a pass, and the changes found")
    return figure
