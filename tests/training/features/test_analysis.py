"""Audio becomes bands on a grid of beats, and bands become bins again."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from device.model.contract import WINDOWS
from tests.support.corpus_files import write_corpus
from tests.support.tiny_run import ANALYSIS
from training.corpus.format import BEATS_PER_LOOP, MARGIN
from training.corpus.parts import PreparedLoop
from training.features.analysis import Analysis

SIZES = [Analysis(), ANALYSIS, Analysis(n_fft=512, n_bands=96, n_linear=64)]


@pytest.mark.parametrize("analysis", SIZES)
def test_low_bands_are_single_bins(analysis):
    n = analysis.n_linear - 1
    np.testing.assert_allclose(analysis.expansion[:n, :n], np.eye(n), atol=1e-6)
    np.testing.assert_allclose(analysis.reduction[:n, :n], np.eye(n), atol=1e-6)


@pytest.mark.parametrize("analysis", SIZES)
def test_band_centres_rise_from_the_first_bin_to_the_last(analysis):
    centres = analysis.band_centres
    assert centres.shape == (analysis.n_bands,)
    assert centres[0] == 0
    assert centres[-1] == pytest.approx(analysis.n_bins - 1)
    assert (np.diff(centres) > 0).all()
    assert (np.diff(centres, 2) > -1e-9).all()


@pytest.mark.parametrize("analysis", SIZES)
def test_a_flat_spectrum_stays_flat_both_ways(analysis):
    bands = analysis.reduction @ np.ones(analysis.n_bins, np.float32)
    np.testing.assert_allclose(bands, 1, atol=1e-5)
    np.testing.assert_allclose(analysis.expansion @ bands, 1, atol=1e-5)
    np.testing.assert_allclose(analysis.expansion.sum(axis=1), 1, atol=1e-5)
    assert analysis.expansion.dtype == analysis.reduction.dtype == np.float32


@pytest.mark.parametrize("n_bin", [5, 20, 60, 110])
def test_a_sine_is_loudest_in_its_own_band(n_bin):
    samples = np.arange(ANALYSIS.n_fft)
    sine = np.sin(2 * np.pi * n_bin * samples / ANALYSIS.n_fft).astype(np.float32)
    log_bands = ANALYSIS.log_bands(sine[None])
    nearest = int(np.abs(ANALYSIS.band_centres - n_bin).argmin())
    assert log_bands.dtype == np.float32
    assert int(log_bands[0].argmax()) == nearest


def test_silence_is_at_the_floor_and_expands_to_silence():
    log_bands = ANALYSIS.log_bands(np.zeros((2, ANALYSIS.n_fft), np.float32))
    np.testing.assert_allclose(log_bands, ANALYSIS.log_floor, rtol=1e-6)
    magnitude = ANALYSIS.magnitude(torch.from_numpy(log_bands))
    assert magnitude.shape == (2, ANALYSIS.n_bins)
    assert float(magnitude.abs().max()) < 1e-6


def test_sound_expands_to_its_magnitude_less_the_floor():
    log_bands = torch.full((1, ANALYSIS.n_bands), 2.0)
    expected = float(np.exp(2.0)) - ANALYSIS.floor
    magnitude = ANALYSIS.magnitude(log_bands)
    torch.testing.assert_close(magnitude, torch.full_like(magnitude, expected))


def test_the_grid_divides_every_beat_evenly():
    grid = ANALYSIS.grid(8)
    assert grid.dtype == np.float64
    assert grid.shape == (32,)
    np.testing.assert_allclose(grid[::16], [0, 1])
    np.testing.assert_allclose(np.diff(grid), 1 / 16)


def test_an_offset_shifts_the_grid_by_that_part_of_a_step():
    np.testing.assert_allclose(ANALYSIS.grid(4, 0.25) - ANALYSIS.grid(4), 0.25 / 16)


@pytest.mark.parametrize("window", WINDOWS)
def test_music_of_another_tempo_lies_on_the_same_grid(tmp_path, window):
    analysis = replace(ANALYSIS, window=window)
    corpus = clicks(tmp_path, samples_per_beat=(2000, 2600))
    positions = analysis.grid(4 * BEATS_PER_LOOP)
    for loop in range(2):
        frames = corpus.frames(loop, positions, analysis.n_fft, analysis.peak)
        log_bands = analysis.log_bands(frames)
        beats = np.arange(BEATS_PER_LOOP) * 4 * analysis.frames_per_slot
        level = log_bands.mean(axis=1)
        others = np.delete(level, beats)
        assert level[beats].min() > others.max()


def clicks(directory, samples_per_beat):
    loops = []
    for number, length in enumerate(samples_per_beat):
        beats = np.arange(BEATS_PER_LOOP + 1) * float(length)
        audio = np.zeros(2 * MARGIN + int(beats[-1]), np.float32)
        audio[MARGIN + beats[:-1].astype(int)] = 1.0
        loops.append(PreparedLoop(f"clicks-{number}", audio, beats.tolist(), False, {}, {}))
    return write_corpus(directory, loops)


@pytest.mark.parametrize("n_bin", [3.0, 4.25, 6.5])
def test_the_phase_advance_of_a_steady_sine_is_its_deviation_from_the_bins_frequency(n_bin):
    n_samples = np.arange(ANALYSIS.hop_length + ANALYSIS.n_fft)
    sine = np.sin(2 * np.pi * n_bin * n_samples / ANALYSIS.n_fft).astype(np.float32)
    log_bands, advance = ANALYSIS.log_bands_and_advance(sine[None])
    np.testing.assert_array_equal(log_bands, ANALYSIS.log_bands(sine[None, ANALYSIS.hop_length :]))
    near = np.arange(int(n_bin) - 1, int(n_bin) + 2)
    turns = (n_bin - near) * ANALYSIS.hop_length / ANALYSIS.n_fft
    assert advance.dtype == np.int8
    difference = (advance[0, near] - 256 * turns + 128) % 256 - 128
    assert np.abs(difference).max() <= 2


def test_single_bins_come_back_as_they_were_however_quiet():
    analysis = replace(ANALYSIS, bands="linear", n_bands=ANALYSIS.n_bins, n_linear=0)
    quiet = 1e-4 * np.random.default_rng(0).standard_normal((3, analysis.n_fft), dtype=np.float32)
    expected = np.abs(np.fft.rfft(quiet * np.hanning(analysis.n_fft + 1)[:-1]))
    magnitude = analysis.magnitude(torch.from_numpy(analysis.log_bands(quiet)))
    np.testing.assert_allclose(magnitude, expected, atol=2e-6)


def test_bands_keep_the_energy_of_noise():
    analysis = Analysis()
    noise = np.random.default_rng(0).standard_normal((200, analysis.n_fft), dtype=np.float32)
    spectrum = np.fft.rfft(noise * np.hanning(analysis.n_fft + 1)[:-1])
    drawn = analysis.magnitude(torch.from_numpy(analysis.log_bands(noise))).numpy()
    for part in (slice(10, 140), slice(150, 300), slice(300, 500)):
        energy, expected = (drawn[:, part] ** 2).sum(), (np.abs(spectrum[:, part]) ** 2).sum()
        assert 10 * np.log10(energy / expected) == pytest.approx(0, abs=0.5)


def test_an_analysis_of_an_earlier_version_has_its_scale_and_no_guided_bins():
    raw = {**Analysis().to_dict(), "floor": 0.15}
    del raw["scale"], raw["n_guided"]
    assert Analysis.from_dict(raw) == Analysis(floor=0.15, scale="clipped", n_guided=0)
