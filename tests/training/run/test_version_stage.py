"""The composer learns from versions what a switch changes, and what it leaves as it is."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.support.tiny_run import CONFIG, networks, toy_features
from training.features.dataset import Features
from training.run.config import TrainingError
from training.run.version_stage import VersionStage, versions_of_references

N_SLOTS = 8
VERSIONS = replace(
    CONFIG, switches="versions", labels="low,high,both", composer_width=32, composer_loops=8
)
ALL_ON = (1, 1, 1)


def versioned(n_compositions=24, seed=0):
    """Codes of compositions of which factor 1 shows codes 1 and 2, factor 2 code 3; 0 else."""
    rng = np.random.default_rng(seed)
    codes, labels, compositions = [], [], []
    for composition in range(n_compositions):
        music = rng.integers(1, CONFIG.n_levels, (N_SLOTS, CONFIG.n_codes))
        for factors in (ALL_ON, (0, 1, 1), (1, 0, 1), (1, 1, 0)):
            shown = music * np.array([1, factors[0], factors[1], factors[2]])
            codes.append(shown)
            labels.append(factors)
            compositions.append(composition)
    toy = toy_features(n_loops=len(codes), n_held_out=16)
    features = replace(
        toy, labels=np.array(labels, np.float32), compositions=np.array(compositions)
    )
    return torch.from_numpy(np.array(codes)).to(torch.uint8), features


@pytest.fixture(scope="module")
def learned():
    """The stage after some steps on such codes."""
    codes, features = versioned()
    torch.manual_seed(0)
    built = networks(VERSIONS)
    stage = VersionStage(built, codes, features, VERSIONS)
    stage.begin()
    optimiser = torch.optim.Adam(stage.parameters, 4e-3)
    for step in range(300):
        loss, _ = stage.loss(stage.read(step), step / 300)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return stage


def composed(stage, bits, variation):
    latent = stage.axes.latent(torch.tensor([bits]).float(), variation)
    return stage.composer.code_indices(latent, variation)[0]


def test_a_switch_changes_what_it_stands_for_and_leaves_the_rest(learned):
    kept, cleared = [], []
    for number in range(12):
        variation = torch.randn(1, VERSIONS.n_variation, generator=torch.manual_seed(number))
        full, without = (composed(learned, bits, variation) for bits in (ALL_ON, (0, 1, 1)))
        kept.append((full == without)[:, [0, 2, 3]].float().mean())
        cleared.append((without[:, 1] == 0).float().mean())
    assert np.mean(kept) > 0.9
    assert np.mean(cleared) > 0.9


def test_the_reference_is_the_same_music_whatever_the_switches_are(learned):
    variation = torch.randn(1, VERSIONS.n_variation, generator=torch.manual_seed(1))
    on, off = (learned.axes.latent(torch.full((1, 3), value), variation) for value in (1.0, 0.0))
    references = [learned.composer.compose_reference(at, variation).argmax(-1) for at in (on, off)]
    assert torch.equal(*references)


def test_held_out_versions_are_predicted_from_their_reference(learned):
    with torch.no_grad():
        figures = learned.evaluate()
    assert figures["held_out_arranged"] > 0.9
    assert set(figures) == {
        "held_out_nats", "held_out_right", "held_out_arranged", "held_out_arrangement_nats",
    }  # fmt: skip


def test_a_pair_is_a_reference_and_the_versions_after_it():
    _, features = versioned(3)
    pairs = versions_of_references(features, np.arange(12))
    assert [(first, others.tolist()) for first, others in pairs] == [
        (0, [1, 2, 3]), (4, [5, 6, 7]), (8, [9, 10, 11]),
    ]  # fmt: skip
    # Versions of a composition whose reference is missing are left out.
    assert versions_of_references(features, np.array([1, 2, 3, 4])) == []


def test_a_corpus_without_versions_is_refused():
    codes, features = versioned(6)
    alone = replace(features, compositions=-1 - np.arange(len(codes)))
    assert isinstance(alone, Features)
    with pytest.raises(TrainingError, match="corpus studio --versions"):
        VersionStage(networks(VERSIONS), codes, alone, VERSIONS)
