"""HTML page of a study: key results, sounds, charts and all rows."""

import math
import platform
from importlib.metadata import version

from training.corpus.format import SAMPLE_RATE
from training.inversion_study.charts import draw
from training.inversion_study.experiment import EXCERPT_SECONDS, Row, Study
from training.inversion_study.methods import METHOD_NAMES, N_MELS
from training.inversion_study.summary import find, method_label
from training.metrics.reconstruction import Samples
from training.reporting.html import Column, Sound, common_gain, render, sound
from training.reporting.text import duration, typeset

_COLUMNS = [
    Column("window", "samples"),
    Column("method", is_number=False),
    Column("from", is_number=False),
    Column("iterations"),
    Column("frames"),
    Column("values", "a frame"),
    Column("mel", "s"),
    Column("Griffin-Lim", "s"),
    Column("work", "% of a core"),
    Column("MSE"),
    Column("own SC", "dB"),
    Column("SC 2048", "dB"),
    Column("LSD", "dB"),
    Column("latency", "ms"),
]
_SHORT_WINDOW, _LONG_WINDOW = 64, 2048


def build(study: Study) -> str:
    """The whole page, as HTML."""
    sounds, gain = _sounds(study)
    windows = sorted({row.n_fft for row in study.rows})
    refused = [
        f"{METHOD_NAMES[method]}, window {n_fft}: {reason}"
        for method, n_fft, reason in study.refused
    ]
    notes = {
        f"{METHOD_NAMES[row.method]}, window {row.n_fft}: {row.note}"
        for row in study.rows
        if row.note
    }
    packages = ("lofi-switchboard", "librosa", "numpy", "scipy")
    return render(
        "study.html",
        title=f"The window study: {study.title}",
        study=study,
        length=duration(study.seconds),
        sample_rate=SAMPLE_RATE,
        n_mels=N_MELS,
        with_librosa=bool(study.select(method="librosa")),
        findings=find(study),
        charts=draw(study),
        sounds=sounds,
        sounds_megabytes=sum(len(item.uri) for item in sounds) / 1e6,
        excerpt_seconds=min(EXCERPT_SECONDS, study.seconds),
        gain=gain,
        gain_db=20 * math.log10(gain),
        columns=_COLUMNS,
        groups=[[_cells(row) for row in study.select(n_fft=window)] for window in windows],
        notes=refused + sorted(notes),
        versions=[f"{name} {version(name)}" for name in packages],
        machine=f"{platform.system()} on {platform.machine()}, Python {platform.python_version()}",
    )


# -- sounds ------------------------------------------------------------------


def _sounds(study: Study) -> tuple[list[Sound], float]:
    shown = _shown_rows(study)
    excerpts = [study.original, *(study.excerpts[row] for row in shown.values())]
    gain = common_gain(excerpts)

    def embed(label: str, samples: Samples, note: str) -> Sound:
        return sound(label, samples * samples.dtype.type(gain), SAMPLE_RATE, note=note)

    original = embed("original", study.original, "the source of all others")
    rebuilt = []
    for label, row in shown.items():
        note = f"{method_label(row)}: {row.lsd_db:.2f} dB away, {row.core_percent:.1f} % of a core"
        rebuilt.append(embed(label, study.excerpts[row], typeset(note)))
    return [original, *rebuilt], gain


def _shown_rows(study: Study) -> dict[str, Row]:
    """Shortest and longest window by librosa, else by the device; and the device at its nearest."""
    method = "librosa" if study.select(method="librosa") else "box"
    shown = {}
    for spectrogram in ("linear", "mel"):
        for n_fft in (_SHORT_WINDOW, _LONG_WINDOW):
            rows = study.select(method=method, spectrogram=spectrogram, n_fft=n_fft)
            if rows:
                shown[f"{spectrogram} {n_fft}"] = max(rows, key=lambda row: row.n_iterations)
    ours = study.select(method="box", spectrogram="linear")
    if ours:
        best = min(ours, key=lambda row: row.lsd_db)
        shown[f"the device, {best.n_fft}"] = best
    return shown


# -- table ------------------------------------------------------------------


def _cells(row: Row) -> tuple[str, list[str]]:
    kind = "second" if row.method == "box" else "first"
    return kind, [
        f"{row.n_fft}",
        METHOD_NAMES[row.method],
        row.spectrogram,
        f"{row.n_iterations}",
        f"{row.n_frames:,}",
        f"{row.n_values:,}",
        f"{row.mel_seconds:.2f}" if row.is_mel else "–",
        f"{row.griffin_lim_seconds:.2f}",
        f"{row.core_percent:.2f}",
        f"{row.mean_squared_error:.4f}",
        typeset(f"{row.sc_db:.1f}"),
        typeset(f"{row.sc_foreign_db:.1f}"),
        f"{row.lsd_db:.2f}",
        "all" if row.latency_ms is None else f"{row.latency_ms:.0f}",
    ]
