"""The model store: links that turn in one step, a lock that goes with its process, no debris."""

import errno
import hashlib
import io
import itertools
import json
import os
import signal
import socket
import stat
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from device.errors import (
    ModelOutOfReach,
    ModelRefused,
    ModelTooLarge,
    OutputError,
    StoreError,
    StoreFull,
    SwitchboardError,
)
from device.model.contract import MAX_MODEL_BYTES
from device.store.start_counter import MOST_CRASHES, MOST_REBOOTS, MOST_STARTS, StartCounter
from device.store.store import ModelStore


@pytest.fixture
def store(tmp_path):
    return ModelStore(tmp_path / "models")


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


def test_a_model_comes_from_a_file_or_from_a_stream_that_cannot_be_measured(store, tmp_path):
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


def test_the_list_tells_what_each_model_is(store):
    one, two, three = (add(store, text) for text in ("one", "two", "three"))
    for number, digest in enumerate((one, two, three)):
        os.utime(store.path(digest), (number, number))
    store.activate(one)
    store.activate(two)
    store.refuse(three, "it hums")
    facts = [(m.digest, m.is_active, m.is_previous, m.refused) for m in store.models()]
    assert facts == [
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


def test_no_roll_back_leads_to_a_refused_model(store):
    one, two = add(store, "one"), add(store, "two")
    store.activate(one)
    store.activate(two)
    store.refuse(one, "it hums")
    assert store.roll_back("so does this") is None


def test_a_model_that_misbehaved_before_another_took_over_leaves_that_one_alone(store):
    one, two = add(store, "one"), add(store, "two")
    store.activate(one)
    store.activate(two)
    assert store.roll_back("it hummed", digest=one) == store.path(two)
    assert store.refusal(one) == "it hummed"


def test_the_oldest_models_go_and_those_that_play_stay(tmp_path):
    store = ModelStore(tmp_path, keep=3)
    digests = []
    for number in range(6):
        digests.append(add(store, f"model {number}"))
        os.utime(store.path(digests[-1]), (number, number))
        if number < 2:
            store.activate(digests[number])
    assert {m.digest for m in store.models()} == {digests[0], digests[1], digests[5]}


def test_a_new_model_stays_even_where_the_clock_says_it_is_the_oldest(tmp_path):
    store = ModelStore(tmp_path, keep=2)
    for number in range(2):
        os.utime(store.path(add(store, f"model {number}")), (4e9, 4e9))
    newest = add(store, "after a power cut without a clock")
    assert store.path(newest).exists()
    assert len(store.models()) == 2


def test_what_plays_cannot_be_removed_and_the_rest_can(store):
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


def test_a_disk_without_room_is_said_before_anything_is_written(tmp_path):
    store = ModelStore(tmp_path, reserve_bytes=1 << 60)
    with pytest.raises(StoreFull, match="found room for 0 bytes, expected 3"):
        add(store, "one")
    assert store.models() == []


def test_a_disk_that_fills_up_all_the_same_leaves_nothing(store, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    store.activate(add(store, "one"))
    before = names(store)
    monkeypatch.setattr("device.store.upload.flush_file", full)
    with pytest.raises(StoreFull, match="No space left on device"):
        add(store, "two")
    assert names(store) == before


def test_a_folder_that_is_none_is_explained(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="expected a writable folder"):
        add(ModelStore(tmp_path / "file"), "one")


def test_tidying_removes_strays_but_not_what_somebody_writes(store):
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


def test_tidying_finishes_a_roll_back_that_a_power_cut_stopped(store):
    one, two = add(store, "one"), add(store, "two")
    store.activate(one)
    store.activate(two)
    store.refuse(two, "it hums")
    store.recover()
    assert store.active() == store.path(one)


def test_tidying_lets_go_of_a_model_that_the_disk_has_damaged(store):
    one, two = add(store, "one"), add(store, "two")
    store.activate(one)
    store.activate(two)
    store.path(two).write_bytes(b"twu")
    store.recover()
    assert store.active() == store.path(one)
    store.activate(add(store, "two"))
    assert store.active().read_bytes() == b"two"


def test_a_model_that_crashes_the_box_at_start_gives_way_to_the_previous_one(store):
    one, two = add(store, "one"), add(store, "two")
    store.activate(one)
    store.activate(two)
    assert [store.record_start_attempt() for _ in range(MOST_STARTS)] == [
        store.path(two)
    ] * MOST_STARTS
    assert store.record_start_attempt() == store.path(one)
    assert "crashed" in store.refusal(two)
    assert store.record_start_attempt() == store.path(one)
    assert store.record_start_attempt() is None
    assert store.record_start_attempt() is None


def test_long_play_forgets_the_starts_and_crashes_before_it(store):
    one = add(store, "one")
    store.activate(one)
    for _ in range(5):
        store.record_start_attempt()
        assert store.record_start_attempt() == store.path(one)
        store.confirm_running()
        store.endured()


@pytest.fixture
def crashing(store):
    """Two models, and as many crashes of the second as asked for, each after it had played."""
    one, two = add(store, "one"), add(store, "two")
    store.activate(one)
    store.activate(two)

    def crash(n_times):
        for _ in range(n_times):
            assert store.record_start_attempt() == store.path(two)
            store.confirm_running()

    return store.path(one), store.path(two), crash


def test_a_model_that_crashes_the_box_again_and_again_gives_way_however_long_it_played(
    store, crashing
):
    one, two, crash = crashing
    crash(MOST_CRASHES)
    assert store.record_start_attempt() == one
    assert store.refusal(two.stem) == f"the box crashed {MOST_CRASHES} times while it played"


def test_to_be_told_to_stop_is_no_crash_and_forgives_none(store, crashing):
    one, two, crash = crashing
    for _ in range(3):
        store.record_start_attempt()
        store.confirm_running()
        store.stopped()
    crash(MOST_CRASHES - 1)
    assert store.record_start_attempt() == two
    store.stopped()
    crash(1)
    assert store.record_start_attempt() == one


def test_long_play_forgives_all_crashes_before_it(store, crashing):
    _, two, crash = crashing
    crash(MOST_CRASHES - 1)
    assert store.record_start_attempt() == two
    store.endured()
    # The end of that one was a crash as well.
    crash(MOST_CRASHES - 1)
    assert store.refusal(two.stem) is None


def test_plugs_pulled_while_it_played_are_no_crashes(store, crashing, reboot):
    _, two, _ = crashing
    for _ in range(3 * MOST_REBOOTS):
        reboot()
        assert store.record_start_attempt() == two
        store.confirm_running()


def test_a_crash_is_remembered_across_a_pulled_plug(store, crashing, reboot):
    one, _, crash = crashing
    for _ in range(MOST_CRASHES - 1):
        reboot()
        crash(2)
    reboot()
    crash(1)
    assert store.record_start_attempt() == one


def test_without_numbers_of_boots_nobody_tells_a_crash_from_a_pulled_plug(
    store, crashing, tmp_path
):
    _, two, crash = crashing
    store._starts = StartCounter(store.directory / "starts.json", tmp_path / "none")
    crash(2 * MOST_CRASHES)
    assert store.refusal(two.stem) is None


def test_a_crash_while_the_bundled_model_plays_is_held_against_no_other(store, crashing):
    _, two, crash = crashing
    for _ in range(2 * MOST_CRASHES):
        crash(1)
        store.activate(None)
        store.record_takeover()
        store.activate(two.stem)
        store.endured()
    assert store.refusal(two.stem) is None


def test_notes_of_an_older_version_are_understood_and_it_understands_ours(store):
    one = add(store, "one")
    store.activate(one)
    notes, boot = store.directory / "starts.json", StartCounter(Path("x"))._boot()
    old = {"digest": one, "n": MOST_STARTS, "boot": boot, "n_downs": 1}
    notes.write_text(json.dumps(old), encoding="utf-8")
    assert store._starts.n_reboots_of(one) == 1
    assert store.record_start_attempt() is None
    store.activate(add(store, "two"))
    store.record_start_attempt()
    ours = json.loads(notes.read_text(encoding="utf-8"))
    assert old.keys() <= ours.keys()
    assert ours["n"] == 1
    store.confirm_running()
    # An older version counts starts without success, and there was none.
    assert json.loads(notes.read_text(encoding="utf-8"))["n"] == 0
    store.stopped()
    assert not notes.exists()


def test_starts_of_another_model_do_not_count(store):
    one, two = add(store, "one"), add(store, "two")
    store.activate(one)
    store.record_start_attempt()
    store.record_start_attempt()
    store.activate(two)
    assert store.record_start_attempt() == store.path(two)
    assert store.record_start_attempt() == store.path(two)
    assert store.record_start_attempt() == store.path(one)


@pytest.mark.parametrize("name", ["verdicts.json", "starts.json"])
@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b'{"n": "x"}', b"[" * 100_000])
def test_damaged_notes_are_no_reason_not_to_play(store, name, content):
    one = add(store, "one")
    store.activate(one)
    (store.directory / name).write_bytes(content)
    assert store.record_start_attempt() == store.path(one)
    store.recover()
    assert store.refusal(one) is None
    store.refuse(one, "it hums")
    assert store.refusal(one) == "it hums"


