"""Root in a folder of another account: it becomes that account, and follows no link as root."""

import codecs
import hashlib
import json
import os
import pkgutil
import shutil
import stat
import sys
import tempfile
import traceback
from importlib import import_module
from pathlib import Path

import pytest

import device
from device.cli import main
from device.model.network import BUNDLED_MODEL
from device.store.store import ModelStore
from device.system import account
from device.system.account import is_root_elsewhere, owner_of, switch_to_owner_of
from device.updates import validation
from device.updates.validation import ValidationResult
from tests.support import tiny_model as tiny

# Two accounts without a name, and without anything on this machine.
SERVICE, OTHER = 64_123, 64_124

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another account")


@pytest.fixture
def open_folder():
    """A folder that every account may reach, which is not so of pytest's own."""
    with tempfile.TemporaryDirectory(prefix="switchboard-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def given(path, owner=SERVICE):
    os.chown(path, owner, owner, follow_symlinks=False)
    return path


def folder(path, owner=SERVICE):
    path.mkdir()
    return given(path, owner)


# -- whose a path is ---------------------------------------------------------------------------


def test_a_path_of_roots_alone_is_roots():
    assert owner_of(Path("/usr/bin/env")) == 0
    assert owner_of(Path("/no/such/path")) == 0


def test_nobody_but_root_becomes_another_account(monkeypatch, tmp_path):
    def refuse(*_):
        raise AssertionError("nothing to become")

    monkeypatch.setattr(account, "owner_of", lambda path: SERVICE)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    for name in ("setgroups", "initgroups", "setresgid", "setresuid"):
        monkeypatch.setattr(os, name, refuse)
    assert switch_to_owner_of(tmp_path) is None
    assert not is_root_elsewhere(tmp_path)


@needs_root
@pytest.mark.parametrize(
    "make",
    [
        lambda root: folder(root / "models"),
        lambda root: folder(root / "state") / "models",
        lambda root: folder(folder(root / "state") / "models", owner=OTHER),
        lambda root: folder(folder(root / "state") / "models", owner=0),
    ],
    ids=["itself", "not there yet", "another's in it", "root's in it"],
)
def test_a_path_belongs_to_the_first_account_on_the_way(open_folder, make):
    assert owner_of(make(open_folder)) == SERVICE


@needs_root
def test_a_link_belongs_to_whoever_made_it_and_leads_to_whose_its_target_is(open_folder):
    made_by_service = open_folder / "models"
    made_by_service.symlink_to("/etc")
    given(made_by_service)
    assert owner_of(made_by_service) == SERVICE
    (open_folder / "deep").mkdir()
    folder(open_folder / "state")
    made_by_root = open_folder / "deep" / "link"
    made_by_root.symlink_to("../state")
    assert owner_of(made_by_root / "models") == SERVICE
    made_by_root.with_name("loop").symlink_to("loop")
    assert owner_of(made_by_root.with_name("loop")) == 0


# -- what root may be made to do -----------------------------------------------------------------

FIGURES = dict.fromkeys(
    (
        *("title", "n_states", "quietest_db", "loudest_db"),
        *("compose_ms", "block_ms", "deadline_ms"),
    ),
    1,
)
ACCEPTED = ValidationResult(accepted=True, seconds=0.0, figures=FIGURES)


def as_root(words, umask, sent=b""):
    """Run a command in a process of its own that may become another account.

    Forked, because that account need not be allowed to read what a new process would import.
    """
    for module in pkgutil.walk_packages(device.__path__, "device."):
        import_module(module.name)
    codecs.lookup("ascii")
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as said:
        given.write(sent)
        given.seek(0)
        child = os.fork()
        if child == 0:
            status = 99
            try:
                for number, file in enumerate((given, said, said)):
                    os.dup2(file.fileno(), number)
                sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115
                os.umask(umask)
                os.fsync = lambda descriptor: None
                validation.validate = lambda path, report: ACCEPTED
                status = main([str(word) for word in words])
            except BaseException:  # noqa: BLE001
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)
        _, ended = os.waitpid(child, 0)
        said.seek(0)
        text = said.read().decode()
    assert "Traceback" not in text
    return os.waitstatus_to_exitcode(ended), text


