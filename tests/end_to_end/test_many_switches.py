"""A model with 64 switches: validated, played, shared, rendered; and what it is too large for."""

import json

import pytest

from device.cli import main
from device.errors import BitsError
from device.updates.validation import validate
from tests.support import tiny_model as tiny

BITS = "01" * 32


@pytest.fixture
def model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return str(tiny.build(tmp_path / "many.onnx", n_switches=64))


def test_a_push_has_nothing_against_its_size(model, tmp_path):
    result = validate(tmp_path / "many.onnx")
    # With all its switches on the tiny model is too loud; its contract and its graph are right.
    assert result.check == "sound"
    assert "1" * 20 in result.reason


def test_it_plays_and_its_share_code_starts_there_again(model, tmp_path, capsys):
    (tmp_path / "flips.txt").write_text(f"0 {BITS}\n0.5 {BITS[::-1]}\n")
    words = ["play", "--model", model, "--switches", "script:flips.txt", "--seconds", "1"]
    words += ["--speaker", "wav:x.wav", "--status", "status.json", "--json"]
    assert main([*words, "--performance", "log.jsonl"]) == 0
    assert json.loads(capsys.readouterr().out)["n_flips"] == 1
    assert main(["render", "--performance", "log.jsonl", "--model", model, "--out", "y.wav"]) == 0
    assert (tmp_path / "y.wav").read_bytes() == (tmp_path / "x.wav").read_bytes()
    assert (
        main(["render", "--model", model, "--bits", BITS, "--seconds", "1", "--out", "z.wav"]) == 0
    )


def test_its_states_are_too_many_to_sweep(model, capsys):
    assert main(["sweep", "--model", model, "--out", "states"]) == BitsError.exit_code
    assert "found a model with 64 switches, expected 16 at most" in capsys.readouterr().err
