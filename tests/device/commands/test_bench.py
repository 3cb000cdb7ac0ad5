"""`switchboard bench` on the tiny model."""

import pytest

from tests.support.command_output import REPORT_KEYS

pytestmark = pytest.mark.usefixtures("own_folder")


def test_bench_measures_the_load_of_the_instrument(run_json):
    figures = run_json("bench", "--seconds", 1)
    shares = {"core_percent", "compose_percent", "render_percent", "inversion_percent"}
    assert set(figures) >= REPORT_KEYS | shares | {"rest_percent", "resident_mb", "score_misses"}
    parts = [figures[f"{name}_percent"] for name in ("compose", "render", "inversion", "rest")]
    assert sum(parts) == pytest.approx(figures["core_percent"], abs=0.01)
    assert figures["seconds"] == 1.0
    assert figures["resident_mb"] > 10


def test_bench_as_a_table_says_how_soon_flips_are_heard(run):
    output = run("bench", "--seconds", 1)
    assert "missed deadlines   " in output
    assert "flip to heard      p50 " in output
    assert "until half of the sound is new (10 flips" in output
