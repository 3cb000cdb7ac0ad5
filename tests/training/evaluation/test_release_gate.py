"""The release gate names every condition that a model misses."""

import dataclasses

import pytest

from training.evaluation.factors import factors_of
from training.evaluation.flip_agreement import Agreement
from training.evaluation.release_gate import GateMissed, Threshold, check, thresholds
from training.metrics.audio_metrics import GROUPS, METRIC_NAMES

N_FIGURES = len(METRIC_NAMES)


def test_the_gate_names_every_condition_that_is_missed():
    met = Threshold("defects", "peak", -2.0, -1.0, "dBTP", is_least=False)
    too_much = Threshold("likeness", "distance, sharp", 1.234, 1.1, "sd", is_least=False)
    too_few = Threshold("switches", "coherent switches", 5, 6, "", is_least=True)
    unknown = Threshold("likeness", "shift", None, 0.8, "sd", is_least=False)
    check([met], "m")
    with pytest.raises(GateMissed) as caught:
        check([met, too_much, too_few, unknown], "m")
    assert str(caught.value).startswith("model 'm' misses 3 of 4 conditions of the gate: ")
    for part in (
        "distance, sharp: found 1.23 sd, expected at most 1.10 sd",
        "coherent switches: found 5, expected at least 6",
        "shift: found not measured, expected at most 0.80 sd",
    ):
        assert part in str(caught.value)
    assert "peak" not in str(caught.value)


def test_nan_meets_no_condition():
    assert not Threshold("p", "n", float("nan"), 1, "", is_least=False).is_met
    assert not Threshold("p", "n", float("nan"), 1, "", is_least=True).is_met


def test_without_held_out_music_only_the_rest_is_measured(evaluation):
    parts = {(each.part, each.is_measured) for each in thresholds(evaluation)}
    assert parts == {
        ("likeness", False),
        ("defects", False),
        ("defects", True),
        ("switches", True),
    }


def test_against_held_out_music_everything_is_measured(compared):
    assert all(each.is_measured for each in thresholds(compared))
    assert len(compared.comparisons) == len(compared.inversion_comparisons) == N_FIGURES
    assert set(compared.distances) == set(compared.noise_floor) == set(GROUPS)


# -- switches that were learnt from versions -------------------------------------------------------


def learnt(evaluation, **training):
    """The same evaluation of a model whose file says how its switches were learnt."""
    card = dataclasses.replace(evaluation.card, provenance={"training": training})
    return dataclasses.replace(evaluation, card=card)


def of_switches(evaluation):
    return {each.name: each for each in thresholds(evaluation) if each.part == "switches"}


@pytest.fixture(scope="module")
def band(evaluation):
    return learnt(evaluation, switches="versions", labels="drums,pad")


def test_the_file_says_what_factor_each_switch_stands_for(evaluation, band):
    assert band.factors == ("drums", "pad")
    assert factors_of(learnt(evaluation, switches="versions", labels="drums").card) == (
        "partials 0",
        "partials 1",
    )
    for other in ({}, {"switches": "discovered", "labels": ""}, {"switches": ["versions"]}):
        assert learnt(evaluation, **other).factors == ()
    assert factors_of(dataclasses.replace(evaluation.card, provenance={"training": "x"})) == ()


def test_factors_have_conditions_of_their_own_and_other_switches_have_none_of_them(
    evaluation, band
):
    before, after = of_switches(evaluation), of_switches(band)
    assert after.keys() - before.keys() == {
        "coherence of one render, least",
        "harmony before and after a flip of drums",
        "harmony before and after a flip of pad",
        "rhythm before and after a flip of pad",
    }
    assert before.keys() - after.keys() == {"distance of the two nearest states"}
    loudness = "loudness, furthest from its median"
    assert [
        {each.name: each.limit for each in thresholds(of)}[loudness] for of in (evaluation, band)
    ] == [3, 20]
    assert of_switches(learnt(evaluation, switches="labels", labels="a,b")) == before
    limits = {name: each.limit for name, each in after.items()}
    assert limits["harmony before and after a flip of drums"] == 0.93
    assert limits["harmony before and after a flip of pad"] == 0.88
    assert limits["rhythm before and after a flip of pad"] == 0.9
    assert limits["coherence of one render, least"] == 0.7
    assert limits["recognition of the least clear switch"] == 99
    assert before["recognition of the least clear switch"].limit == 95
    name = "movement of the weakest switch"
    assert after[name].limit == pytest.approx(3 * before[name].limit)


def test_discovered_switches_must_leave_the_harmony_as_it_is(evaluation):
    name = "harmony before and after a flip, mean of all switches"
    assert name not in of_switches(learnt(evaluation, switches="labels", labels="mode=minor,drums"))
    changed = learnt(evaluation, switches="discovered", labels="")
    for second, is_met in ((0.84, True), (0.82, False), (float("nan"), False)):
        vars(changed)["agreements"] = [Agreement(0.93, 0.3), Agreement(second, 0.4)]
        assert of_switches(changed)[name].is_met == is_met


def test_a_flip_that_changes_the_rest_misses_the_gate(band):
    harmony, rhythm = ("before and after a flip of drums", "before and after a flip of pad")
    for agreements, missed in (
        ([Agreement(0.95, 0.3), Agreement(0.9, 0.95)], set()),
        ([Agreement(0.9, 0.3), Agreement(0.9, 0.95)], {f"harmony {harmony}"}),
        ([Agreement(0.95, 0.3), Agreement(0.9, 0.5)], {f"rhythm {rhythm}"}),
        ([Agreement(0.95, 0.3), Agreement(float("nan"), 0.95)], {f"harmony {rhythm}"}),
    ):
        changed = dataclasses.replace(band)
        vars(changed)["agreements_in_a_mix"] = agreements
        conditions = [each for name, each in of_switches(changed).items() if "flip" in name]
        assert {each.name for each in conditions if not each.is_met} == missed
