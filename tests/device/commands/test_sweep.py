"""`switchboard sweep` on the tiny model."""

from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("own_folder")


def test_sweep_renders_and_measures_every_state(run_json):
    figures = run_json("sweep", "--out", "all/states", "--seconds", 1)
    names = [f"{n:03b}" for n in range(8)]
    assert [row["bits"] for row in figures["states"]] == names
    assert sorted(p.name for p in Path("all/states").iterdir()) == [f"{n}.wav" for n in names]
    assert set(figures) == {"n_states", "n_silent", "n_loud", "n_not_finite", "n_alike", "states"}
    assert (figures["n_states"], figures["n_silent"], figures["n_not_finite"]) == (8, 0, 0)
    assert set(figures["states"][0]) == {
        "bits",
        "lufs",
        "true_peak_db",
        "silent_share",
        "is_finite",
        "nearest",
        "nearest_db",
    }
    assert all(row["nearest"] != row["bits"] for row in figures["states"])
    assert all(-35 < row["lufs"] < 0 for row in figures["states"])


def test_sweep_counts_silent_and_alike_states(run_json):
    figures = run_json("sweep", "--out", "quiet", "--seconds", 1, "--gain", -60, "--tape", 0)
    assert (figures["n_silent"], figures["n_alike"], figures["n_loud"]) == (8, 8, 0)


def test_sweep_as_a_table_has_a_line_for_each_state_and_a_sum(run):
    lines = run("sweep", "--out", "all", "--seconds", 1).splitlines()
    assert [line.split()[0] for line in lines[1:-1]] == [f"{n:03b}" for n in range(8)]
    assert lines[-1].startswith("8 states: 0 silent")
