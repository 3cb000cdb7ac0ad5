"""The codec learns from versions what a factor changes; the composer composes references."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.support.tiny_run import ANALYSIS, CONFIG, N_SLOTS, networks, toy_features
from training.run.codec_stage import CodecStage
from training.run.config import TrainingError
from training.run.describe_codes import compose
from training.run.stages import ComposerStage, encode_corpus

VERSIONS = replace(
    CONFIG,
    switches="versions",
    labels="low,middle,top",
    width=32,
    encoder_blocks=1,
    codec_loops=8,
    codec_slots=48,
    modulation_weight=0.0,
    advance_weight=0.0,
)
ALL_ON = (1, 1, 1)
N_VERSIONS = 4
NOTES = (slice(2, 10), slice(12, 20), slice(22, 30))  # bands in which each factor sounds


def versions_of(n_compositions=12, seed=0):
    """Compositions in which each factor plays notes of its own band, where it is on."""
    rng = np.random.default_rng(seed)
    n_loops = n_compositions * N_VERSIONS
    toy = toy_features(n_loops, 2 * N_VERSIONS)
    log_bands = np.full(toy.log_bands.shape, ANALYSIS.log_floor)
    labels = np.ones((n_loops, 3), np.float32)
    for composition in range(n_compositions):
        plays = rng.random((N_SLOTS, 3)) < 0.5
        for version in range(N_VERSIONS):
            loop = N_VERSIONS * composition + version
            if version:
                labels[loop, version - 1] = 0
            is_heard = np.repeat(plays & (labels[loop] == 1), ANALYSIS.frames_per_slot, axis=0)
            for bands, sounds in zip(NOTES, is_heard.T, strict=True):
                log_bands[loop, sounds, bands] = 2.0
    return replace(
        toy,
        log_bands=log_bands.astype(np.float16),
        labels=labels,
        references=N_VERSIONS * (np.arange(n_loops) // N_VERSIONS),
    )


@pytest.fixture(scope="module")
def features():
    return versions_of()


@pytest.fixture(scope="module")
def learned(features):
    """Networks whose codec has learnt such versions."""
    torch.manual_seed(0)
    built = networks(VERSIONS)
    stage = CodecStage(built, features, VERSIONS)
    stage.begin()
    optimiser = torch.optim.Adam(stage.parameters, 3e-3)
    for step in range(300):
        loss, _ = stage.loss(stage.read(step), step / 300)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return built


def heard_notes(log_bands):
    """Whether each factor sounds in each slot, (n_loops, n_slots, n_factors)."""
    levels = torch.stack([log_bands[..., bands].mean(dim=2) for bands in NOTES], dim=2)
    of_slots = levels.unflatten(1, (-1, ANALYSIS.frames_per_slot)).mean(dim=2)
    return of_slots > (2.0 + ANALYSIS.log_floor) / 2


def test_held_out_versions_are_drawn_from_the_codes_of_their_reference(learned, features):
    loops = features.held_out
    with torch.no_grad():
        codes = encode_corpus(learned, features, VERSIONS)[torch.from_numpy(loops)]
        drawn = learned.codec.decode(
            codes.float() - VERSIONS.n_levels // 2,
            torch.from_numpy(features.offsets[loops]),
            factors=torch.from_numpy(features.labels[loops]),
        )
    true = torch.from_numpy(features.log_bands[loops].astype(np.float32))
    assert (heard_notes(drawn) == heard_notes(true)).float().mean() > 0.97


def test_a_switch_removes_what_it_stands_for_and_leaves_the_rest(learned, features):
    codes = encode_corpus(learned, features, VERSIONS)[features.held_out].float()
    factors, offset = torch.ones(len(codes), 3), torch.zeros(len(codes))
    without = factors.clone()
    without[:, 1] = 0
    with torch.no_grad():
        all_on, one_off = (
            heard_notes(learned.codec.decode(codes - VERSIONS.n_levels // 2, offset, factors=each))
            for each in (factors, without)
        )
    assert all_on[..., 1].any() and not one_off[..., 1].any()
    assert (all_on == one_off)[..., [0, 2]].float().mean() > 0.97


def test_all_versions_of_a_composition_have_the_codes_of_its_reference(learned, features):
    codes = encode_corpus(learned, features, VERSIONS)
    assert torch.equal(codes, codes[torch.from_numpy(features.references)])
    assert len(torch.unique(codes, dim=0)) > 1


def test_what_is_composed_does_not_depend_on_the_switches(learned):
    variation = torch.randn(2, VERSIONS.n_variation, generator=torch.manual_seed(1))
    on, off = (compose(learned, torch.full((2, 3), value), variation) for value in (1.0, 0.0))
    assert torch.equal(on, off)


def test_the_composer_is_trained_on_references_alone(learned, features):
    codes = encode_corpus(learned, features, VERSIONS)
    stage = ComposerStage(learned, codes, features, VERSIONS)
    stage.begin()
    assert stage.train.tolist() == list(range(8, 48, N_VERSIONS))
    assert stage.held_out.tolist() == [0, 4]
    # The effect of a switch on the sound is that of versions.
    assert (stage.axes.effect.abs().amax(dim=0) > 0.1).all()
    _, figures = stage.loss(stage.read(VERSIONS.panel_every - 1), 1.0)
    of_loops = {"cross_entropy", "divergence"}
    assert of_loops | {"echo", "judging", "persuasion"} == set(figures)
    assert set(stage.evaluate()) == {"held_out_nats", "held_out_right"}


def test_a_corpus_without_versions_is_refused():
    features = toy_features()
    alone = replace(features, labels=np.ones((len(features.log_bands), 3), np.float32))
    with pytest.raises(TrainingError, match="corpus studio --versions"):
        CodecStage(networks(VERSIONS), alone, VERSIONS)
