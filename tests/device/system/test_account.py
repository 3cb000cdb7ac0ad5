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
from device.model.bundled import BUNDLED_MODEL
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
    """A folder that every account may read; pytest's own is not."""
    with tempfile.TemporaryDirectory(prefix="switchboard-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def give(path, owner=SERVICE):
    os.chown(path, owner, owner, follow_symlinks=False)
    return path


def folder(path, owner=SERVICE):
    path.mkdir()
    return give(path, owner)


# -- the owner of a path ---------------------------------------------------------------------------


def test_a_path_that_only_root_owns_belongs_to_root():
    assert owner_of(Path("/usr/bin/env")) == 0
    assert owner_of(Path("/no/such/path")) == 0


def test_only_root_becomes_another_account(monkeypatch, tmp_path):
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
def test_a_link_belongs_to_its_maker_and_a_path_through_it_to_the_targets_owner(open_folder):
    made_by_service = open_folder / "models"
    made_by_service.symlink_to("/etc")
    give(made_by_service)
    assert owner_of(made_by_service) == SERVICE
    (open_folder / "deep").mkdir()
    folder(open_folder / "state")
    made_by_root = open_folder / "deep" / "link"
    made_by_root.symlink_to("../state")
    assert owner_of(made_by_root / "models") == SERVICE
    made_by_root.with_name("loop").symlink_to("loop")
    assert owner_of(made_by_root.with_name("loop")) == 0


# -- root in a folder of another account ----------------------------------------------------------

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
    with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as output:
        stdin.write(sent)
        stdin.seek(0)
        child = os.fork()
        if child == 0:
            status = 99
            try:
                for number, file in enumerate((stdin, output, output)):
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
        _, wait_status = os.waitpid(child, 0)
        output.seek(0)
        text = output.read().decode()
    assert "Traceback" not in text
    return os.waitstatus_to_exitcode(wait_status), text


@pytest.fixture
def machine(open_folder):
    """A state folder of the service's account with two models, and files of root alone."""

    class Device:
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

    machine = Device()
    for title in ("One", "Two"):
        path = tiny.build(open_folder / f"{title}.onnx", metadata={"title": title})
        machine.digests.append(machine.store.add(path))
        machine.store.accept(machine.digests[-1])
        machine.store.activate(machine.digests[-1])
    with machine.store.validation_lock():
        pass
    for path in machine.store.directory.iterdir():
        give(path)
    machine.secret.write_text("{}")
    machine.secret.chmod(0o600)
    machine.secrets.mkdir(mode=0o700)
    (machine.secrets / "kept").write_text("kept")
    yield machine
    status = machine.secret.stat()
    assert (machine.secret.read_text(), status.st_uid, stat.S_IMODE(status.st_mode)) == (
        "{}",
        0,
        0o600,
    )
    status = machine.secrets.stat()
    assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (0, 0o700)
    assert [path.name for path in machine.secrets.iterdir()] == ["kept"]


def owners(store):
    return {path.lstat().st_uid for path in store.directory.iterdir()}


@needs_root
@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_files_that_root_writes_into_a_store_are_its_accounts_and_readable(
    machine, open_folder, umask
):
    secret_model = tiny.build(open_folder / "Three.onnx", metadata={"title": "Three"})
    secret_model.chmod(0o600)
    for words in (
        ("activate", secret_model),
        ("activate", machine.digests[0][:9]),
        ("rollback",),
        ("list",),
        ("show", "active"),
        ("remove", machine.digests[1][:9]),
    ):
        status, output = machine.models(*words, umask=umask)
        assert status == 0, output
    assert owners(machine.store) == {SERVICE}
    digest = hashlib.sha256(secret_model.read_bytes()).hexdigest()
    assert machine.store.active() == machine.store.path(digest)
    for path in machine.store.directory.iterdir():
        if not path.is_symlink():
            assert stat.S_IMODE(path.stat().st_mode) == 0o644


@needs_root
def test_a_push_that_root_receives_belongs_to_the_stores_account(machine):
    content = b"pushed"
    assert machine.receive(content)[0] == 0
    assert machine.store.active().read_bytes() == content
    assert owners(machine.store) == {SERVICE}


@needs_root
@pytest.mark.parametrize("name", [".lock", ".examining"])
def test_an_unreadable_lock_of_root_is_replaced(machine, name):
    """Older versions left one under a strict umask."""
    lock = machine.store.directory / name
    give(lock, owner=0).chmod(0o600)
    assert machine.receive(b"pushed")[0] == 0
    assert lock.stat().st_uid == SERVICE


@needs_root
def test_a_model_that_its_account_may_not_read_can_be_pushed_again(machine):
    path = machine.store.path(machine.digests[0])
    content = path.read_bytes()
    give(path, owner=0).chmod(0o600)
    _, output = machine.models("activate", machine.digests[0])
    assert "Permission denied" in output
    assert machine.store.refusal(machine.digests[0]) is None
    assert '"event": "send"' in machine.receive(content)[1]
    assert machine.store.active() == path
    assert path.stat().st_uid == SERVICE


@needs_root
def test_root_plays_a_store_as_its_account(machine):
    words = ("--seconds", "0.2", "--speaker", "silent", "--switches", "demo")
    status, output = as_root(["play", "--store", machine.store.directory, *words], 0o022)
    assert status == 0, output
    assert f"continues as {SERVICE}" in output
    assert owners(machine.store) == {SERVICE}


LINKED = (
    *(".lock", ".examining", "verdicts.json", "starts.json", ".verdicts.json.part"),
    *(".starts.json.part", "active", ".active.part", "previous", ".previous.part", ".0123.part"),
)


@needs_root
@pytest.mark.parametrize("target", ["secret", "secrets", "nothing"])
def test_root_follows_no_link_that_the_account_put_into_its_store(machine, open_folder, target):
    """All links at once, with each verb that writes."""
    file = tiny.build(open_folder / "Three.onnx", metadata={"title": "Three"})
    verbs = (
        ("activate", file), ("activate", BUNDLED_MODEL, "--again"), ("rollback",),
        ("remove", machine.digests[0]),
    )  # fmt: skip
    for verb in verbs:
        for name in LINKED:
            path = machine.store.directory / name
            path.unlink(missing_ok=True)
            path.symlink_to(open_folder / target)
            give(path)
        machine.models(*verb)
    assert not (open_folder / "nothing").exists()
    assert owners(machine.store) == {SERVICE}


@needs_root
@pytest.mark.parametrize("place", ["models", "state"])
@pytest.mark.parametrize("verb", ["activate", "rollback", "receive"])
def test_root_follows_no_link_in_place_of_the_store(machine, place, verb):
    """Nor in place of the folder above it, where that is the account's to change."""
    where = machine.state if place == "state" else machine.store.directory
    shutil.rmtree(where)
    where.symlink_to(machine.secrets)
    give(where)
    if verb == "receive":
        assert machine.receive(b"pushed")[0] != 0
    else:
        machine.models(verb, *([BUNDLED_MODEL] if verb == "activate" else []))
