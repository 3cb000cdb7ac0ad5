"""`switchboard sweep` on the tiny model."""

from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("own_folder")


def test_sweep_renders_and_measures_every_state(run_json):
    facts = run_json("sweep", "--out", "all/states", "--seconds", 1)
    names = [f"{n:03b}" for n in range(8)]
    assert [row["bits"] for row in facts["states"]] == names
    assert sorted(p.name for p in Path("all/states").iterdir()) == [f"{n}.wav" for n in names]
    assert set(facts) == {"n_states", "n_silent", "n_loud", "n_not_finite", "n_alike", "states"}
    assert (facts["n_states"], facts["n_silent"], facts["n_not_finite"]) == (8, 0, 0)
    assert set(facts["states"][0]) == {
        "bits",
        "lufs",
        "true_peak_db",
        "silent_share",
        "is_finite",
        "nearest",
        "nearest_db",
    }
    assert all(row["nearest"] != row["bits"] for row in facts["states"])
    assert all(-35 < row["lufs"] < 0 for row in facts["states"])


def test_sweep_says_which_states_nobody_can_tell_apart_or_hear(run_json):
    facts = run_json("sweep", "--out", "quiet", "--seconds", 1, "--gain", -60, "--tape", 0)
    assert (facts["n_silent"], facts["n_alike"], facts["n_loud"]) == (8, 8, 0)


def test_sweep_as_a_table_has_a_line_for_each_state_and_a_sum(run):
    lines = run("sweep", "--out", "all", "--seconds", 1).splitlines()
    assert [line.split()[0] for line in lines[1:-1]] == [f"{n:03b}" for n in range(8)]
    assert lines[-1].startswith("8 states: 0 silent")
