"""Modes of a store's files, and names in it that are no regular files."""

import hashlib
import io
import os
import signal
import socket
import stat
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from device.errors import (
    ModelOutOfReach,
    SwitchboardError,
)
from device.store.store import ModelStore


def add(store, text):
    return store.add(io.BytesIO(text.encode()))


@contextmanager
def masked(mask):
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o027, 0o077, 0o777])
def test_every_account_may_read_a_store_whatever_the_umask(tmp_path, mask):
    store = ModelStore(tmp_path / "not" / "yet" / "models")
    with masked(mask):
        one = add(store, "one")
        store.activate(one)
        with store.validation_lock():
            store.accept(one)
        store.record_start_attempt()
    modes = {
        path.name: stat.S_IMODE(path.lstat().st_mode)
        for path in (tmp_path / "not").rglob("*")
        if not path.is_symlink()
    }
    files = {".lock", ".examining", "verdicts.json", "starts.json", f"{one}.onnx"}
    assert modes == dict.fromkeys(files, 0o644) | dict.fromkeys(("yet", "models"), 0o755)


@contextmanager
def within(seconds):
    """Fail the test if the block takes longer."""

    def give_up(*_):
        pytest.fail("it hangs")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as end:
        # A socket's path is limited to 107 bytes.
        folder = os.open(path.parent, os.O_RDONLY)
        end.bind(f"/proc/self/fd/{folder}/{path.name}")
        os.close(folder)


def link_to_pipe(path):
    os.mkfifo(path.parent.parent / "elsewhere")
    path.symlink_to("../elsewhere")


KINDS = {
    "pipe": os.mkfifo,
    "folder": Path.mkdir,
    "socket": make_socket,
    "link to a pipe": link_to_pipe,
    "link to an endless device": lambda path: path.symlink_to("/dev/zero"),
    "link to nothing": lambda path: path.symlink_to("../nothing"),
    "link to itself": lambda path: path.symlink_to(path.name),
}


ONE, TWO = (hashlib.sha256(text).hexdigest() for text in (b"one", b"two"))


NAMES = (
    *(".lock", ".examining", "verdicts.json", "starts.json", ".verdicts.json.part"),
    *(".starts.json.part", ".0123.part", "active", "previous", ".active.part"),
    *(f"{ONE}.onnx", f"{TWO}.onnx", f"{'0' * 64}.onnx"),
)


@pytest.fixture
def quick(monkeypatch):
    """A disk without flushing, for tests without power cuts."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_waits_for_an_irregular_file(store, kind, name):
    one, two = add(store, "one"), add(store, "two")
    store.activate(two)
    store.activate(one)
    store.accept(one)
    store.record_start_attempt()
    path = store.directory / name
    path.unlink(missing_ok=True)
    KINDS[kind](path)
    with within(10):
        for read in (store.active, store.previous, store.models, store.last_refusal):
            read()
        for digest in (one, two):
            with suppress(ModelOutOfReach):
                store.is_whole(digest)
        assert store.record_start_attempt() in (None, store.path(one), store.path(two))
        steps = (
            store.recover,
            store.record_takeover,
            store.confirm_running,
            store.clear_crash_history,
            store.record_clean_stop,
            lambda: store.validation_lock().__enter__(),
            lambda: store.activate(two),
            lambda: store.refuse("1" * 64, "it hums"),
            lambda: store.remove_if_damaged(one),
            lambda: store.roll_back("it hums"),
            lambda: store.remove(two),
        )
        for step in steps:
            with suppress(SwitchboardError):
                step()
    outside = store.directory.parent
    assert not (outside / "nothing").exists()


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "folder"])
def test_an_irregular_file_is_replaced_by_a_regular_one(store, kind, name):
    store.activate(add(store, "two"))
    path = store.directory / name
    path.unlink(missing_ok=True)
    KINDS[kind](path)
    with within(10):
        one = add(store, "one")
        with store.validation_lock():
            store.accept(one)
        store.activate(one)
        store.recover()
        assert store.record_start_attempt() == store.path(one)
    assert store.active().read_bytes() == b"one"
    assert store.is_accepted(one)
