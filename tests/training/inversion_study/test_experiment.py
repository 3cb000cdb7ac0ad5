"""The window study measures every window with every method."""

import numpy as np
import pytest

from device.synthesis.griffin_lim import GriffinLim
from tests.support.study_music import PLAN, SECONDS, music, ticking
from training.corpus.format import SAMPLE_RATE
from training.inversion_study import methods as inversions
from training.inversion_study.experiment import Plan, run
from training.inversion_study.methods import n_empty_bands
from training.inversion_study.page import build
from training.metrics.reconstruction import log_spectral_distance_db


def test_every_window_is_measured_with_every_method(studied):
    measured = [(r.n_fft, r.method, r.spectrogram, r.n_iterations) for r in studied.rows]
    librosa = [("librosa", spectrogram, n) for spectrogram in ("linear", "mel") for n in (1, 4)]
    inversion = GriffinLim(n_fft=512, hop_length=128)
    n_projections = (inversion.look_ahead + 1) * inversion.n_iterations
    device = [("box", spectrogram, n_projections) for spectrogram in ("linear", "mel")]
    assert measured == [(n_fft, *setting) for n_fft in (256, 512) for setting in librosa + device]
    assert len(measured) == PLAN.n_rows
    assert studied.refused == []


def test_time_is_split_by_part(studied):
    for row in studied.rows:
        assert (row.mel_seconds, row.griffin_lim_seconds) == (float(row.is_mel), 1.0)
        assert row.core_percent == pytest.approx(100 * row.seconds / SECONDS)


def test_the_same_music_gives_the_same_figures_to_the_last_digit(studied):
    again = run("a chord", music(), PLAN, clock=ticking())
    assert again.rows == studied.rows
    assert all(np.array_equal(again.excerpts[r], studied.excerpts[r]) for r in studied.rows)


def test_a_spectrogram_is_as_long_as_the_music_has_hops(studied):
    for row in studied.rows:
        assert row.hop_length == row.n_fft // 4
        assert row.n_frames == pytest.approx(SECONDS * SAMPLE_RATE / row.hop_length, abs=5)
        assert row.n_values == (128 if row.is_mel else row.n_fft // 2 + 1)


def test_more_iterations_reduce_the_distance(studied):
    for n_fft in (256, 512):
        few, many = studied.select(method="librosa", n_fft=n_fft, spectrogram="linear")
        assert many.sc_db < few.sc_db
        assert many.lsd_db < few.lsd_db


def test_a_rebuilt_sound_is_aligned_with_its_source(studied):
    source = music()
    for row in studied.rows:
        rebuilt = studied.excerpts[row]
        here, early, late = (
            log_spectral_distance_db(source, np.roll(rebuilt, shift), SAMPLE_RATE)
            for shift in (0, -1000, 1000)
        )
        assert here < min(early, late)


def test_only_the_device_has_a_latency_and_only_librosa_a_solver(studied):
    for row in studied.rows:
        assert (row.latency_ms is None) == (row.method == "librosa")
        assert (row.solver_change is None) == (row.method == "box" or not row.is_mel)
    latency = 1000 * GriffinLim(n_fft=512, hop_length=128).latency_samples / SAMPLE_RATE
    assert studied.select(method="box", n_fft=512)[0].latency_ms == pytest.approx(latency)


def test_without_librosa_there_are_two_rows_a_window():
    plan = Plan(windows=(256, 512), with_librosa=False)
    rows = run("a chord", music(), plan).rows
    assert [row.method for row in rows] == 4 * ["box"]
    assert all(row.griffin_lim_seconds > 0 for row in rows)


def test_progress_is_reported_after_every_row():
    plan = Plan(windows=(512, 1024), with_librosa=False)
    reports = []
    run("a chord", music(), plan, on_progress=lambda *done: reports.append(done))
    assert reports == [(n, 4) for n in range(5)]


def test_a_window_that_the_device_does_not_support_is_named_with_its_reason(monkeypatch):
    def reject(**settings):
        raise ValueError(f"no window of {settings['n_fft']}")

    monkeypatch.setattr(inversions, "GriffinLim", reject)
    studied = run("a chord", music(), Plan(windows=(512,), iterations=(1,)))
    assert studied.refused == [("box", 512, "no window of 512")]
    assert [row.method for row in studied.rows] == 2 * ["librosa"]
    assert "the device, window 512: no window of 512" in build(studied)


def test_small_windows_leave_mel_bands_empty():
    assert n_empty_bands(SAMPLE_RATE, 64) > n_empty_bands(SAMPLE_RATE, 256) > 0
    assert n_empty_bands(SAMPLE_RATE, 2048) == 0