def test_a_disk_that_cannot_be_written_is_no_reason_not_to_play(store, monkeypatch):
    def read_only(*_):
        raise OSError(errno.EROFS, "Read-only file system")

    one = add(store, "one")
    store.activate(one)
    monkeypatch.setattr("device.files.file_lock", read_only)
    store.recover()
    assert store.record_start_attempt() == store.path(one)
    store.confirm_running()


def test_a_roll_back_works_on_a_full_disk(store, monkeypatch):
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


def test_the_latest_refusal_that_still_holds_is_told(store):
    assert store.last_refusal() is None
    for name, reason in (("1", "loud"), ("2", "slow")):
        store.refuse(name * 64, reason)
    assert (store.last_refusal().digest, store.last_refusal().reason) == ("2" * 64, "slow")
    store.accept("2" * 64)
    assert store.last_refusal().reason == "loud"


@pytest.fixture
def taken_over(store):
    """Two models, of which the second has taken over while the first one played."""
    one, two = add(store, "one"), add(store, "two")
    store.activate(one)
    store.activate(two)
    store.record_takeover()
    return store.path(one), store.path(two)


def test_one_crash_soon_after_a_take_over_is_enough(store, taken_over):
    one, two = taken_over
    assert store.record_start_attempt() == one
    assert "crashed" in store.refusal(two.stem)