@pytest.fixture
def box(open_folder):
    """A state folder of the service's account with two models, and what root alone has."""

    class Box:
        state = folder(open_folder / "state")
        store = ModelStore(folder(state / "models"))
        secret = open_folder / "secret"
        secrets = open_folder / "secrets"

        def __init__(self):
            self.digests = []

        def models(self, verb, *words, umask=0o022):
            return as_root(["models", verb, *words, "--store", self.store.directory], umask)

        def receive(self, content):
            digest = hashlib.sha256(content).hexdigest()
            line = {"sha256": digest, "n_bytes": len(content), "again": False}
            sent = json.dumps(line).encode() + b"\n" + content
            return as_root(["receive", "--store", self.store.directory], 0o077, sent)

    box = Box()
    for title in ("One", "Two"):
        path = tiny.build(open_folder / f"{title}.onnx", metadata={"title": title})
        box.digests.append(box.store.add(path))
        box.store.accept(box.digests[-1])
        box.store.activate(box.digests[-1])
    with box.store.validation_lock():
        pass
    for path in box.store.directory.iterdir():
        given(path)
    box.secret.write_text("{}")
    box.secret.chmod(0o600)
    box.secrets.mkdir(mode=0o700)
    (box.secrets / "kept").write_text("kept")
    yield box
    facts = box.secret.stat()
    assert (box.secret.read_text(), facts.st_uid, stat.S_IMODE(facts.st_mode)) == ("{}", 0, 0o600)
    facts = box.secrets.stat()
    assert (facts.st_uid, stat.S_IMODE(facts.st_mode)) == (0, 0o700)
    assert [path.name for path in box.secrets.iterdir()] == ["kept"]


def owners(store):
    return {path.lstat().st_uid for path in store.directory.iterdir()}


@needs_root
@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_what_root_does_to_a_store_is_its_accounts_and_readable(box, open_folder, umask):
    secret_model = tiny.build(open_folder / "Three.onnx", metadata={"title": "Three"})
    secret_model.chmod(0o600)
    for words in (
        ("activate", secret_model),
        ("activate", box.digests[0][:9]),
        ("rollback",),
        ("list",),
        ("show", "active"),
        ("remove", box.digests[1][:9]),
    ):
        status, said = box.models(*words, umask=umask)
        assert status == 0, said
    assert owners(box.store) == {SERVICE}
    digest = hashlib.sha256(secret_model.read_bytes()).hexdigest()
    assert box.store.active() == box.store.path(digest)
    for path in box.store.directory.iterdir():
        if not path.is_symlink():
            assert stat.S_IMODE(path.stat().st_mode) == 0o644


@needs_root
def test_a_push_that_root_receives_is_its_accounts(box):
    content = b"pushed"
    assert box.receive(content)[0] == 0
    assert box.store.active().read_bytes() == content
    assert owners(box.store) == {SERVICE}


@needs_root
@pytest.mark.parametrize("name", [".lock", ".examining"])
def test_a_lock_that_root_left_unreadable_blocks_nobody(box, name):
    """As older versions left one under a strict umask."""
    lock = box.store.directory / name
    given(lock, owner=0).chmod(0o600)
    assert box.receive(b"pushed")[0] == 0
    assert lock.stat().st_uid == SERVICE


@needs_root
def test_a_model_that_its_account_may_not_read_is_pushed_again_and_not_refused(box):
    path = box.store.path(box.digests[0])
    content = path.read_bytes()
    given(path, owner=0).chmod(0o600)
    _, said = box.models("activate", box.digests[0])
    assert "Permission denied" in said
    assert box.store.refusal(box.digests[0]) is None
    assert '"event": "send"' in box.receive(content)[1]
    assert box.store.active() == path
    assert path.stat().st_uid == SERVICE


@needs_root
def test_root_plays_a_store_as_its_account(box):
    words = ("--seconds", "0.2", "--speaker", "silent", "--switches", "demo")
    status, said = as_root(["play", "--store", box.store.directory, *words], 0o022)
    assert status == 0, said
    assert f"continues as {SERVICE}" in said
    assert owners(box.store) == {SERVICE}


LINKED = (
    *(".lock", ".examining", "verdicts.json", "starts.json", ".verdicts.json.part"),
    *(".starts.json.part", "active", ".active.part", "previous", ".previous.part", ".0123.part"),
)


@needs_root
@pytest.mark.parametrize("target", ["secret", "secrets", "nothing"])
def test_root_follows_no_link_that_the_account_put_into_its_store(box, open_folder, target):
    """All of them at once, and each of the verbs that write."""
    file = tiny.build(open_folder / "Three.onnx", metadata={"title": "Three"})
    verbs = (
        ("activate", file), ("activate", BUNDLED_MODEL, "--again"), ("rollback",),
        ("remove", box.digests[0]),
    )  # fmt: skip
    for verb in verbs:
        for name in LINKED:
            path = box.store.directory / name
            path.unlink(missing_ok=True)
            path.symlink_to(open_folder / target)
            given(path)
        box.models(*verb)
    assert not (open_folder / "nothing").exists()
    assert owners(box.store) == {SERVICE}


@needs_root
@pytest.mark.parametrize("place", ["models", "state"])
@pytest.mark.parametrize("verb", ["activate", "rollback", "receive"])
def test_root_follows_no_link_in_place_of_the_store(box, place, verb):
    """Nor in place of the folder above it, where that is the account's to change."""
    where = box.state if place == "state" else box.store.directory
    shutil.rmtree(where)
    where.symlink_to(box.secrets)
    given(where)
    if verb == "receive":
        assert box.receive(b"pushed")[0] != 0
    else:
        box.models(verb, *([BUNDLED_MODEL] if verb == "activate" else []))
