"""Pushes cut off by kills, full disks and other processes: the store stays complete."""

import errno
import json
import os
import random
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from device.errors import StoreFull
from device.files import sha256_of
from device.model.network import Network
from device.store.store import ModelStore
from device.updates.receiver import Sender, receive
from tests.device.updates.test_receiver import COMMAND, GOOD
from tests.support import tiny_model as tiny
from tests.support.forked_processes import (
    announced_receive,
    busy,
    context,
    dying_receive,
    header,
    plain_receive,
)

SEED = 5
N_KILLED_AT_A_STEP = 120
N_KILLED_AT_A_TIME = 74
N_KILLED_COMMANDS = 6
N_FULL_DISKS = 20
LONGEST_PUSH_SECONDS = 0.04


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Good models, some so large that they come in several pieces."""
    folder = tmp_path_factory.mktemp("models")
    contents = []
    for number in range(6):
        path = tiny.build(folder / f"{number}", metadata={"title": f"Model {number}"})
        contents.append(tiny.padded(path.read_bytes(), 100_000 * (number % 3)))
    return contents


def check_whole(store, allowed):
    """Check that the active model is a complete file and allowed; None is the bundled model."""
    active = store.active()
    assert (active.stem if active else None) in allowed
    for path in (active, store.previous()):
        assert path is None or sha256_of(path) == path.stem
    for model in store.models():
        assert sha256_of(store.path(model.digest)) == model.digest


def check_tidy(store):
    """Check that the store has no stray file."""
    strays = {
        path.name
        for path in store.directory.iterdir()
        if path.suffix != ".onnx"
        and path.name not in {".lock", ".examining", "active", "previous", "verdicts.json"}
    }
    assert strays == set()
    assert len(store.models()) <= 5


class InterruptedPushes:
    """One store, and many pushes to it that are cut off."""

    def __init__(self, folder, models):
        self.store = ModelStore(folder / "models")
        self.request = folder / "request"
        self.rng = random.Random(SEED)
        self.models = models

    @contextmanager
    def push(self, accepted=True):
        """Write a request for the block, and check the store after it."""
        before = self.store.active()
        content = self.rng.choice(self.models)
        sent = header(content, again=True)
        self.request.write_bytes(sent + content)
        digest = json.loads(sent)["sha256"]
        allowed = {before.stem if before else None} | ({digest} if accepted else set())
        if before and before.stem == digest and not accepted:
            # The active model is refused now: back to the one before.
            previous = self.store.previous()
            is_good = previous is not None and self.store.refusal(previous.stem) is None
            allowed |= {previous.stem if is_good else None}
        yield
        check_whole(self.store, allowed)
        self.store.recover()
        check_whole(self.store, allowed)
        check_tidy(self.store)

    def check_playing(self):
        """Check that the active model can be played, and that a complete push succeeds."""
        with self.push():
            plain_receive(self.store.directory, self.request, True)
        Network.open(self.store.active())


@pytest.fixture
def pushes(tmp_path, models):
    return InterruptedPushes(tmp_path, models)


def test_killed_before_any_step_on_the_disk_the_store_is_whole(pushes):
    n_steps = steps_of_a_push(pushes)
    assert n_steps > 30
    n_killed = 0
    for _ in range(N_KILLED_AT_A_STEP):
        accepted = pushes.rng.random() < 0.7
        with pushes.push(accepted):
            n_taken = context().Value("i", 0)
            last_step = pushes.rng.randrange(n_steps)
            target = (pushes.store.directory, pushes.request, accepted, n_taken, last_step)
            process = context().Process(target=dying_receive, args=target)
            process.start()
            process.join()
            n_killed += process.exitcode == -9
    assert n_killed > N_KILLED_AT_A_STEP / 2
    pushes.check_playing()


def steps_of_a_push(pushes):
    """The number of steps of the longest push: a large model, accepted, into a full store."""
    most = 0
    for _ in range(8):
        with pushes.push():
            n_taken = context().Value("i", 0)
            target = (pushes.store.directory, pushes.request, True, n_taken, 10**9)
            process = context().Process(target=dying_receive, args=target)
            process.start()
            process.join()
            assert process.exitcode == 0
            most = max(most, n_taken.value)
    return most


def test_killed_at_any_time_the_store_is_whole(pushes):
    n_killed = 0
    for _ in range(N_KILLED_AT_A_TIME):
        accepted = pushes.rng.random() < 0.7
        with pushes.push(accepted):
            began = context().Event()
            target = (pushes.store.directory, pushes.request, accepted, began)
            process = context().Process(target=announced_receive, args=target)
            process.start()
            began.wait()
            time.sleep(pushes.rng.uniform(0, LONGEST_PUSH_SECONDS))
            process.kill()
            process.join()
            n_killed += process.exitcode == -9
    assert n_killed > 0
    pushes.check_playing()


def test_the_command_itself_killed_at_any_time_leaves_the_store_whole(pushes):
    for _ in range(N_KILLED_COMMANDS):
        with pushes.push(), pushes.request.open("rb") as request:
            command = [*COMMAND, "receive", "--store", str(pushes.store.directory)]
            with subprocess.Popen(command, stdin=request, stdout=subprocess.PIPE) as receiver:
                for _ in range(pushes.rng.randrange(9)):
                    receiver.stdout.readline()
                receiver.kill()
    pushes.check_playing()


@pytest.fixture
def small_disk(tmp_path):
    """A disk of one mebibyte that can really be filled."""
    if sys.platform != "linux":
        pytest.skip("needs tmpfs")
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"needs the right to mount a small disk: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill_up(folder, n_left):
    """Leave `n_left` bytes free."""
    disk = os.statvfs(folder)
    (folder / "filler").write_bytes(bytes(max(0, disk.f_bavail * disk.f_frsize - n_left)))


def test_a_disk_that_fills_up_at_any_moment_leaves_the_store_whole(small_disk, models):
    pushes = InterruptedPushes(small_disk, models)
    pushes.store = store = ModelStore(small_disk / "models", reserve_bytes=0)
    n_full = 0
    for _ in range(N_FULL_DISKS):
        moment = pushes.rng.choice(["ready", "send", "check"])
        n_left = pushes.rng.randrange(0, 60_000)

        def send_event(event, moment=moment, n_left=n_left):
            if event["event"] == moment:
                fill_up(small_disk, n_left)

        with pushes.push(), pushes.request.open("rb") as request:
            verdict = receive(store, Sender(request.fileno()), send_event, validate=accept)
            (small_disk / "filler").unlink(missing_ok=True)
        assert verdict.accepted or verdict.exit_code == StoreFull.exit_code
        n_full += not verdict.accepted
    assert n_full > N_FULL_DISKS / 4
    pushes.check_playing()


def test_a_disk_that_is_full_for_one_call_leaves_the_store_whole(pushes, monkeypatch):
    left = [0]

    def failing(function):
        def call(*args, **options):
            left[0] -= 1
            if left[0] == 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            return function(*args, **options)

        return call

    for owner, name in ((os, "fsync"), (Path, "open"), (Path, "symlink_to")):
        monkeypatch.setattr(owner, name, failing(getattr(owner, name)))
    n_full = 0
    for _ in range(N_FULL_DISKS):
        with pushes.push(), pushes.request.open("rb") as request:
            left[0] = pushes.rng.randrange(1, 20)
            verdict = receive(
                pushes.store, Sender(request.fileno()), lambda event: None, validate=accept
            )
            left[0] = 0
        assert verdict.accepted or verdict.exit_code == StoreFull.exit_code
        n_full += not verdict.accepted
    assert n_full > N_FULL_DISKS / 4
    pushes.check_playing()


def accept(path, report):
    report("sound")
    return GOOD


def test_several_processes_at_once_leave_the_store_complete(tmp_path, models):
    directory = tmp_path / "models"
    workers = [
        context().Process(target=busy, args=(directory, seed, models, 25)) for seed in range(3)
    ]
    for worker in workers:
        worker.start()
    store = ModelStore(directory)
    while any(worker.is_alive() for worker in workers):
        active = store.active()
        # It may be removed once another one is active, and not before.
        content = active.read_bytes() if active and active.exists() else None
        assert content is None or content in models
        time.sleep(0.002)
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    store.recover()
    check_whole(store, {None, *(path.stem for path in directory.glob("*.onnx"))})
    assert list(directory.glob(".*.part")) == []
