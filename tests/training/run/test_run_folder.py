"""Files of a run are written whole or not at all."""

import os

import pytest
import torch

from device.errors import OutputError
from training.run import preview
from training.run.config import TrainingError
from training.run.run_folder import load_saved, save_atomically, save_json
from training.run.training_log import Progress, TrainingLog


def test_a_run_overwrites_partial_files_of_a_killed_one(tmp_path):
    (tmp_path / "config.json.part").write_bytes(b"half")
    save_json(tmp_path / "config.json", {"seed": 1})
    assert [p.name for p in tmp_path.iterdir()] == ["config.json"]


@pytest.fixture
def full_disk(monkeypatch):
    """Returns a function after which no file reaches the disk."""

    def fill():
        def full(descriptor):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)

    return fill


def test_a_full_disk_keeps_the_checkpoint_before_and_names_the_remedy(tmp_path, full_disk):
    path = tmp_path / "checkpoint.pt"
    save_atomically(path, {"step": 1})
    full_disk()
    with pytest.raises(OutputError, match=r"checkpoint\.pt: .*No space left.*go on with --resume"):
        save_atomically(path, {"step": 2})
    assert load_saved(path) == {"step": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_a_full_disk_before_the_first_checkpoint_suggests_another_folder(tmp_path, full_disk):
    full_disk()
    with pytest.raises(OutputError, match=r"config\.json: .*No space left.*another --out"):
        save_json(tmp_path / "config.json", {})
    assert not list(tmp_path.iterdir())


def test_curves_and_previews_on_a_full_disk_are_named(tmp_path, full_disk):
    curves = TrainingLog(tmp_path / "curves.csv")
    curves.cut(Progress())
    full_disk()
    with pytest.raises(OutputError, match=r"curves\.csv: cannot be written"):
        curves.cut(Progress())
    with pytest.raises(OutputError, match=r"curves\.png: cannot be written"):
        preview.draw_curves(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["curves.csv"]
    curves.path = tmp_path / "gone" / "curves.csv"
    with pytest.raises(OutputError, match=r"curves\.csv: cannot be written"):
        curves.append("codec", Progress(), {"loss": 1.0})


@pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
def test_a_flipped_byte_among_weights_is_detected(tmp_path, place):
    path = tmp_path / "model.pt"
    save_atomically(path, {"weights": torch.zeros(100_000)})
    content = bytearray(path.read_bytes())
    content[round(place * len(content))] ^= 1
    path.write_bytes(content)
    with pytest.raises(TrainingError, match=r"model\.pt: cannot be read, found damage"):
        load_saved(path)
