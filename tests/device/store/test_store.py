"""The model store: links that change in one step, a lock per process, no stray files."""

import errno
import hashlib
import io
import os
from pathlib import Path

import pytest

from device.errors import (
    ModelOutOfReach,
    ModelRefused,
    ModelTooLarge,
    OutputError,
    StoreError,
    StoreFull,
)
from device.model.contract import MAX_MODEL_BYTES
from device.store.store import ModelStore


def add(store, text):
    return store.add(io.BytesIO(text.encode()))


def names(store):
    return sorted(path.name for path in store.directory.iterdir())


def strays(store):
    return [name for name in names(store) if name.endswith(".part")]


def test_a_store_that_does_not_exist_plays_the_bundled_model(store):
    assert (store.active(), store.previous(), store.models()) == (None, None, [])
    assert store.record_start_attempt() is None
    store.recover()
    assert not store.directory.joinpath("active").exists()


def test_a_model_is_named_by_its_bytes(store):
    digest = add(store, "one")
    assert digest == hashlib.sha256(b"one").hexdigest()
    assert store.path(digest).read_bytes() == b"one"
    assert strays(store) == []
    assert add(store, "one") == digest
    assert [model.digest for model in store.models()] == [digest]


def test_a_model_is_added_from_a_file_or_from_a_stream_of_unknown_length(store, tmp_path):
    (tmp_path / "m").write_bytes(b"one")
    assert store.add(tmp_path / "m") == add(store, "one")
    reader, writer = os.pipe()
    os.write(writer, b"two")
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        assert store.path(store.add(stream)).read_bytes() == b"two"


def test_activating_remembers_what_played_before(store):
    one, two = add(store, "one"), add(store, "two")
    store.activate(one)
    assert (store.active(), store.previous()) == (store.path(one), None)
    store.activate(two)
    assert (store.active(), store.previous()) == (store.path(two), store.path(one))
    store.activate(two)
    assert (store.active(), store.previous()) == (store.path(two), store.path(one))
    store.activate(None)
    assert (store.active(), store.previous()) == (None, store.path(two))
    store.activate(one)
    assert (store.active(), store.previous()) == (store.path(one), None)


def test_the_list_has_the_state_of_each_model(store):
    one, two, three = (add(store, text) for text in ("one", "two", "three"))
    for number, digest in enumerate((one, two, three)):
        os.utime(store.path(digest), (number, number))
    store.activate(one)
    store.activate(two)
    store.refuse(three, "it hums")
    rows = [(m.digest, m.is_active, m.is_previous, m.refused) for m in store.models()]
    assert rows == [
        (three, False, False, "it hums"),
        (two, True, False, None),
        (one, False, True, None),
    ]
    assert [(m.added, m.size_bytes) for m in store.models()] == [(2, 5), (1, 3), (0, 3)]


def test_a_rolled_back_model_is_refused_from_then_on(store):
    one, two = add(store, "one"), add(store, "two")
    store.activate(one)
    store.activate(two)
    assert store.roll_back("it hums") == store.path(one)
    assert (store.active(), store.previous()) == (store.path(one), None)
    assert store.refusal(two) == "it hums"
    with pytest.raises(ModelRefused, match="it hums"):
        store.activate(two)
    assert store.roll_back("so does this") is None
    assert store.roll_back("nothing is left to refuse") is None
    store.accept(two)
    store.activate(two)
    assert store.active() == store.path(two)


def test_no_rollback_activates_a_refused_model(store):
    one, two = add(store, "one"), add(store, "two")
    store.activate(one)
    store.activate(two)
    store.refuse(one, "it hums")
    assert store.roll_back("so does this") is None


def test_refusing_an_inactive_model_leaves_the_active_one(store):
    one, two = add(store, "one"), add(store, "two")
    store.activate(one)
    store.activate(two)
    assert store.roll_back("it hummed", digest=one) == store.path(two)
    assert store.refusal(one) == "it hummed"


