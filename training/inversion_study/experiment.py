"""The experiment: every window, both spectrograms, every setting, measured against the source."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from training.corpus.format import SAMPLE_RATE, CorpusError
from training.corpus.recordings.guarded import decode_guarded
from training.inversion_study.methods import (
    N_MELS,
    OVERLAP,
    Clock,
    DeviceInversion,
    InversionMethod,
    LibrosaInversion,
    Reconstruction,
    Setting,
    n_empty_bands,
    warm_up_librosa,
)
from training.metrics.reconstruction import (
    Samples,
    log_spectral_distance_db,
    mean_squared_error,
    spectral_convergence_db,
)

WINDOWS = tuple(2**power for power in range(6, 13))
ITERATIONS = (2, 4, 8, 16)
FOREIGN_N_FFT = 2048
SHORTEST_SECONDS = 1.0
EXCERPT_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Plan:
    """Windows, iterations and methods to measure."""

    windows: Sequence[int] = WINDOWS
    iterations: Sequence[int] = ITERATIONS
    with_librosa: bool = True

    @property
    def n_rows(self) -> int:
        """Number of rows, if every method supports every window."""
        per_spectrogram = 1 + self.with_librosa * len(self.iterations)
        return 2 * per_spectrogram * len(self.windows)


@dataclass(frozen=True, slots=True)
class Row:
    """Measurements of one method on one spectrogram.

    Attributes
    ----------
    method : str
        ``librosa`` or ``box``, the device.
    spectrogram : str
        ``linear`` or ``mel``.
    n_iterations : int
        Projections of a frame.
    n_values : int
        Of a frame: bins or bands.
    mel_seconds, griffin_lim_seconds : float
        Of one processor core, for all of the music.
    mean_squared_error : float
        Against the source, sample by sample.
    sc_db, sc_foreign_db, lsd_db : float
        Spectral convergence in the STFT that was inverted and in one of 2048/512; log-spectral
        distance.
    latency_ms : float | None
        From a change of the magnitudes until it is complete; None: the method needs all of the
        music.
    n_empty_bands : int
        Mel bands that hold no bin at this window.
    solver_change : float | None
        Distance of librosa's least squares from its own start, relative to that.
    note : str
        Deviation from the usual procedure; empty without any.
    """

    method: str
    spectrogram: str
    n_fft: int
    hop_length: int
    n_iterations: int
    n_frames: int
    n_values: int
    mel_seconds: float
    griffin_lim_seconds: float
    core_percent: float
    mean_squared_error: float
    sc_db: float
    sc_foreign_db: float
    lsd_db: float
    latency_ms: float | None
    n_empty_bands: int
    solver_change: float | None
    note: str

    @property
    def seconds(self) -> float:
        """Seconds of one core, both parts together."""
        return self.mel_seconds + self.griffin_lim_seconds

    @property
    def is_mel(self) -> bool:
        """Whether it went through mel bands."""
        return self.spectrogram == "mel"


@dataclass(slots=True)
class Study:
    """Results of one run.

    Attributes
    ----------
    refused : list of (str, int, str)
        Method, window and reason of what could not be measured.
    excerpts : dict
        For every row, the reconstruction of the middle of the music; `original` is the source.
    """

    title: str
    n_samples: int
    silence_error: float
    original: Samples
    rows: list[Row] = field(default_factory=list)
    refused: list[tuple[str, int, str]] = field(default_factory=list)
    excerpts: dict[Row, Samples] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """Length of the music."""
        return self.n_samples / SAMPLE_RATE

    def select(self, **attributes: Any) -> list[Row]:
        """Rows whose attributes are as given, in the order of measurement."""
        return [r for r in self.rows if all(getattr(r, k) == v for k, v in attributes.items())]

    def to_dict(self) -> dict[str, Any]:
        """Everything but the sound."""
        return {
            "title": self.title,
            "seconds": self.seconds,
            "sample_rate": SAMPLE_RATE,
            "silence_mean_squared_error": self.silence_error,
            "refused": [
                dict(zip(("method", "n_fft", "reason"), r, strict=True)) for r in self.refused
            ],
            "rows": [asdict(row) for row in self.rows],
        }


def read_music(path: Path, *, at_most_seconds: float | None = None) -> Samples:
    """Decode a file to mono at `SAMPLE_RATE`, from its start.

    Raises
    ------
    CorpusError
        If it is not there, not audio, too short to be measured, silent or not finite.
    """
    if not path.is_file():
        what = "a folder" if path.is_dir() else "no such file"
        raise CorpusError(f"{path}: found {what}, expected one piece of music")
    try:
        with np.errstate(invalid="ignore"):  # reported below
            samples = decode_guarded(path).audio
    except CorpusError as error:
        raise CorpusError(f"{path}: {error}; expected an audio file") from error
    if at_most_seconds is not None:
        samples = samples[: round(at_most_seconds * SAMPLE_RATE)]
    fault = _find_fault(samples)
    if fault:
        raise CorpusError(f"{path}: {fault}")
    return samples


def _find_fault(samples: Samples) -> str | None:
    seconds = len(samples) / SAMPLE_RATE
    if seconds < SHORTEST_SECONDS:
        return (
            f"found {seconds:.2f} s of sound, expected at least {SHORTEST_SECONDS:g} s: "
            "a spectrogram of less has hardly a frame"
        )
    if not np.isfinite(samples).all():
        return "found samples that are not finite, expected numbers; write the file again"
    if not samples.any():
        return "found silence in its mono mix, expected music: there is nothing to be near to"
    return None


def run(
    title: str,
    samples: Samples,
    plan: Plan,
    *,
    clock: Clock = time.process_time,
    on_progress: Callable[[int, int], None] = lambda n_done, n_rows: None,
) -> Study:
    """Measure everything in the plan on one thread, each time on the whole music.

    Parameters
    ----------
    samples : (n_samples,)
        At `SAMPLE_RATE`.
    clock : callable
        Seconds of processor time.
    on_progress : callable
        Called with the numbers of rows done and planned.
    """
    from threadpoolctl import threadpool_limits

    power = mean_squared_error(samples, np.zeros_like(samples))
    study = Study(title, len(samples), power, samples[_middle(len(samples))])
    with threadpool_limits(limits=1):
        if plan.with_librosa:
            warm_up_librosa(SAMPLE_RATE)
        on_progress(0, plan.n_rows)
        for n_fft in plan.windows:
            methods: list[InversionMethod] = [DeviceInversion(samples, SAMPLE_RATE, n_fft, clock)]
            if plan.with_librosa:
                librosa = LibrosaInversion(samples, SAMPLE_RATE, n_fft, plan.iterations, clock)
                methods.insert(0, librosa)
            for method in methods:
                for row, rebuilt in _measure_method(method, study):
                    study.rows.append(row)
                    study.excerpts[row] = rebuilt[_middle(len(samples))].copy()
                    on_progress(len(study.rows), plan.n_rows)
    return study


def _middle(n_samples: int) -> slice:
    """The excerpt to embed: `EXCERPT_SECONDS` from the middle."""
    length = min(n_samples, round(EXCERPT_SECONDS * SAMPLE_RATE))
    start = (n_samples - length) // 2
    return slice(start, start + length)


def _measure_method(method: InversionMethod, study: Study) -> Iterator[tuple[Row, Samples]]:
    try:
        settings = method.settings()
    except ValueError as error:
        study.refused.append((method.method, method.n_fft, str(error)))
        return
    for mel in (False, True):
        for setting in settings:
            rebuilt = method.invert(setting, mel=mel)
            yield _measure(method, setting, rebuilt, mel=mel), rebuilt.samples


def _measure(
    method: InversionMethod, setting: Setting, rebuilt: Reconstruction, *, mel: bool
) -> Row:
    source, estimate, n_fft = method.samples, rebuilt.samples, method.n_fft
    hop_length = n_fft // OVERLAP
    seconds = rebuilt.mel_seconds + rebuilt.griffin_lim_seconds
    latency = setting.latency_samples
    return Row(
        method=method.method,
        spectrogram="mel" if mel else "linear",
        n_fft=n_fft,
        hop_length=hop_length,
        n_iterations=setting.n_iterations,
        n_frames=method.n_frames,
        n_values=N_MELS if mel else n_fft // 2 + 1,
        mel_seconds=rebuilt.mel_seconds,
        griffin_lim_seconds=rebuilt.griffin_lim_seconds,
        core_percent=100 * seconds * SAMPLE_RATE / len(source),
        mean_squared_error=mean_squared_error(source, estimate),
        sc_db=spectral_convergence_db(source, estimate, n_fft, hop_length),
        sc_foreign_db=spectral_convergence_db(source, estimate, FOREIGN_N_FFT, FOREIGN_N_FFT // 4),
        lsd_db=log_spectral_distance_db(source, estimate, SAMPLE_RATE),
        latency_ms=None if latency is None else 1000 * latency / SAMPLE_RATE,
        n_empty_bands=n_empty_bands(SAMPLE_RATE, n_fft),
        solver_change=method.solver_change if mel else None,
        note=rebuilt.note,
    )
