"""The page of a study and the verb that writes it."""

import dataclasses
import json
import re

import pytest
import soundfile
from click.testing import CliRunner

from tests.support.study_music import SECONDS, music
from training.commands.inversion_study import study as command
from training.corpus.format import SAMPLE_RATE, CorpusError
from training.inversion_study.experiment import Plan, Row, run
from training.inversion_study.page import build


def test_the_page_has_every_row_chart_and_sound(studied):
    html = build(studied)
    assert html.count("<tbody>") == 2
    assert len(re.findall(r'<tr class="(?:first|second)">', html)) == len(studied.rows)
    assert len(re.findall(r"<svg role", html)) == 5
    assert not re.search(r'src="(?!data:)', html)
    assert "a chord" in html
    names = re.findall(r'\bid="([^"]+)"', html)
    assert len(names) == len(set(names))


def test_the_page_plays_the_extremes():
    plan = Plan(windows=(64, 2048), iterations=(1,))
    html = build(run("a chord", music(), plan))
    labels = re.findall(r'<audio [^>]*aria-label="([^"]+)"', html)
    assert labels[:5] == ["original", "linear 64", "linear 2048", "mel 64", "mel 2048"]
    assert re.fullmatch(r"the device, (64|2048)", labels[5])
    assert len(labels) == 6


@pytest.mark.parametrize("method", ["box", "librosa"])
def test_the_page_needs_neither_method(studied, method):
    rows = studied.select(method=method)
    alone = dataclasses.replace(studied, rows=rows)
    html = build(alone)
    assert len(re.findall(r'<tr class="(?:first|second)">', html)) == len(rows)


def test_the_verb_writes_the_page_and_every_row(tmp_path):
    soundfile.write(tmp_path / "chord.wav", music(), SAMPLE_RATE)
    options = ["--without-librosa", "--window", "512", "--window", "256"]
    files = ["--out", tmp_path / "r.html", "--json", tmp_path / "r.json"]
    result = CliRunner().invoke(command, list(map(str, [tmp_path / "chord.wav", *files, *options])))
    assert result.exit_code == 0, result.output
    assert "4 rows" in result.output
    assert (tmp_path / "r.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    results = json.loads((tmp_path / "r.json").read_text())
    assert results["seconds"] == pytest.approx(SECONDS)
    assert [(r["method"], r["n_fft"], r["spectrogram"]) for r in results["rows"]] == [
        ("box", n_fft, spectrogram) for n_fft in (256, 512) for spectrogram in ("linear", "mel")
    ]
    assert set(results["rows"][0]) == {field.name for field in dataclasses.fields(Row)}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["chord.wav", "r.html", "r.json"]


def test_music_that_does_not_fit_into_memory_names_the_remedy(tmp_path, monkeypatch):
    def no_memory(*_args, **_options):
        raise MemoryError

    soundfile.write(tmp_path / "chord.wav", music(), SAMPLE_RATE)
    monkeypatch.setattr("training.inversion_study.experiment.run", no_memory)
    arguments = [str(tmp_path / "chord.wav"), "--out", str(tmp_path / "r.html")]
    result = CliRunner().invoke(command, arguments)
    assert isinstance(result.exception, CorpusError)
    assert "--seconds" in str(result.exception)
