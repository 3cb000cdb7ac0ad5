"""Key results of a study, one sentence each, made of the figures."""

from collections.abc import Callable, Iterator, Sequence
from statistics import median

from training.inversion_study.experiment import FOREIGN_N_FFT, Row, Study
from training.inversion_study.methods import METHOD_NAMES, N_MELS
from training.reporting.text import Finding, duration, listing, span, typeset_findings

_BOTH_ERRORS = ("mean_squared_error", "lsd_db")


def find(study: Study) -> list[Finding]:
    """Every result whose rows were measured."""
    makers: list[Callable[[Study], Finding | None]] = [
        _length,
        _time_by_part,
        _iterations,
        _samples_mislead,
        _nearest_window,
        _device_against_librosa,
    ]
    return typeset_findings(make(study) for make in makers)


def _length(study: Study) -> Finding | None:
    """Number of frames that a network has to generate."""
    linear = study.select(spectrogram="linear")
    # The first row of every window: the number of frames is the same in all of them.
    rows = list({row.n_fft: row for row in reversed(linear)}.values())[::-1]
    if len(rows) < 2:
        return None
    short, long = rows[0], rows[-1]
    text = (
        f"{short.n_frames:,} frames at a window of {short.n_fft} and {long.n_frames:,} at "
        f"{long.n_fft}, for {duration(study.seconds)} of music. Linear frames shrink with the "
        f"window ({short.n_values} bins and {long.n_values:,}), so the picture stays as large; mel "
        "frames do not."
    )
    empty = [row for row in rows if row.n_empty_bands]
    if empty:
        counts = listing([f"{row.n_empty_bands} at {row.n_fft}" for row in empty])
        text += f" Of {N_MELS} mel bands some are narrower than a bin and stay empty: {counts}."
    times = short.n_frames / long.n_frames
    return Finding(
        f"{times:.0f}×", f"as many frames at a window of {short.n_fft} as at {long.n_fft}", text
    )


def _time_by_part(study: Study) -> Finding | None:
    rows = study.select(method="librosa", spectrogram="mel")
    if not rows:
        return None
    most = max(row.n_iterations for row in rows)
    rows = [row for row in rows if row.n_iterations == most]
    share = median(row.mel_seconds / row.seconds for row in rows)
    text = (
        f"At {most} iterations, median over the windows. Inverting the mel bands takes "
        f"{span([row.mel_seconds for row in rows], 's')} of one core, Griffin-Lim "
        f"{span([row.griffin_lim_seconds for row in rows], 's')}. "
    )
    text += _solver(rows)
    ours = study.select(method="box", spectrogram="mel")
    if ours:
        text += (
            " The device stops at that start, one matrix: "
            f"{span([row.mel_seconds for row in ours], 's')}."
        )
    return Finding(f"{share:.0%}", "of librosa's mel_to_audio is the mel inversion", text)


def _solver(rows: Sequence[Row]) -> str:
    still = [row for row in rows if (row.solver_change or 0.0) < 1e-3]
    moved = max(rows, key=lambda row: row.solver_change or 0.0)
    began = "Its least squares begin at the pseudo-inverse cut off at zero"
    if len(still) == len(rows):
        return f"{began} and, at no window, move from there: the time has no effect."
    farthest = f"at {moved.n_fft} they end {moved.solver_change:.0%} away"
    if not still:
        return f"{began}; {farthest}, at most."
    windows = listing([str(row.n_fft) for row in still])
    return f"{began} and end right there at {windows}, where the time has no effect; {farthest}."


def _iterations(study: Study) -> Finding | None:
    growth, gain = [], []
    for first, last in _first_and_last(study.select(method="librosa", spectrogram="mel")):
        growth.append(last.seconds / first.seconds - 1)
        gain.append(first.lsd_db - last.lsd_db)
        n_first, n_last = first.n_iterations, last.n_iterations
    linear = list(_first_and_last(study.select(method="librosa", spectrogram="linear")))
    if not growth or not linear:
        return None
    times = median(last.seconds / first.seconds for first, last in linear)
    linear_gain = [first.lsd_db - last.lsd_db for first, last in linear]
    return Finding(
        f"{median(growth):+.0%}",
        f"work through mel for {n_last} iterations instead of {n_first}",
        f"Median over the windows; from linear magnitudes, where there is nothing else to do, "
        f"{times:.1f} times the work. The log-spectral distance falls by "
        f"{span(linear_gain, 'dB')} from linear magnitudes and by {span(gain, 'dB')} through mel.",
    )