@pytest.fixture
def reboot(store, tmp_path):
    """As if the machine had gone down and come up again."""
    boots = itertools.count()

    def reboot():
        boot_id = tmp_path / "boot_id"
        boot_id.write_text(f"boot {next(boots)}", encoding="ascii")
        store._starts = StartCounter(store.directory / "starts.json", boot_id)

    return reboot


def test_a_plug_pulled_soon_after_a_take_over_is_no_crash(store, taken_over, reboot):
    one, two = taken_over
    reboot()
    # It gets the chances of any other model, and no more.
    assert [store.record_start_attempt() for _ in range(MOST_STARTS)] == [two] * MOST_STARTS
    assert store.record_start_attempt() == one


def test_plugs_pulled_during_its_starts_do_not_make_a_model_bad(store, reboot):
    one = add(store, "one")
    store.activate(one)
    for _ in range(MOST_REBOOTS - 1):
        reboot()
        assert store.record_start_attempt() == store.path(one)
    store.confirm_running()
    reboot()
    assert store.record_start_attempt() == store.path(one)
    assert store.refusal(one) is None


def test_a_start_that_succeeds_sets_the_count_of_reboots_to_zero_in_the_file(store, reboot):
    one = add(store, "one")
    store.activate(one)
    for _ in range(2):
        reboot()
        store.record_start_attempt()
    starts = store.directory / "starts.json"
    assert json.loads(starts.read_text(encoding="utf-8"))["n_downs"] == 1
    store.confirm_running()
    content = json.loads(starts.read_text(encoding="utf-8"))
    assert content["n_downs"] == 0
    assert content.keys() == {"digest", "n", "boot", "n_downs", "n_crashes", "running"}


