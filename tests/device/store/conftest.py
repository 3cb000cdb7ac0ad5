"""An empty model store."""

import pytest

from device.store.store import ModelStore


@pytest.fixture
def store(tmp_path):
    return ModelStore(tmp_path / "models")