def _samples_mislead(study: Study) -> Finding | None:
    from scipy.stats import spearmanr

    rows = study.rows
    errors, distances = ([getattr(row, name) for row in rows] for name in _BOTH_ERRORS)
    if min(len(set(errors)), len(set(distances))) < 2:
        return None
    worse = sum(row.mean_squared_error > study.silence_error for row in rows)
    order = float(spearmanr(errors, distances).statistic)
    return Finding(
        f"{worse} of {len(rows)}",
        "rebuilt versions are further from the source than silence, sample by sample",
        f"Silence has a mean squared error of {study.silence_error:.4f}, they have "
        f"{span(errors, '', digits=4)}: a phase that was invented cancels as often as it adds. "
        f"Ordered by it and by log-spectral distance, the rows have a rank correlation of "
        f"{order:+.2f}, where +1 would be the same order.",
    )


def _nearest_window(study: Study) -> Finding | None:
    rows = _best_settings(study.select(spectrogram="linear"))
    windows = sorted({row.n_fft for row in rows})
    if len(windows) < 2:
        return None
    nearest = min(rows, key=lambda row: row.lsd_db)
    same_method = [row for row in rows if row.method == nearest.method]
    distances = listing([f"{row.lsd_db:.2f} at {row.n_fft}" for row in same_method])
    flattered = max(same_method, key=lambda row: row.sc_foreign_db - row.sc_db)
    text = (
        f"Log-spectral distance in dB, {method_label(nearest)}: {distances}. The spectral "
        f"convergence in a window's own STFT does not show this: {flattered.sc_db:.1f} dB at "
        f"{flattered.n_fft}, against {flattered.sc_foreign_db:.1f} dB in one of "
        f"{FOREIGN_N_FFT}."
    )
    mel = _best_settings(study.select(spectrogram="mel"))
    if mel:
        best = min(mel, key=lambda row: row.lsd_db)
        text += f" Through mel bands the nearest is {best.lsd_db:.2f} dB away, at {best.n_fft}."
    return Finding(f"{nearest.n_fft}", "is the window that comes nearest to the source", text)


def _device_against_librosa(study: Study) -> Finding | None:
    """At the window where the device comes nearest, against the most iterations of librosa."""
    ours = min(
        study.select(method="box", spectrogram="linear"), key=lambda r: r.lsd_db, default=None
    )
    if ours is None or ours.latency_ms is None:
        return None
    theirs = _best_settings(study.select(method="librosa", spectrogram="linear", n_fft=ours.n_fft))
    if not theirs:
        return None
    against = theirs[0]
    more = "less" if against.seconds > ours.seconds else "more"
    times = max(against.seconds, ours.seconds) / min(against.seconds, ours.seconds)
    return Finding(
        f"{times:.1f}×",
        f"{more} work in the device than in librosa's griffinlim({against.n_iterations}), window "
        f"{ours.n_fft}",
        f"{ours.core_percent:.2f} % of a core against {against.core_percent:.2f} %, at a "
        f"log-spectral distance of {ours.lsd_db:.2f} against {against.lsd_db:.2f} dB, and a "
        f"spectral convergence of {ours.sc_db:.1f} against {against.sc_db:.1f} dB. librosa "
        f"needs the whole piece; in the device a change takes {ours.latency_ms:.0f} ms.",
    )


# -- rows ------------------------------------------------------------------------------------


def _first_and_last(rows: Sequence[Row]) -> Iterator[tuple[Row, Row]]:
    """Fewest and most iterations of every window, where they differ."""
    for n_fft in sorted({row.n_fft for row in rows}):
        same = sorted((r for r in rows if r.n_fft == n_fft), key=lambda r: r.n_iterations)
        if same[0].n_iterations < same[-1].n_iterations:
            yield same[0], same[-1]


def _best_settings(rows: Sequence[Row]) -> list[Row]:
    """Of each method and window the setting with the most iterations."""
    most = {(row.method, row.n_fft): row for row in sorted(rows, key=lambda row: row.n_iterations)}
    return sorted(most.values(), key=lambda row: (row.method, row.n_fft))


# -- words -----------------------------------------------------------------------------------


def method_label(row: Row) -> str:
    """The name of a row's method, with its iterations."""
    name = METHOD_NAMES[row.method]
    return name if row.method == "box" else f"{name}, {row.n_iterations} iterations"
