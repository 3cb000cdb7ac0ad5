"""Files that cannot be read or are damaged: another model plays, and none is refused for it."""

import errno
import os

import pytest

from device.files import open_regular
from device.model.bundled import BUNDLED_MODEL
from device.model.network import Network
from device.model.summary import read_card
from device.playback.model_selection import open_active_model
from device.store.store import ModelStore
from tests.support.playing_device import (
    until,
)


def test_models_that_do_not_open_at_the_start_are_skipped_down_to_the_bundled_one(
    store, first, tmp_path
):
    for n in range(2):
        path = tmp_path / "bad.onnx"
        path.write_bytes(b"not a model" * (100 + n))
        store.activate(store.add(path))
    messages = []
    network = open_active_model(store, messages.append)
    assert network.card.title == read_card(BUNDLED_MODEL).title
    assert len(messages) == 2


@pytest.fixture
def unreadable(monkeypatch):
    """The set of files whose reading fails with a disk error."""
    paths = set()

    def opened(path, **options):
        if path in paths:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return open_regular(path, **options)

    monkeypatch.setattr("device.store.reader.open_regular", opened)
    monkeypatch.setattr("device.model.network.open_regular", opened)
    return paths


def test_a_model_that_cannot_be_read_at_the_start_is_retried_while_the_one_before_plays(
    make_device, store, first, second, unreadable, monkeypatch
):
    monkeypatch.setattr("device.playback.model_loader.RETRY_SECONDS", 0.01)
    store.activate(second)
    unreadable.add(store.path(second))
    device = make_device()
    assert store.active() == store.path(second)
    assert store.refusal(second) is None

    def left_aside():
        return [line for line in device.messages if "is left aside" in line]

    def readable():
        until(lambda: len(left_aside()) == 2)
        unreadable.clear()
        until(lambda: not device.loader._ready.empty())

    device.at(0.5, readable)
    device.play(3.0)
    assert device.models_heard() == [first, second]
    # Once at the start, and once by the loader, however often it tries.
    assert len(left_aside()) == 2
    assert all("Input/output error" in line for line in left_aside())


def test_a_model_that_cannot_be_read_is_not_refused_and_the_music_goes_on(
    make_device, store, first, second, unreadable
):
    device = make_device()
    unreadable.add(store.path(second))

    def activate():
        # As another program does, for which it can be read.
        store._set_link("active", store.path(second))
        until(lambda: any("is left aside" in line for line in device.messages))

    device.at(0.5, activate)
    device.play(2.0)
    device.settle()
    assert device.models_heard() == [first]
    assert store.refusal(second) is None
    assert store.active() == store.path(second)


@pytest.mark.parametrize("playing", [False, True])
def test_a_damaged_model_is_removed_and_not_refused(make_device, store, first, second, playing):
    content = store.path(second).read_bytes()

    def damage():
        # In this order, or the loader may open the model before it is damaged.
        store.path(second).write_bytes(content[:-1] + b"?")
        store._set_link("previous", store.path(first))
        store._set_link("active", store.path(second))

    if not playing:
        damage()
    device = make_device()
    if playing:
        device.at(0.5, lambda: (damage(), until(lambda: store.active() == store.path(first))))
    device.play(1.0)
    assert device.models_heard() == [first]
    assert store.refusal(second) is None
    assert not store.path(second).exists()


def test_without_a_store_on_the_disk_the_bundled_model_plays(tmp_path):
    store = ModelStore(tmp_path / "none")
    assert isinstance(open_active_model(store, print), Network)
