"""Stores with models, and devices that play from them."""

import pytest

from device.playback.instrument import Instrument
from device.store.store import ModelStore
from device.switches.base import FixedSwitches
from device.synthesis.performance import Performance
from device.updates.validation import validate
from tests.support import tiny_model as tiny
from tests.support.playing_device import OFF, PlayingDevice


@pytest.fixture
def store(tmp_path):
    return ModelStore(tmp_path / "models", reserve_bytes=0)


@pytest.fixture
def first(store, tmp_path):
    """The model that plays at the start, active in the store."""
    digest = store.add(tiny.build(tmp_path / "first.onnx", n_switches=8))
    store.activate(digest)
    return digest


@pytest.fixture
def second(store, tmp_path):
    """Another good one of the same shape."""
    return store.add(tiny.build(tmp_path / "second.onnx", n_switches=8, beats_per_loop=8))


@pytest.fixture
def make_device(store, first):
    devices = []

    def make(switches=None):
        devices.append(PlayingDevice(store, switches or FixedSwitches(OFF)))
        return devices[-1]

    yield make
    for device in devices:
        device.model_switcher.close()
        device.instrument.close()


@pytest.fixture
def add_faulty(store, tmp_path):
    def add(make):
        path = make(tmp_path / "faulty.onnx")
        assert validate(path).accepted
        return store.add(path)

    return add


@pytest.fixture
def make_instrument(network):
    """Makes instruments that play the tiny model; their blocks have eight frames."""
    opened = []

    def make(speaker, switches=None, *, ahead=False, listeners=(), clock=None, **performance):
        instrument = Instrument(
            network,
            switches or FixedSwitches((True,) * 3),
            speaker,
            Performance(**{"block_frames": 8, **performance}),
            ahead=ahead,
            listeners=listeners,
            **({"clock": clock} if clock else {}),
        )
        opened.append(instrument)
        return instrument

    yield make
    for instrument in opened:
        instrument.close()
