"""The benchmark of inversions, on a second of noise instead of music."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

HERE = Path(__file__).parent


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(HERE)
    spec = importlib.util.spec_from_file_location("inversion_benchmark", HERE / "inversion.py")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look up their module there.
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    noise = 0.1 * np.random.default_rng(0).standard_normal(22050).astype(np.float32)
    monkeypatch.setattr(module, "all_excerpts", lambda seconds: {"noise": noise})
    short = [
        *(module.ours(name, preset, module.GriffinLim) for name, preset in module.PRESETS.items()),
        *(module.librosa_griffin_lim(*shape, 1) for shape in ((512, 128), (1024, 256))),
        module.torch_griffin_lim(512, 128, 1),
        module.librosa_mel_to_audio(512, 128, 1),
    ]
    monkeypatch.setattr(module, "all_methods", lambda: short)
    monkeypatch.setattr(module, "verdicts", lambda rows: [])
    return module


def test_every_method_gets_a_row_with_its_figures_and_a_place_in_the_plot(benchmark, tmp_path):
    files = {kind: tmp_path / f"rows.{kind}" for kind in ("json", "markdown", "plot")}
    files["plot"] = tmp_path / "plot.svg"
    arguments = [f"--{kind}={path}" for kind, path in files.items()]
    result = CliRunner().invoke(benchmark.main, ["--rounds", "1", *arguments])
    assert result.exit_code == 0, result.output
    rows = json.loads(files["json"].read_text())
    assert len(rows) == len(benchmark.all_methods())
    assert set(rows[0]) == {
        "name", "core_percent", "sc_db", "sc_foreign_db", "lsd_db", "latency_ms"
    }  # fmt: skip
    ours = {row["name"]: row for row in rows if row["name"].startswith("ours")}
    assert ours["ours, default, numpy 720/180"]["latency_ms"] == pytest.approx(24.49, abs=0.01)
    assert all(row["core_percent"] > 0 and row["lsd_db"] < 10 for row in rows)
    assert "| ours, best, numpy 1024/256 |" in files["markdown"].read_text()
    assert "ours, best, numpy 1024/256" in files["plot"].read_text()


def test_a_verdict_names_the_means_in_which_it_is_not_better(benchmark):
    own = benchmark.Row("own", 1.0, -20.0, -15.0, 0.6, 24.5)
    peer = benchmark.Row("peer", 3.0, -18.0, -16.0, 0.7, None)
    assert benchmark._verdict(own, peer) == (
        "own: 3.0x less work than peer, better in sc_db, lsd_db only"
    )
