"""Key results of a study follow from its rows."""

import dataclasses

import pytest

from tests.support.study_music import music
from training.corpus.format import SAMPLE_RATE
from training.inversion_study.experiment import Row, Study
from training.inversion_study.summary import find
from training.reporting.text import duration, listing, span, typeset


def row(method="box", spectrogram="linear", n_fft=512, **changes):
    """One row with arbitrary times and distances."""
    values = {
        "hop_length": n_fft // 4,
        "n_iterations": 3 if method == "box" else 16,
        "n_frames": 100_000 // n_fft,
        "n_values": n_fft // 2 + 1,
        "mel_seconds": 0.0,
        "griffin_lim_seconds": 1.0,
        "core_percent": 10.0,
        "mean_squared_error": 0.1,
        "sc_db": -20.0,
        "sc_foreign_db": -10.0,
        "lsd_db": 1.0,
        "latency_ms": 30.0 if method == "box" else None,
        "n_empty_bands": 0,
        "solver_change": None,
        "note": "",
    }
    return Row(method, spectrogram, n_fft, **(values | changes))


def findings_of(*rows, silence_error=0.05):
    study = Study("a song", SAMPLE_RATE * 90, silence_error, music(), list(rows))
    return {finding.claim: finding for finding in find(study)}


def the_only(findings, words):
    (match,) = (finding for claim, finding in findings.items() if words in claim)
    return dataclasses.replace(match, text=match.text.replace("\N{NO-BREAK SPACE}", " "))


@pytest.mark.parametrize(
    ("seconds", "figure", "words"), [(0.5, "8.0×", "less work"), (8.0, "2.0×", "more work")]
)
def test_work_is_reported_as_less_or_more_as_measured(seconds, figure, words):
    device = row(griffin_lim_seconds=seconds, lsd_db=0.7)
    librosa = row("librosa", griffin_lim_seconds=4.0, lsd_db=1.5)
    finding = the_only(findings_of(device, librosa), "work in the device")
    assert finding.figure == figure
    assert words in finding.claim
    assert "distance of 0.70 against 1.50 dB" in finding.text


def test_the_nearest_window_is_the_one_with_the_least_distance():
    rows = [row(n_fft=n, lsd_db=d) for n, d in ((256, 3.0), (512, 0.8), (1024, 2.0))]
    rows += [dataclasses.replace(r, spectrogram="mel", lsd_db=5.5) for r in rows]
    finding = the_only(findings_of(*rows), "window that comes nearest")
    assert finding.figure == "512"
    assert "3.00 at 256, 0.80 at 512 and 2.00 at 1024" in finding.text
    assert "5.50" in finding.text


def test_rows_with_more_error_than_silence_are_counted():
    values = ((64, 0.1, 9.0), (128, 0.2, 3.0), (256, 0.01, 4.0))
    rows = [row(n_fft=n, mean_squared_error=error, lsd_db=d) for n, error, d in values]
    finding = the_only(findings_of(*rows), "further from the source than silence")
    assert finding.figure == "2 of 3"
    assert "0.0500" in finding.text
    assert "correlation of −0.50" in finding.text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ((0.0, 0.0), "at no window, move from there"),
        ((0.0, 0.25), "end right there at 256, where the time has no effect; at 512 they end 25%"),
        ((0.1, 0.25), "at 512 they end 25% away, at most"),
    ],
)
def test_the_change_by_the_solver_is_reported_as_measured(changes, words):
    rows = [
        row("librosa", "mel", n_fft, mel_seconds=9.0, solver_change=change)
        for n_fft, change in zip((256, 512), changes, strict=True)
    ]
    finding = the_only(findings_of(*rows), "mel inversion")
    assert finding.figure == "90%"
    assert words in finding.text


def test_the_cost_of_iterations_is_reported_with_and_without_mel():
    rows = [
        row("librosa", spectrogram, n_iterations=n, griffin_lim_seconds=s, lsd_db=d, mel_seconds=m)
        for spectrogram, m in (("linear", 0.0), ("mel", 7.0))
        for n, s, d in ((2, 1.0, 4.0), (16, 3.0, 1.0))
    ]
    finding = the_only(findings_of(*rows), "16 iterations instead of 2")
    assert finding.figure == "+25%"
    assert "3.0 times the work" in finding.text
    assert "3.00 dB from linear" in finding.text


def test_findings_without_enough_rows_are_left_out():
    assert findings_of(row()) == {}


def test_figures_are_typeset():
    assert typeset("-3.5 to -2, a low-pass and 4-5") == "−3.5 to −2, a low-pass and 4-5"
    assert (
        typeset("in 3 s or 4 %, 5 songs")
        == "in 3\N{NO-BREAK SPACE}s or 4\N{NO-BREAK SPACE}%, 5 songs"
    )
    assert (duration(61.4), duration(20.0)) == ("1:01 min", "20.0 s")
    assert span([1.0, 2.5], "s") == "1.00 to 2.50 s"
    assert span([40.2, 40.4], "s") == "40 s"
    assert (listing(["a"]), listing(["a", "b", "c"])) == ("a", "a, b and c")
