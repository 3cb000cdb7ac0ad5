"""A finished run, its graph in torch, and its model file: made once, written to by nobody."""

from types import SimpleNamespace

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
def exported(run, trace, tmp_path_factory):
    """The model file, what its export found out, and the file opened as the box opens it.

    Made of the shared trace; that a file made from scratch is the same one is a test.
    """
    path = tmp_path_factory.mktemp("export") / "model.onnx"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model_file, "to_onnx", lambda *_: trace)
        found = model_file.export_run(run, path, title="Tiny")
    return SimpleNamespace(path=path, found=found, network=Network.open(path))
