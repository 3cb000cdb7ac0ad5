import math

import numpy as np
import pytest
import torch

from training.features.analysis import Analysis
from training.features.harmony import N_CLASSES, pitch_classes
from training.networks.composer import disagreement

ANALYSIS = Analysis()
HERTZ = ANALYSIS.band_hertz
GRID = 2
FRAMES = 4 * GRID


def bands_with(*hertz, noise=0.0):
    """Two beats in which the bands nearest to these frequencies sound."""
    magnitude = torch.full((1, 2 * FRAMES, ANALYSIS.n_bands), noise)
    for each in hertz:
        magnitude[..., np.abs(HERTZ - each).argmin()] += 10.0
    return (magnitude + ANALYSIS.floor).log()


def classes_of(*hertz, noise=0.0):
    return pitch_classes(bands_with(*hertz, noise=noise), ANALYSIS, frames_per_slot=GRID)


@pytest.mark.parametrize(("hertz", "name"), [(440.0, 9), (880.0, 9), (1046.5, 0), (659.3, 4)])
def test_a_tone_is_its_pitch_class_in_every_octave(hertz, name):
    found = classes_of(hertz)
    assert found.shape == (1, 2, N_CLASSES)
    assert found.argmax(dim=2).tolist() == [[name, name]]
    torch.testing.assert_close(found.norm(dim=2), torch.ones(1, 2))


def test_bass_air_and_noise_do_not_count():
    tone = classes_of(440.0)
    torch.testing.assert_close(classes_of(440.0, 60.0, 6_000.0), tone)
    agreement = (classes_of(440.0, noise=0.3) * tone).sum(dim=2)
    assert (agreement > 0.95).all()


def test_beats_are_described_by_themselves():
    log_bands = bands_with(440.0)
    log_bands[:, FRAMES:] = bands_with(523.3)[:, FRAMES:]
    found = pitch_classes(log_bands, ANALYSIS, frames_per_slot=GRID)
    assert found.argmax(dim=2).tolist() == [[9, 0]]


def test_silence_has_no_classes_and_no_gradient_that_is_not_a_number():
    log_bands = torch.full((1, FRAMES, ANALYSIS.n_bands), ANALYSIS.log_floor, requires_grad=True)
    found = pitch_classes(log_bands, ANALYSIS, frames_per_slot=GRID)
    assert not found.any()
    found.sum().backward()
    assert log_bands.grad.isfinite().all()


def test_the_loss_is_one_less_the_mean_agreement_of_two_states_of_a_variation():
    a, c, e = classes_of(440.0), classes_of(523.3), classes_of(659.3)
    assert disagreement(torch.cat([a, a, c, c]), 2).item() == pytest.approx(0.0, abs=1e-6)
    pairs = [(a, c), (a, e), (c, e)]
    agreement = np.mean([float((one * other).sum(dim=2).mean()) for one, other in pairs])
    loss = disagreement(torch.cat([a, c, e]), 3).item()
    assert loss == pytest.approx(1 - agreement, abs=1e-6)
    assert math.isfinite(loss)


def test_with_a_reference_the_loss_is_one_less_the_mean_agreement_with_it():
    a, c, e = classes_of(440.0), classes_of(523.3), classes_of(659.3)
    states, references = torch.cat([a, c, c, e]), torch.cat([a, e])
    agreements = [1.0, float((a * c).sum(dim=2).mean()), float((c * e).sum(dim=2).mean()), 1.0]
    loss = disagreement(states, 2, references).item()
    assert loss == pytest.approx(1 - np.mean(agreements), abs=1e-6)


def test_a_single_state_has_no_gradient():
    log_bands = bands_with(440.0, 523.3).requires_grad_()
    disagreement(pitch_classes(log_bands, ANALYSIS, frames_per_slot=GRID), 1).backward()
    assert log_bands.grad.abs().max() < 1e-6
