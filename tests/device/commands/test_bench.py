"""`switchboard bench` on the tiny model."""

import pytest

from tests.support.command_output import REPORT_KEYS

pytestmark = pytest.mark.usefixtures("own_folder")


def test_bench_measures_what_the_instrument_costs(run_json):
    facts = run_json("bench", "--seconds", 1)
    wanted = {"core_percent", "compose_percent", "render_percent", "inversion_percent"}
    assert set(facts) >= REPORT_KEYS | wanted | {"rest_percent", "resident_mb", "score_misses"}
    parts = [facts[f"{name}_percent"] for name in ("compose", "render", "inversion", "rest")]
    assert sum(parts) == pytest.approx(facts["core_percent"], abs=0.01)
    assert facts["seconds"] == 1.0
    assert facts["resident_mb"] > 10


def test_bench_as_a_table_leaves_out_what_was_not_measured(run):
    said = run("bench", "--seconds", 1)
    assert "missed deadlines   " in said
    assert "switch to sample   p50 - ms, p99 - ms (0 flips)" in said