def test_the_oldest_models_are_removed_and_the_active_and_previous_stay(tmp_path):
    store = ModelStore(tmp_path, keep=3)
    digests = []
    for number in range(6):
        digests.append(add(store, f"model {number}"))
        os.utime(store.path(digests[-1]), (number, number))
        if number < 2:
            store.activate(digests[number])
    assert {m.digest for m in store.models()} == {digests[0], digests[1], digests[5]}


def test_a_new_model_stays_even_if_its_time_is_the_oldest(tmp_path):
    store = ModelStore(tmp_path, keep=2)
    for number in range(2):
        os.utime(store.path(add(store, f"model {number}")), (4e9, 4e9))
    newest = add(store, "after a power cut without a clock")
    assert store.path(newest).exists()
    assert len(store.models()) == 2


def test_the_active_and_previous_models_cannot_be_removed_and_others_can(store):
    one, two, three = (add(store, text) for text in ("one", "two", "three"))
    store.activate(one)
    store.activate(two)
    for digest in (one, two):
        with pytest.raises(StoreError, match="activate another one first"):
            store.remove(digest)
    store.remove(three)
    with pytest.raises(StoreError, match="no such file"):
        store.remove(three)
    with pytest.raises(StoreError, match="no such file"):
        store.activate(three)


def test_a_model_is_found_by_the_first_digits_of_its_hash(store):
    one = add(store, "one")
    store.activate(one)
    assert {store.find(name) for name in (one, one[:6], one[:6].upper(), "active")} == {one}
    for name in ("previous", "xyz", "", "../" + one):
        with pytest.raises(StoreError, match="expected one"):
            store.find(name)


def test_no_hash_leads_out_of_the_store(store):
    for digest in ("../../etc/passwd", "", "A" * 64, "0" * 63):
        with pytest.raises(StoreError, match="expected a SHA-256"):
            store.refuse(digest, "no")


@pytest.mark.parametrize(
    "target", ["../elsewhere.onnx", "/etc/passwd", "verdicts.json", "0" * 64 + ".onnx", "active"]
)
def test_a_link_that_leads_elsewhere_or_nowhere_is_no_link(store, target):
    store.activate(add(store, "one"))
    (store.directory / "active").unlink()
    (store.directory / "active").symlink_to(target)
    assert store.active() is None


def test_a_model_that_is_too_large_or_longer_than_announced_leaves_nothing(store):
    with pytest.raises(ModelTooLarge):
        store.incoming(MAX_MODEL_BYTES + 1)
    with store.incoming(3) as incoming, pytest.raises(ModelTooLarge, match="more than 3 bytes"):
        incoming.write(b"four")
    assert strays(store) == []


def test_a_disk_without_room_is_refused_before_anything_is_written(tmp_path):
    store = ModelStore(tmp_path, reserve_bytes=1 << 60)
    with pytest.raises(StoreFull, match="found room for 0 bytes, expected 3"):
        add(store, "one")
    assert store.models() == []


