"""Files that version 0.1 made are read: a run, a store and its models, a configuration."""

import json
import shutil
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from device.commands.models import models
from device.commands.play import play
from device.commands.render import render
from device.config import load_settings
from device.store.start_counter import StartCounter
from export.commands.export import export
from tests.support.recording import read_wav
from training.run.run_folder import open_run

FILES = Path(__file__).parents[1] / "data" / "version-0.1"
ACTIVE = "79bdcfd359fa313f748f410e6872b3c27c0986fc63c0f2469001233f10ee29dd"
PREVIOUS = "bd1e3abd8dfa531d332c2b88de658a0e9edb2b7f3ba1a850ca8a3edf78e848bb"
REFUSED = "39bdb00f4eb7f08459f8441caa0566206a3b78c235a08c0134a69ae49f5257d2"
N_SWITCHES = 3


@pytest.fixture
def store(tmp_path):
    return Path(shutil.copytree(FILES / "store", tmp_path / "models", symlinks=True))


def run(command, *arguments):
    result = CliRunner().invoke(command, list(map(str, arguments)), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_a_run_is_opened_and_exported(tmp_path):
    finished = open_run(FILES / "run")
    assert finished.config.n_switches == N_SWITCHES
    run(export, FILES / "run", "--out", tmp_path / "again.onnx")
    run(render, "--model", tmp_path / "again.onnx", "--bits", "101", "--out", tmp_path / "a.wav")
    assert read_wav(tmp_path / "a.wav").samples.std() > 0.01


def test_a_store_lists_its_models_and_activates_the_previous_one(store):
    rows = {
        row["digest"]: row for row in json.loads(run(models, "list", "--store", store, "--json"))
    }
    assert rows[ACTIVE]["is_active"] and rows[PREVIOUS]["is_previous"]
    run(models, "activate", PREVIOUS[:12], "--store", store)
    assert (store / "active").resolve().stem == PREVIOUS


def test_a_model_refused_by_an_old_store_stays_refused(store, tmp_path):
    refused = tmp_path / "refused.onnx"
    refused.write_bytes(b"no model at all" * 10)
    result = CliRunner().invoke(models, ["activate", str(refused), "--store", str(store)])
    assert result.exit_code != 0
    assert REFUSED in json.loads((store / "verdicts.json").read_text())


def test_counted_starts_are_read(tmp_path):
    shutil.copy(FILES / "starts.json", tmp_path)
    counter = StartCounter(tmp_path / "starts.json")
    assert counter.n_reboots_of(ACTIVE) == 2
    assert counter.exceeded_limit(ACTIVE) is None


def test_the_active_model_of_a_store_plays(store, tmp_path):
    wav = tmp_path / "heard.wav"
    arguments = ["--store", store, "--switches", "demo", "--seconds", 2, "--speaker", f"wav:{wav}"]
    assert json.loads(run(play, *arguments, "--json"))["seconds"] == 2
    assert read_wav(wav).samples.std() > 0.01


def test_every_key_of_a_configuration_is_read():
    settings = load_settings(FILES / "switchboard.toml", play)
    assert settings.keys() == tomllib.loads((FILES / "switchboard.toml").read_text()).keys()
    assert len(settings) == 18
    assert (settings["led_fault"], settings["quantize"], settings["tempo"]) == (27, "bar", 72)
