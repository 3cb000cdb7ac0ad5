"""Versions of a composition differ in their factors alone."""

import numpy as np
import pytest
from click.testing import CliRunner

from training.commands.corpus import corpus as corpus_command
from training.corpus.format import TRAIN
from training.corpus.generator.arrangement import arrange
from training.corpus.generator.loop import render_layers, render_loop
from training.corpus.generator.plan import BED, LAYERS, draw_plan
from training.corpus.generator.versions import FACTORS, factors_of_version, plan_of_version
from training.corpus.reader import Corpus

SEED, INDEX = 3, 5
REFERENCE = dict.fromkeys(FACTORS, True)
N_SAMPLES = 264_600


def layers_of(factors):
    plan = draw_plan(SEED, INDEX, plan_of_version(SEED, INDEX, factors))
    return render_layers(arrange(plan, SEED, INDEX, tempo_bpm=80.0, bars=4), plan, N_SAMPLES)


def rendered(factors):
    fix = plan_of_version(SEED, INDEX, factors)
    reference = plan_of_version(SEED, INDEX, REFERENCE)
    return render_loop(SEED, INDEX, fix=fix, as_loud_as=reference).audio


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_that_is_off_is_silent_and_all_others_are_the_same(layer):
    full, without = layers_of(REFERENCE), layers_of({**REFERENCE, layer: False})
    assert not without[layer].any()
    for other in {*LAYERS, BED} - {layer}:
        np.testing.assert_array_equal(full[other], without[other])


def test_without_any_layer_quiet_chords_remain():
    nothing, everything = rendered(dict.fromkeys(FACTORS, False)), rendered(REFERENCE)
    ratio = np.sqrt((nothing**2).mean() / (everything**2).mean())
    assert 0.02 < ratio < 0.3


def test_a_busy_version_has_more_attacks():
    def n_notes(is_busy):
        factors = {**REFERENCE, "busy": is_busy}
        plan = draw_plan(SEED, INDEX, plan_of_version(SEED, INDEX, factors))
        arrangement = arrange(plan, SEED, INDEX, tempo_bpm=80.0, bars=4)
        return len(arrangement.hits) + sum(map(len, arrangement.notes.values()))

    assert n_notes(is_busy=True) > 1.3 * n_notes(is_busy=False)


def test_a_high_version_is_the_same_chords_an_octave_higher():
    plans = [
        draw_plan(SEED, INDEX, plan_of_version(SEED, INDEX, {**REFERENCE, "high": on}))
        for on in (False, True)
    ]
    low, high = (arrange(p, SEED, INDEX, tempo_bpm=80.0, bars=4).notes["pad"] for p in plans)
    assert [note.key + 12 for note in low] == [note.key for note in high]


def test_the_loudness_of_a_version_is_not_made_up_for():
    """Else all layers would become louder when one is switched off."""
    without = {**REFERENCE, "drums": False, "chords": False}
    assert (rendered(without) ** 2).mean() < 0.95 * (rendered(REFERENCE) ** 2).mean()


def test_the_first_version_is_the_reference_and_the_others_have_each_factor_in_half():
    assert factors_of_version(SEED, INDEX, 0) == REFERENCE
    drawn = [list(factors_of_version(SEED, n, v).values()) for n in range(150) for v in (1, 2)]
    assert np.mean(drawn, axis=0) == pytest.approx(0.5, abs=0.12)


def test_a_loop_without_versions_has_no_bed():
    plan = draw_plan(SEED, INDEX)
    assert (plan.bed_on, plan.octave) == (False, 0)


def test_a_corpus_of_versions_names_composition_version_and_factors(tmp_path):
    arguments = ["studio", "--minutes", "4.8", "--versions", "4", "--workers", "1"]
    result = CliRunner().invoke(corpus_command, [*arguments, "--out", str(tmp_path / "c")])
    assert result.exit_code == 0, result.output

    records = Corpus.open(tmp_path / "c").records
    assert len(records) == 24
    for number, record in enumerate(records):
        composition, version = divmod(number, 4)
        assert record.provenance["composition"] == composition
        assert record.provenance["version"] == version
        expected = factors_of_version(1, composition, version)
        assert {name: record.labels[name] for name in FACTORS} == expected
    splits = [{record.split for record in records[n : n + 4]} for n in range(0, 24, 4)]
    assert all(len(split) == 1 for split in splits)
    assert {TRAIN} in splits


def test_versions_with_stems_are_refused(tmp_path):
    arguments = ["studio", "--versions", "2", "--stems", "--out", str(tmp_path / "c")]
    result = CliRunner().invoke(corpus_command, arguments)
    assert result.exit_code == 2
    assert "leave out --stems" in result.output
