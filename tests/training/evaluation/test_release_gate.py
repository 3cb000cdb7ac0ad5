"""The release gate names every condition that a model misses."""

import pytest

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
