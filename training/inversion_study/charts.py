"""Charts of a study: one colour for librosa, one for the device; mel is dashed."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from training.inversion_study.experiment import FOREIGN_N_FFT, Row, Study
from training.inversion_study.methods import METHOD_NAMES
from training.reporting.html import FIRST, INK, MUTED, SECOND, STEPS, chart, chart_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOUR = {"librosa": FIRST, "box": SECOND}
_DASH = {"linear": "-", "mel": (0, (4, 2))}
_MARK = {"linear": "o", "mel": "s"}


def draw(study: Study) -> dict[str, Markup]:
    """Every chart by its name, as SVG."""
    makers: dict[str, tuple[Callable[[Study], Figure], str]] = {
        "length": (_length, "Frames and values of the spectrogram over the window"),
        "time": (_time, "Seconds of mel inversion and Griffin-Lim over the window"),
        "distance": (_distance, "Four measures of error over the window"),
        "cost": (_cost, "Log-spectral distance over work"),
    }
    if study.select(method="librosa"):
        makers["iterations"] = (_iterations, "Log-spectral distance over iterations")
    with chart_style():
        return {name: chart(make(study), name, alt) for name, (make, alt) in makers.items()}


def _figure(height: float, **grid: Any) -> "tuple[Figure, Any]":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.6, height), layout="constrained")
    return figure, figure.subplots(**grid)


def _windows_axis(axes: "Axes", windows: Sequence[int]) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xticks(windows, [str(window) for window in windows])
    axes.set_xlabel("window in samples")


def _decibels_axis(axes: "Axes") -> None:
    """A logarithmic axis with ticks at 1, 2 and 5."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    ticks = [tick for tick in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50) if low <= tick <= high]
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()


def _windows(rows: Sequence[Row]) -> list[int]:
    return sorted({row.n_fft for row in rows})


def _length(study: Study) -> "Figure":
    figure, (frames, values) = _figure(2.7, ncols=2)
    windows = _windows(study.rows)
    n_frames = [study.select(n_fft=window)[0].n_frames for window in windows]
    for axes, title in ((frames, "Frames"), (values, "Numbers in all of them")):
        axes.set_title(title)
        axes.set_yscale("log")
        _windows_axis(axes, windows)
    frames.plot(windows, n_frames, color=INK, marker="o")
    for window, count in zip(windows, n_frames, strict=True):
        _label(axes=frames, text=f"{count:,}", point=(window, count), offset=(5, 3), fontsize=7.5)
    for spectrogram in ("linear", "mel"):
        rows = [study.select(n_fft=w, spectrogram=spectrogram)[0] for w in windows]
        counts = [row.n_frames * row.n_values for row in rows]
        values.plot(
            windows, counts, color=INK, ls=_DASH[spectrogram], marker=_MARK[spectrogram],
            label=spectrogram,
        )  # fmt: skip
    values.legend()
    return figure


def _time(study: Study) -> "Figure":
    """Bars for every window: librosa with the fewest and most iterations, the device."""
    figure, axes = _figure(3.3)
    windows = _windows(study.rows)
    shown = _settings(study, "librosa")[:: max(1, len(_settings(study, "librosa")) - 1)]
    shown += _settings(study, "box")
    width = 0.84 / len(shown)
    for number, (method, n_iterations) in enumerate(shown):
        rows = study.select(method=method, n_iterations=n_iterations, spectrogram="mel")
        places = [windows.index(row.n_fft) + (number + 0.5) * width - 0.42 for row in rows]
        for row, place in zip(rows, places, strict=True):
            _stack(axes, place, 0.9 * width, row)
    axes.set_xticks(range(len(windows)), [str(window) for window in windows])
    axes.set_xlabel("window in samples")
    axes.set_ylabel("seconds of one core")
    axes.set_ylim(0, 1.15 * max(row.seconds for row in study.select(spectrogram="mel")))
    axes.grid(visible=False, axis="x")
    return figure


def _settings(study: Study, method: str) -> list[tuple[str, int]]:
    return [(method, n) for n in sorted({row.n_iterations for row in study.select(method=method)})]


def _stack(axes: "Axes", place: float, width: float, row: Row) -> None:
    """Stack Griffin-Lim, pale, on the mel inversion, opaque."""
    colour = _COLOUR[row.method]
    axes.bar(place, row.mel_seconds, width, color=colour)
    axes.bar(place, row.griffin_lim_seconds, width, row.mel_seconds, color=colour, alpha=0.45)
    name = "device" if row.method == "box" else f"{row.n_iterations}"
    _label(axes, name, (place, row.seconds), (0, 2), ha="center", color=MUTED, fontsize=7)


