"""Every state is rendered as the device plays it."""

import dataclasses

import numpy as np
import pytest
import soundfile

from device.model.network import Network
from training.evaluation.renders import WRAP_SECONDS, RenderJob, loop_seconds, render_state
from training.metrics.audio_metrics import METRIC_NAMES
from training.metrics.spectra import SAMPLE_RATE


def test_a_render_is_one_loop_long_and_loops_without_a_seam(small_model, tmp_path):
    render = render_state(RenderJob(small_model, (True, False), 1, is_shown=True))
    (tmp_path / "render.mp3").write_bytes(render.clip.sound)
    samples, sample_rate = soundfile.read(tmp_path / "render.mp3")
    n_loop = round(loop_seconds(Network.open(small_model).card) * sample_rate)
    n_wrap = round(WRAP_SECONDS * sample_rate)
    assert sample_rate == SAMPLE_RATE
    assert len(samples) == pytest.approx(n_loop + 2 * n_wrap, abs=1200)
    # Anywhere near the seam it is what it is one loop earlier.
    here, there = samples[n_loop : n_loop + n_wrap], samples[:n_wrap]
    assert np.corrcoef(here, there)[0, 1] > 0.99
    assert render.clip.picture[8:12] == b"WEBP"


def test_renders_of_one_seed_are_equal_and_of_another_differ(evaluation, small_model):
    bits = (True, True)
    again = render_state(RenderJob(small_model, bits, 1, is_shown=False))
    assert np.array_equal(again.figures, evaluation.renders[1, bits].figures)
    assert not np.array_equal(again.figures, evaluation.renders[2, bits].figures)
    assert again.clip is None


def test_every_state_is_rendered_once_in_a_variation_of_its_own(evaluation):
    alone = {seed: bits for seed, bits in evaluation.renders if seed not in evaluation.seeds}
    assert tuple(alone.values()) == evaluation.sweep.states
    assert np.array_equal(
        evaluation.sweep.independent_renders[3], evaluation.renders[6, (True, True)].figures
    )


def test_a_silent_or_not_finite_render_is_silent(evaluation):
    render = next(iter(evaluation.renders.values()))
    figures = render.figures.copy()
    figures[METRIC_NAMES.index("silence_share")] = 1.0
    assert not render.is_silent
    assert dataclasses.replace(render, figures=figures).is_silent
    assert dataclasses.replace(render, is_finite=False).is_silent
