"""What several tests share: the tiny model, opened or on disk."""

import io
import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings

from device.model.network import Network
from tests.support import tiny_model as tiny

# How long an example takes says nothing on a machine that does something else as well.
# What lands must not depend on luck: there the examples are always the same ones.
settings.register_profile("house", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("house")


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory) -> Path:
    """A good model file; tests only read it."""
    return tiny.build(tmp_path_factory.mktemp("model") / "tiny.onnx")


@pytest.fixture(scope="session")
def network(tiny_model) -> Network:
    """The tiny model, opened; it has no state."""
    return Network.open(tiny_model)


@pytest.fixture
def build_model(tmp_path):
    """Makes tiny models that differ from the good one; see `tests.support.tiny_model.build`."""
    return lambda **changes: tiny.build(tmp_path / "changed.onnx", **changes)


@pytest.fixture
def mock_pins(monkeypatch):
    """gpiozero's stand-in for the pins of a header, whose levels a test drives."""
    from gpiozero import Device
    from gpiozero.pins.mock import MockFactory

    factory = MockFactory()
    monkeypatch.setattr(Device, "pin_factory", factory)
    yield factory
    factory.reset()


@pytest.fixture
def command_folder(tmp_path, monkeypatch) -> Path:
    """An empty current folder, without a terminal and without configuration files."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("device.config.SEARCHED", ())
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    monkeypatch.setattr("os.isatty", lambda _fd: False)
    return tmp_path
