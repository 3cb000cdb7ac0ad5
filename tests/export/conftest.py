"""A finished run, its graph in torch, and its model file: made once, read only."""

from types import SimpleNamespace

import onnx
import pytest
import torch

from device.model.network import Network
from export.model import model_file
from export.model.graph import BoxGraph, to_onnx
from tests.support.tiny_run import finished
from training.run.run_folder import open_run

# Tensors this small are slower on more threads, and much slower beside other work.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def run_directory(tmp_path_factory):
    """The folder of a finished run."""
    return finished(tmp_path_factory)[1]


@pytest.fixture(scope="session")
def run(run_directory):
    """The run, opened."""
    return open_run(run_directory)


@pytest.fixture(scope="session")
def graph(run):
    """What was exported, in torch."""
    return BoxGraph(run).eval()


@pytest.fixture(scope="session")
def trace(run, graph):
    """The graph as the exporter writes it, with the digits still an output."""
    return to_onnx(run, graph)


@pytest.fixture(scope="session")
def export_traced(tmp_path_factory):
    """Exports a run by its trace: the result, its path, and the file as the device opens it."""

    def export(run, trace, title):
        path = tmp_path_factory.mktemp("export") / "model.onnx"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(model_file, "to_onnx", lambda *_: trace)
            result = model_file.export_run(run, path, title=title)
        return SimpleNamespace(path=path, result=result, network=Network.open(path))

    return export


@pytest.fixture(scope="session")
def exported(run, trace, export_traced):
    """The model file, the result of its export, and the file opened as the device opens it.

    Made from the shared trace; a test compares it with a file made from scratch.
    """
    return export_traced(run, trace, "Tiny")


@pytest.fixture(scope="session")
def model(exported):
    """The model file as onnx reads it."""
    return onnx.load(exported.path)


@pytest.fixture
def traced(trace, monkeypatch):
    """Exports reuse the shared trace, which saves the exporter's seconds."""
    monkeypatch.setattr(model_file, "to_onnx", lambda *_: trace)
    return trace
