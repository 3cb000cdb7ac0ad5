"""The shelf: what is kept of a model, and that nothing is kept of a refused one."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

from device import errors
from device.cli import main
from export.shelf.download import DownloadFailed
from export.shelf.licences import LicenceRefused
from export.shelf.shelf import Shelf
from tests.support.licensed_models import BY, BY_NC, CC0, licensed

COMMAND = Path(sys.executable).parent / "switchboard"


@pytest.fixture
def shelf(tmp_path):
    return Shelf(tmp_path / "shelf")


@pytest.fixture
def add(shelf, capsys):
    """Runs `models add`; its status and its output."""

    def add(*words):
        status = main(["models", "add", *map(str, words), "--shelf", str(shelf.directory)])
        return status, capsys.readouterr()

    return add


def kept(shelf):
    return {path.name for path in shelf.directory.glob("*") if not path.name.startswith(".")}


def test_a_user_adds_a_model_and_lists_it(tmp_path):
    model = licensed(tmp_path / "m.onnx", BY, title="Night", credits=["A: B (CC BY 4.0)"])
    environment = {"XDG_DATA_HOME": str(tmp_path / "data"), "HOME": str(tmp_path)}

    def run(*words):
        command = [COMMAND, "models", *words]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
        return done.stdout

    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    assert digest in run("add", str(model))
    assert run("shelf").split() == (
        f"{digest[:12]} Night 0.0 MiB CC BY 4.0: may be shared and sold, name the artists".split()
    )
    [entry] = json.loads(run("shelf", "--json"))
    assert Path(entry["path"]).read_bytes() == model.read_bytes()
    folder = tmp_path / "data/switchboard/shelf"
    assert soundfile.info(folder / entry["sound"]).duration == pytest.approx(20.0, abs=0.1)
    assert entry["uses"] == ["private", "share", "sell"]
    assert entry["credits"] == ["A: B (CC BY 4.0)"]
    assert entry["corpus"]["hours"] == 0.4
    assert entry["source"] == str(model)
    assert "# Night" in (folder / entry["card"]).read_text(encoding="utf-8")
    [indexed] = json.loads((folder / "index.json").read_text(encoding="utf-8"))["models"]
    assert indexed.items() <= entry.items()


def test_a_refused_model_leaves_nothing_behind(add, shelf, tmp_path):
    model = tmp_path / "m.onnx"
    model.write_bytes(b"no model")
    status, output = add(model)
    assert status == errors.ModelUnreadable.exit_code
    assert str(model) in output.err
    assert kept(shelf) <= {"verdicts.json"}
    assert list(shelf.directory.glob(".*.part")) == []
    assert shelf.entries() == []


def test_a_folder_is_added_and_a_bad_file_in_it_stops_no_other(add, shelf, tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    licensed(folder / "b.onnx", CC0, title="Second")
    (folder / "a.onnx").write_bytes(b"no model")
    licensed(folder / "c.onnx", CC0, title="First")
    status, output = add(folder)
    assert status == errors.ModelUnreadable.exit_code
    assert "not added" in output.err and "a.onnx" in output.err
    assert [entry.title for entry in shelf.entries()] == ["First", "Second"]


def test_a_folder_without_models_is_said(add, tmp_path):
    status, output = add(tmp_path)
    assert status == errors.ModelNotFound.exit_code
    assert "no .onnx file in this folder" in output.err


def test_a_model_is_kept_only_with_the_hash_that_was_published(add, shelf, tmp_path):
    model = licensed(tmp_path / "m.onnx", CC0)
    status, output = add(model, "--sha256", "0" * 64)
    assert status == DownloadFailed.exit_code
    assert "another file than was published" in output.err
    assert kept(shelf) == set()
    assert add(model, "--sha256", hashlib.sha256(model.read_bytes()).hexdigest().upper())[0] == 0


def test_a_licence_that_does_not_allow_what_it_is_for_is_said_and_nothing_is_kept(
    add, shelf, tmp_path
):
    model = licensed(tmp_path / "m.onnx", BY_NC)
    status, output = add(model, "--for", "sell")
    assert status == LicenceRefused.exit_code
    assert "may be shared, not sold" in output.err
    assert kept(shelf) == set()
    assert add(model, "--for", "share")[0] == 0
    # Known by now.
    assert add(model, "--for", "sell")[0] == LicenceRefused.exit_code


def test_adding_again_changes_the_origin_alone(add, shelf, tmp_path):
    model = licensed(tmp_path / "m.onnx", CC0)
    assert add(model)[0] == 0
    before = kept(shelf)
    other = tmp_path / "copy.onnx"
    other.write_bytes(model.read_bytes())
    assert add(other)[0] == 0
    assert kept(shelf) == before
    assert [entry.source for entry in shelf.entries()] == [str(other)]


def test_a_removed_model_is_no_longer_listed_and_its_files_go_with_the_next(add, shelf, tmp_path):
    add(licensed(tmp_path / "m.onnx", CC0))
    [entry] = shelf.entries()
    store = ["--store", str(shelf.directory)]
    assert main(["models", "remove", entry.sha256[:12], *store]) == 0
    assert shelf.entries() == []
    add(licensed(tmp_path / "other.onnx", CC0, title="Other"))
    assert not [name for name in kept(shelf) if entry.sha256 in name]


@pytest.mark.parametrize("text", ["", "[]", '{"models": 3}', '{"models": [{"sha256": 1}, null]}'])
def test_a_damaged_index_costs_the_origins_alone(add, shelf, tmp_path, text):
    add(licensed(tmp_path / "m.onnx", CC0, title="Night"))
    (shelf.directory / "index.json").write_text(text, encoding="utf-8")
    assert [(entry.title, entry.source) for entry in shelf.entries()] == [("Night", "")]


def test_an_empty_shelf_says_how_to_fill_it(shelf, capsys):
    assert main(["models", "shelf", "--shelf", str(shelf.directory)]) == 0
    assert "models add" in capsys.readouterr().out
    assert not shelf.directory.exists()


def test_a_store_of_the_device_keeps_its_verbs(capsys):
    assert main(["models", "--help"]) == 0
    text = capsys.readouterr().out
    assert all(verb in text for verb in ("activate", "rollback", "add", "shelf"))
