"""A sample of the damaged models; `make mutations` tries all two thousand."""

import pytest

from tests.fuzz.mutations import MUTATIONS, SEED, MutationTest, mutant, plays
from tests.support import tiny_model as tiny

N_MUTANTS = 112


def test_no_damaged_model_harms_the_device_and_no_refused_one_plays(tmp_path, tiny_model):
    tally = MutationTest(tmp_path, tiny_model.read_bytes()).run(N_MUTANTS)
    assert tally.faults == []
    total = tally.total()
    assert total.total() == N_MUTANTS
    # Each check refuses some, and some damage has no effect.
    assert total["accepted"] + total["same bytes"] < N_MUTANTS / 3
    assert {"graph", "metadata", "tensors", "golden vector"} <= set(total)


def test_mutants_are_the_same_every_time_and_nearly_all_differ(tiny_model):
    good = tiny_model.read_bytes()
    mutants = [mutant(good, number, SEED) for number in range(70)]
    assert mutants == [mutant(good, number, SEED) for number in range(70)]
    assert {kind for kind, _ in mutants} == set(MUTATIONS)
    assert sum(content != good for _, content in mutants) > 60


def test_a_model_that_ends_the_instrument_is_detected(tmp_path, tiny_model):
    assert plays(tiny_model)
    assert not plays(tiny.build(tmp_path / "m", golden_offset=1.0))


@pytest.mark.parametrize("kind", MUTATIONS)
def test_every_kind_of_damage_changes_something(kind, tiny_model):
    good = tiny_model.read_bytes()
    numbers = range(list(MUTATIONS).index(kind), 100, len(MUTATIONS))
    assert any(mutant(good, number, SEED)[1] != good for number in numbers)
