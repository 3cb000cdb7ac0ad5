"""An export writes one complete file, or reports why and leaves the old one."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from device.errors import OutputError, SwitchboardError
from device.model.network import Network
from export.commands.export import export
from export.model import model_file, parity
from export.model.parity import ExportError, Parity
from training.run.config import TrainingError


def test_the_same_run_is_the_same_file_to_the_last_byte(exported, run_directory, tmp_path, capfd):
    """Through the command, which prints its measurements and suppresses the exporter's output."""
    out = tmp_path / "again.onnx"
    result = CliRunner().invoke(export, [str(run_directory), "--out", str(out), "--title", "Tiny"])
    assert result.exit_code == 0, result.output
    assert out.read_bytes() == exported.path.read_bytes()
    expected = [
        r"again\.onnx: 0\.\d MiB, read back from the disk and compared",
        r"torch and onnxruntime agree on \d+\.\d+% of the codes of 8 states",
        r"scores .*codec_held_out_db \d+\.\d+",
        r"this core .*compose \d+\.\d+ ms, a frame 0\.\d+ ms: \d+\.\d % while it plays",
        r"extrapolated  Raspberry Pi 4: about \d+ % of a core; not measured there",
    ]
    assert [line for line in expected if not re.search(line, result.output)] == []
    assert capfd.readouterr().err == ""


def test_an_export_restores_the_number_of_threads(run, traced, tmp_path):
    torch.set_num_threads(2)
    try:
        model_file.export_run(run, tmp_path / "model.onnx", title="Tiny")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


@pytest.fixture
def target(tmp_path):
    """An older model that has to stay."""
    path = tmp_path / "model.onnx"
    path.write_bytes(b"the old one")
    return path


def refuse(run, target, error, message):
    with pytest.raises(error, match=message) as raised:
        model_file.export_run(run, target, title="Tiny")
    assert isinstance(raised.value, SwitchboardError)
    assert "\n" not in str(raised.value)
    assert target.read_bytes() == b"the old one"
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def test_a_network_too_large_is_refused(run, traced, target, monkeypatch):
    monkeypatch.setattr(model_file, "MAX_MODEL_BYTES", 20_000)
    refuse(
        run, target, ExportError, r"bytes, at most 20,000 are allowed; no file was written: train"
    )


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("SMALLEST_AGREEMENT", 1.1, r"parity of compose: found 100\.0+% of the codes equal"),
        ("LARGEST_DIFFERENCE", -1.0, r"parity of render: found a difference of"),
    ],
)
def test_a_graph_that_computes_other_values_than_torch_is_refused(
    run, traced, target, monkeypatch, name, value, message
):
    monkeypatch.setattr(parity, name, value)
    refuse(run, target, ExportError, message)


def test_a_file_that_the_device_would_not_open_is_refused(run, traced, target, monkeypatch):
    monkeypatch.setattr(model_file, "GOLDEN_TOLERANCE", 1e-9)
    monkeypatch.setattr(Network, "replay_golden", failing_replay)
    refuse(run, target, SwitchboardError, "golden")


def test_a_disk_that_does_not_keep_what_was_written_is_reported(run, traced, target, monkeypatch):
    read = Path.read_bytes
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", lambda path: read(path)[:-1] + b"?")
        with pytest.raises(ExportError, match="found other bytes on the disk than were written"):
            model_file.export_run(run, target, title="Tiny")
    assert target.read_bytes() == b"the old one"


def test_a_file_that_computes_other_values_than_its_graph_is_refused(
    run, traced, target, monkeypatch
):
    drawn = Network.render
    monkeypatch.setattr(
        Network, "render", lambda *a: (drawn(*a)[0] + np.float32(0.01), *drawn(*a)[1:])
    )
    refuse(run, target, ExportError, r"parity of the file: found a difference of 1\.00e-02 from")


def failing_replay(network):
    raise ExportError(f"golden vector of {network.card.title}")


def test_a_file_without_a_folder_is_refused(run, traced, tmp_path):
    with pytest.raises(OutputError, match=r"none/model\.onnx: found no folder .*none; make it"):
        model_file.export_run(run, tmp_path / "none" / "model.onnx", title="Tiny")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("agreement", [0.5, float("nan")])
def test_parity_below_the_least_agreement_is_none(agreement):
    with pytest.raises(ExportError, match="parity of compose"):
        Parity(8, agreement, 0.0).check()


@pytest.mark.parametrize("difference", [0.1, float("nan"), float("inf")])
def test_parity_above_the_largest_difference_is_none(difference):
    with pytest.raises(ExportError, match="parity of render"):
        Parity(8, 1.0, difference).check()


@torch.no_grad()
def test_a_network_that_draws_nan_is_refused(run, graph, traced, monkeypatch):
    monkeypatch.setattr(
        graph.render, "forward", lambda *_: (torch.full((64, 129), torch.nan), torch.zeros(64, 16))
    )
    measured = parity.measure(run, graph, parity.TracedGraph(traced))
    with pytest.raises(ExportError, match="difference of nan"):
        measured.check()


def test_an_unfinished_run_is_refused(tmp_path):
    (tmp_path / "checkpoint.pt").touch()
    out = tmp_path / "model.onnx"
    result = CliRunner().invoke(export, [str(tmp_path), "--out", str(out)])
    assert isinstance(result.exception, TrainingError)
    assert "found an unfinished run" in str(result.exception)
    assert not out.exists()


def test_a_file_is_written_through_a_link_which_stays(run, trace, tmp_path, monkeypatch):
    monkeypatch.setattr(model_file, "to_onnx", lambda *_: trace)
    link, target = tmp_path / "model.onnx", tmp_path / "elsewhere.onnx"
    link.symlink_to(target.name)
    model_file.export_run(run, link, title="Linked")
    assert link.is_symlink()
    assert Network.open(target).card.title == "Linked"
    assert {path.name for path in tmp_path.iterdir()} == {link.name, target.name}


@torch.no_grad()
def test_other_phase_advances_than_the_codecs_are_refused(run, graph, traced, monkeypatch):
    render = graph.render.forward

    def turned(*inputs):
        frames, advance = render(*inputs)
        return frames, advance + 0.01

    monkeypatch.setattr(graph.render, "forward", turned)
    measured = parity.measure(run, graph, parity.TracedGraph(traced))
    assert measured.largest_advance_difference == pytest.approx(0.01, abs=1e-4)
    with pytest.raises(ExportError, match=r"difference of 1\.00e-02 of phase advances"):
        measured.check()