def test_a_disk_that_fills_up_during_an_upload_leaves_no_file(store, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    store.activate(add(store, "one"))
    before = names(store)
    monkeypatch.setattr("device.store.upload.flush_file", full)
    with pytest.raises(StoreFull, match="No space left on device"):
        add(store, "two")
    assert names(store) == before


def test_a_file_in_place_of_the_folder_is_explained(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="expected a writable folder"):
        add(ModelStore(tmp_path / "file"), "one")


def test_recovery_removes_strays_but_not_a_running_upload(store):
    store.activate(add(store, "one"))
    (store.directory / ".0123.part").write_bytes(b"killed")
    (store.directory / ".active.part").symlink_to("nowhere")
    with store.incoming(3) as incoming:
        incoming.write(b"two")
        store.recover()
        assert strays(store) == [incoming.path.name]
        incoming.keep()
    assert strays(store) == []
    assert len(store.models()) == 2


def test_recovery_finishes_a_rollback_that_a_power_cut_stopped(store):
    one, two = add(store, "one"), add(store, "two")
    store.activate(one)
    store.activate(two)
    store.refuse(two, "it hums")
    store.recover()
    assert store.active() == store.path(one)


def test_recovery_removes_a_model_that_the_disk_has_damaged(store):
    one, two = add(store, "one"), add(store, "two")
    store.activate(one)
    store.activate(two)
    store.path(two).write_bytes(b"twu")
    store.recover()
    assert store.active() == store.path(one)
    store.activate(add(store, "two"))
    assert store.active().read_bytes() == b"two"


@pytest.mark.parametrize("name", ["verdicts.json", "starts.json"])
@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b'{"n": "x"}', b"[" * 100_000])
def test_damaged_verdicts_and_starts_do_not_keep_a_model_from_playing(store, name, content):
    one = add(store, "one")
    store.activate(one)
    (store.directory / name).write_bytes(content)
    assert store.record_start_attempt() == store.path(one)
    store.recover()
    assert store.refusal(one) is None
    store.refuse(one, "it hums")
    assert store.refusal(one) == "it hums"


def test_a_disk_that_cannot_be_written_does_not_keep_a_model_from_playing(store, monkeypatch):
    def read_only(*_):
        raise OSError(errno.EROFS, "Read-only file system")

    one = add(store, "one")
    store.activate(one)
    monkeypatch.setattr("device.files.file_lock", read_only)
    store.recover()
    assert store.record_start_attempt() == store.path(one)
    store.confirm_running()


def test_a_rollback_works_on_a_full_disk(store, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    store.activate(add(store, "one"))
    store.activate(add(store, "two"))
    monkeypatch.setattr("device.store.verdict_log.write_json_object", full)
    monkeypatch.setattr(Path, "symlink_to", full)
    with pytest.raises(StoreFull):
        store.roll_back("it hums")
    assert store.active() is None


def test_verdicts_do_not_grow_without_end(store, monkeypatch):
    monkeypatch.setattr("device.store.verdict_log._MOST", 3)
    digests = [hashlib.sha256(bytes([number])).hexdigest() for number in range(5)]
    for digest in digests:
        store.refuse(digest, "no")
    assert [store.refusal(digest) for digest in digests] == [None, None, "no", "no", "no"]


def test_the_latest_valid_refusal_is_reported(store):
    assert store.last_refusal() is None
    for name, reason in (("1", "loud"), ("2", "slow")):
        store.refuse(name * 64, reason)
    assert (store.last_refusal().digest, store.last_refusal().reason) == ("2" * 64, "slow")
    store.accept("2" * 64)
    assert store.last_refusal().reason == "loud"


def test_a_damaged_model_is_not_activated_and_can_be_added_again(store):
    one = add(store, "one")
    store.path(one).write_bytes(b"onf")
    assert not store.is_whole(one)
    with pytest.raises(ModelOutOfReach, match="other bytes than were stored"):
        store.activate(one)
    assert store.refusal(one) is None
    assert add(store, "one") == one
    store.activate(one)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.EMFILE])
def test_a_model_that_cannot_be_read_stays_active(store, monkeypatch, number):
    one, two = add(store, "one"), add(store, "two")
    store.activate(one)
    store.activate(two)

    def unreadable(path, **_):
        raise OSError(number, os.strerror(number), str(path))

    with monkeypatch.context() as patch:
        patch.setattr("device.store.reader.open_regular", unreadable)
        with pytest.raises(ModelOutOfReach, match=os.strerror(number)):
            store.is_whole(two)
        store.recover()
        store.remove_if_damaged(two)
    assert store.active() == store.path(two)
    assert store.refusal(two) is None


def test_a_model_that_is_endless_is_not_read(store):
    one = add(store, "one")
    with store.path(one).open("r+b") as file:
        file.truncate(1 << 40)
    assert not store.is_whole(one)
