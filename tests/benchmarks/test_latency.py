"""The table of latencies by window and glide."""

from pathlib import Path

from tests.benchmarks.latency import GLIDES, WINDOWS, table

MEASUREMENTS = Path(__file__).parents[2] / "docs/measurements.md"


def test_the_table_of_the_measurements_is_what_the_benchmark_prints():
    assert table() in MEASUREMENTS.read_text(encoding="utf-8")


def test_the_table_has_a_row_for_each_window_and_a_column_for_each_glide():
    lines = table().splitlines()
    assert len(lines) == 2 + len(WINDOWS)
    assert {line.count("|") for line in lines} == {len(GLIDES) + 2}