def test_a_crash_before_a_plug_was_pulled_is_forgotten(store, reboot):
    one = add(store, "one")
    store.activate(one)
    for _ in range(2):
        reboot()
        assert [store.record_start_attempt() for _ in range(MOST_STARTS)] == [
            store.path(one)
        ] * MOST_STARTS


def test_a_model_that_takes_the_machine_down_every_time_gives_way(store, reboot):
    one, two = add(store, "one"), add(store, "two")
    store.activate(one)
    store.activate(two)
    for _ in range(MOST_REBOOTS):
        reboot()
        assert store.record_start_attempt() == store.path(two)
    reboot()
    assert store.record_start_attempt() == store.path(one)
    assert "crashed" in store.refusal(two)


def test_a_model_that_took_over_and_proved_itself_is_suspected_no_more(store, taken_over):
    _, two = taken_over
    store.confirm_running()
    assert store.record_start_attempt() == store.record_start_attempt() == two


def test_nothing_is_suspected_where_the_bundled_model_takes_over(store):
    store.record_takeover()
    assert store.record_start_attempt() is None


# -- bytes that the disk has lost, or does not give --------------------------------------------


def test_a_damaged_model_is_not_activated_and_comes_again_by_being_added(store):
    one = add(store, "one")
    store.path(one).write_bytes(b"onf")
    assert not store.is_whole(one)
    with pytest.raises(ModelOutOfReach, match="other bytes than were stored"):
        store.activate(one)
    assert store.refusal(one) is None
    assert add(store, "one") == one
    store.activate(one)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.EMFILE])
def test_a_model_that_cannot_be_read_keeps_its_place(store, monkeypatch, number):
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
        store.set_aside(two)
    assert store.active() == store.path(two)
    assert store.refusal(two) is None


def test_a_model_that_is_endless_is_not_read(store):
    one = add(store, "one")
    with store.path(one).open("r+b") as file:
        file.truncate(1 << 40)
    assert not store.is_whole(one)


# -- modes ------------------------------------------------------------------------------------


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
        with store.examining():
            store.accept(one)
        store.record_start_attempt()
    found = {
        path.name: stat.S_IMODE(path.lstat().st_mode)
        for path in (tmp_path / "not").rglob("*")
        if not path.is_symlink()
    }
    files = {".lock", ".examining", "verdicts.json", "starts.json", f"{one}.onnx"}
    assert found == dict.fromkeys(files, 0o644) | dict.fromkeys(("yet", "models"), 0o755)


# -- what is no regular file --------------------------------------------------------------------


@contextmanager
def within(seconds):
    """Whatever takes longer hangs."""

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
        # A socket's name is short.
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
    """A disk that is as quick as memory, where no power cut is looked at."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_waits_for_what_is_no_regular_file(store, kind, name):
    one, two = add(store, "one"), add(store, "two")
    store.activate(two)
    store.activate(one)
    store.accept(one)
    store.record_start_attempt()
    path = store.directory / name
    path.unlink(missing_ok=True)
    KINDS[kind](path)
    with within(10):
        for ask in (store.active, store.previous, store.models, store.last_refusal):
            ask()
        for digest in (one, two):
            with suppress(ModelOutOfReach):
                store.is_whole(digest)
        assert store.record_start_attempt() in (None, store.path(one), store.path(two))
        steps = (
            store.recover,
            store.record_takeover,
            store.confirm_running,
            store.endured,
            store.stopped,
            lambda: store.examining().__enter__(),
            lambda: store.activate(two),
            lambda: store.refuse("1" * 64, "it hums"),
            lambda: store.set_aside(one),
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
def test_what_is_no_regular_file_gives_way_to_one(store, kind, name):
    store.activate(add(store, "two"))
    path = store.directory / name
    path.unlink(missing_ok=True)
    KINDS[kind](path)
    with within(10):
        one = add(store, "one")
        with store.examining():
            store.accept(one)
        store.activate(one)
        store.recover()
        assert store.record_start_attempt() == store.path(one)
    assert store.active().read_bytes() == b"one"
    assert store.is_accepted(one)
