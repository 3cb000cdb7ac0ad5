"""Results of an evaluation: page, label sheet, scores in the model file, and the verb."""

import dataclasses
import json
import re
import xml.etree.ElementTree as ET

import pytest
from click.testing import CliRunner

from device.model.contract import ModelCard
from device.model.network import Network
from device.model.summary import read_card
from training.commands.evaluate import audition as command
from training.evaluation.embed_scores import embed_scores
from training.evaluation.label_sheet import build as build_sheet
from training.evaluation.page import build
from training.evaluation.reference_music import (
    TooLittleMusic,
)
from training.evaluation.scores import scores
from training.metrics.audio_metrics import METRIC_NAMES

# -- files --------------------------------------------------------------------------------------


def test_names_and_scores_go_into_the_model_and_nothing_else_changes(
    evaluation, small_model, tmp_path
):
    copy = tmp_path / "copy.onnx"
    copy.write_bytes(small_model.read_bytes())
    before = read_card(copy)
    digest = embed_scores(copy, ("warm & dark", "ünïque"), {"audition_x": 1.5, "codec_db": 2.0})
    again = embed_scores(copy, ("warm & dark", "ünïque"), scores(evaluation))
    after = read_card(copy)
    assert digest != again == Network.open(copy).digest
    assert after.switch_labels == ("warm & dark", "ünïque")
    assert after.scores == {"codec_db": 2.0, **scores(evaluation)}
    assert dataclasses.replace(after, switch_labels=before.switch_labels, scores={}) == before
    assert [path.name for path in tmp_path.iterdir()] == ["copy.onnx"]


def test_scores_upgrade_a_model_of_the_first_version_to_the_newest(build_model):
    path = build_model(metadata={"contract_version": "1", "scores": None})
    embed_scores(path, ("a", "b", "c"), {"audition_x": 1.0})
    assert ModelCard.from_metadata(read_card(path).to_metadata()).scores == {"audition_x": 1.0}


def test_a_page_loads_no_other_resource(compared):
    html = build(dataclasses.replace(compared, labels=("</script><b>", "& so")))
    assert "some music" in html
    assert html.count("<audio") == 2
    assert "</script><b>" not in html
    assert not re.search(r"<link|@import|url\((?!#)|src=\"(?!data:)", html)
    # XML namespaces, which are not fetched.
    assert {url.split("/")[2] for url in re.findall(r"https?://[^\"' )]+", html)} == {"www.w3.org"}
    player = json.loads(re.search(r'id="panel-data">(.*?)</script>', html, re.S)[1])
    assert [state["bits"] for state in player["states"]] == ["00", "01", "10", "11"]
    assert html.count('role="switch"') == 2


def test_labels_are_in_millimetres_and_fit_their_switch():
    names = ["purer", "a name that is rather long for it", "x" * 40] + ["more air"] * 9
    root = ET.fromstring(build_sheet("A & B", names, pitch_mm=20))
    assert (root.get("width"), root.get("viewBox")) == ("210mm", "0 0 210 297")
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "A & B" in texts
    assert [text for text in texts if text.isdigit()] == [str(n) for n in range(1, 13)]
    # 186 mm of paper hold nine switches, the rest is below.
    groups = [group.get("id") for group in root.findall("{http://www.w3.org/2000/svg}g")]
    assert groups == ["note", "strip-1", "strip-2"]


# -- the verb -----------------------------------------------------------------------------------


def test_the_verb_writes_page_figures_labels_and_model(small_model, tmp_path, monkeypatch):
    model = tmp_path / "m.onnx"
    model.write_bytes(small_model.read_bytes())
    monkeypatch.chdir(tmp_path)
    options = "m.onnx --out p.html --json f.json --labels l.svg --takes 2 --workers 1 --write"
    arguments = [*options.split(), "--passes", "8", "--name", "2=rain", "--gate-only", "switches"]
    result = CliRunner().invoke(command, arguments)
    assert result.exception is None, result.output
    figures = json.loads((tmp_path / "f.json").read_text())
    sheet, page = ((tmp_path / name).read_text() for name in ("l.svg", "p.html"))
    card = read_card(model)
    assert figures["labels"] == list(card.switch_labels) == ["partials 0", "rain"]
    assert figures["scores"] == dict(card.scores)
    assert figures["sha256_written"] == Network.open(model).digest != figures["sha256"]
    assert ">rain<" in sheet
    assert "rain" in page
    assert "met     movement of the weakest switch" in result.output
    assert "held-out" not in result.output
    times = [switch["time_to_sound"] for switch in figures["switches"]]
    assert all(0 < time["gone"]["p50"] <= time["gone"]["p95"] for time in times)
    assert 0 < figures["mean_agreement"]["harmony"] <= 1
    assert "is the mean agreement of harmony before and after one flip" in page
    assert len(figures["states"]) == 4
    assert set(METRIC_NAMES) <= set(figures["states"][0]["takes"][1])
    assert figures["song"]["themes"] == [0, 0, 0, 0, 1, 1, 0, 0]
    assert figures["song"]["changes_planned"] == [4, 6]


def test_a_gate_that_cannot_be_decided_is_rejected_before_any_work(small_model, tmp_path):
    out = tmp_path / "p.html"
    for gate in (["--gate"], ["--gate-only", "defects"]):
        result = CliRunner().invoke(command, [str(small_model), "--out", str(out), *gate])
        assert isinstance(result.exception, TooLittleMusic)
        assert "--against" in str(result.exception)
    assert not out.exists()


@pytest.mark.parametrize("name", ["3=x", "0=x", "x", "1=", "1=" + 41 * "y", "²=x"])
def test_a_name_for_no_switch_is_rejected(small_model, tmp_path, name):
    arguments = [str(small_model), "--out", str(tmp_path / "p.html"), "--name", name]
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 2
    assert "expected a switch from 1 to 2" in result.output