def _label(
    axes: "Axes", text: str, point: tuple[float, float], offset: tuple[float, float], **how: Any
) -> None:
    axes.annotate(text, point, offset, textcoords="offset points", **how)


def _distance(study: Study) -> "Figure":
    figure, grid = _figure(5.2, nrows=2, ncols=2)
    measures = [
        ("mean_squared_error", "Mean squared error"),
        ("sc_db", "Spectral convergence, own STFT (dB)"),
        ("sc_foreign_db", f"Spectral convergence, STFT of {FOREIGN_N_FFT} (dB)"),
        ("lsd_db", "Log-spectral distance (dB)"),
    ]
    for axes, (measure, title) in zip(grid.flat, measures, strict=True):
        for rows in _finest(study):
            _line(axes, rows, "n_fft", measure)
        axes.set_title(title)
        _windows_axis(axes, _windows(study.rows))
    samples = grid.flat[0]
    samples.axhline(study.silence_error, color=MUTED, lw=1, ls=":", label="silence")
    samples.set_ylim(bottom=0)
    _decibels_axis(grid.flat[-1])
    figure.legend(*samples.get_legend_handles_labels(), loc="outside lower center", ncols=5)
    return figure


def _finest(study: Study) -> Iterator[list[Row]]:
    """Of each method, linear and mel, the setting with the most iterations at every window."""
    for method in _methods(study):
        _, n_iterations = _settings(study, method)[-1]
        for spectrogram in ("linear", "mel"):
            yield study.select(method=method, spectrogram=spectrogram, n_iterations=n_iterations)


def _line(axes: "Axes", rows: Sequence[Row], over: str, measure: str, **how: Any) -> None:
    method, spectrogram = rows[0].method, rows[0].spectrogram
    style = {
        "color": _COLOUR[method],
        "ls": _DASH[spectrogram],
        "marker": _MARK[spectrogram],
        "label": f"{METHOD_NAMES[method]}, {spectrogram}",
    }
    across = [getattr(row, over) for row in rows]
    axes.plot(across, [getattr(row, measure) for row in rows], **(style | how))


def _methods(study: Study) -> list[str]:
    return [method for method in ("librosa", "box") if study.select(method=method)]


def _iterations(study: Study) -> "Figure":
    """Warm colours for small windows, cold ones for large; diamonds for the device."""
    figure, both_axes = _figure(3.6, ncols=2, sharey=True)
    windows = _windows(study.rows)
    diamond = {"label": "_", "ls": "", "marker": "D", "markeredgecolor": INK, "markersize": 5.5}
    for axes, spectrogram in zip(both_axes, ("linear", "mel"), strict=True):
        axes.set_title("Through mel" if spectrogram == "mel" else "From linear magnitudes")
        axes.set_xscale("log", base=2)
        for window, colour in zip(windows, STEPS, strict=False):
            same = study.select(n_fft=window, spectrogram=spectrogram)
            rows = [row for row in same if row.method == "librosa"]
            _line(
                axes, rows, "n_iterations", "lsd_db", color=colour, label=str(window), ls="-",
                marker="o",
            )  # fmt: skip
            for row in same:
                if row.method == "box":
                    _line(axes, [row], "n_iterations", "lsd_db", color=colour, zorder=3, **diamond)
        ticks = sorted({row.n_iterations for row in study.rows})
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
        axes.set_xlabel("iterations")
        _decibels_axis(axes)
    both_axes[0].set_ylabel("log-spectral distance in dB")
    legend = both_axes[0].get_legend_handles_labels()
    figure.legend(*legend, loc="outside right center", title="window")
    return figure


def _cost(study: Study) -> "Figure":
    """Distance over work; lower left is better."""
    figure, axes = _figure(4.4)
    for method in _methods(study):
        for spectrogram in ("linear", "mel"):
            rows = study.select(method=method, spectrogram=spectrogram)
            axes.scatter(
                [row.core_percent for row in rows],
                [row.lsd_db for row in rows],
                s=[18 + 3 * row.n_iterations for row in rows],
                color=_COLOUR[method] if spectrogram == "linear" else "none",
                edgecolor=_COLOUR[method],
                marker=_MARK[spectrogram],
                label=f"{METHOD_NAMES[method]}, {spectrogram}",
            )
            for window in _windows(rows):
                # A line from the fewest iterations of a window to the most, labelled there.
                points = [(row.core_percent, row.lsd_db) for row in rows if row.n_fft == window]
                axes.plot(*zip(*points, strict=True), color=_COLOUR[method], lw=0.7, alpha=0.5)
                _label(axes, str(window), points[-1], (6, 3), color=MUTED, fontsize=7)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("work, in percent of one core in real time")
    axes.set_ylabel("log-spectral distance in dB")
    _decibels_axis(axes)
    figure.legend(loc="outside lower center", ncols=4)
    return figure
