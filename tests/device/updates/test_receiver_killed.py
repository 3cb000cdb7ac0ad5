"""A box whose plug is pulled, whose disk is full, that is told two things at once: always whole."""

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
    """Whatever plays is a whole file and one of these; None is the bundled model."""
    active = store.active()
    assert (active.stem if active else None) in allowed
    for path in (active, store.previous()):
        assert path is None or sha256_of(path) == path.stem
    for model in store.models():
        assert sha256_of(store.path(model.digest)) == model.digest


def check_tidy(store):
    """Nothing is left that is not part of a store."""
    strays = {
        path.name
        for path in store.directory.iterdir()
        if path.suffix != ".onnx"
        and path.name not in {".lock", ".examining", "active", "previous", "verdicts.json"}
    }
    assert strays == set()
    assert len(store.models()) <= 5


class Rehearsal:
    """One store that is pushed to again and again, and every push is cut off."""

    def __init__(self, folder, models):
        self.store = ModelStore(folder / "models")
        self.request = folder / "request"
        self.rng = random.Random(SEED)
        self.models = models

    @contextmanager
    def push(self, accepted=True):
        """Write a request, and check the store after whatever is done with it inside."""
        before = self.store.active()
        content = self.rng.choice(self.models)
        sent = header(content, again=True)
        self.request.write_bytes(sent + content)
        digest = json.loads(sent)["sha256"]
        allowed = {before.stem if before else None} | ({digest} if accepted else set())
        if before and before.stem == digest and not accepted:
            # It plays and does not pass any more: back to the one before.
            previous = self.store.previous()
            is_good = previous is not None and self.store.refusal(previous.stem) is None
            allowed |= {previous.stem if is_good else None}
        yield
        check_whole(self.store, allowed)
        self.store.recover()
        check_whole(self.store, allowed)
        check_tidy(self.store)

    def check_playing(self):
        """What is active can be played, and a push that nobody cuts off succeeds."""
        with self.push():
            plain_receive(self.store.directory, self.request, True)
        Network.open(self.store.active())


@pytest.fixture
def rehearsal(tmp_path, models):
    return Rehearsal(tmp_path, models)


def test_killed_before_any_step_on_the_disk_the_store_is_whole(rehearsal):
    n_steps = steps_of_a_push(rehearsal)
    assert n_steps > 30
    n_killed = 0
    for _ in range(N_KILLED_AT_A_STEP):
        accepted = rehearsal.rng.random() < 0.7
        with rehearsal.push(accepted):
            taken = context().Value("i", 0)
            last_step = rehearsal.rng.randrange(n_steps)
            target = (rehearsal.store.directory, rehearsal.request, accepted, taken, last_step)
            process = context().Process(target=dying_receive, args=target)
            process.start()
            process.join()
            n_killed += process.exitcode == -9
    assert n_killed > N_KILLED_AT_A_STEP / 2
    rehearsal.check_playing()


def steps_of_a_push(rehearsal):
    """Of the longest kind: a large model, accepted, when the store is full."""
    most = 0
    for _ in range(8):
        with rehearsal.push():
            taken = context().Value("i", 0)
            target = (rehearsal.store.directory, rehearsal.request, True, taken, 10**9)
            process = context().Process(target=dying_receive, args=target)
            process.start()
            process.join()
            assert process.exitcode == 0
            most = max(most, taken.value)
    return most


def test_killed_at_any_time_the_store_is_whole(rehearsal):
    n_killed = 0
    for _ in range(N_KILLED_AT_A_TIME):
        accepted = rehearsal.rng.random() < 0.7
        with rehearsal.push(accepted):
            began = context().Event()
            target = (rehearsal.store.directory, rehearsal.request, accepted, began)
            process = context().Process(target=announced_receive, args=target)
            process.start()
            began.wait()
            time.sleep(rehearsal.rng.uniform(0, LONGEST_PUSH_SECONDS))
            process.kill()
            process.join()
            n_killed += process.exitcode == -9
    assert n_killed > 0
    rehearsal.check_playing()


def test_the_command_itself_killed_at_any_time_leaves_the_store_whole(rehearsal):
    for _ in range(N_KILLED_COMMANDS):
        with rehearsal.push(), rehearsal.request.open("rb") as request:
            command = [*COMMAND, "receive", "--store", str(rehearsal.store.directory)]
            with subprocess.Popen(command, stdin=request, stdout=subprocess.PIPE) as box:
                for _ in range(rehearsal.rng.randrange(9)):
                    box.stdout.readline()
                box.kill()
    rehearsal.check_playing()


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
    """Leave so many bytes free."""
    disk = os.statvfs(folder)
    (folder / "filler").write_bytes(bytes(max(0, disk.f_bavail * disk.f_frsize - n_left)))


def test_a_disk_that_fills_up_at_any_moment_leaves_the_store_whole(small_disk, models):
    rehearsal = Rehearsal(small_disk, models)
    rehearsal.store = store = ModelStore(small_disk / "models", reserve_bytes=0)
    n_full = 0
    for _ in range(N_FULL_DISKS):
        moment = rehearsal.rng.choice(["ready", "send", "check"])
        n_left = rehearsal.rng.randrange(0, 60_000)

        def say(event, moment=moment, n_left=n_left):
            if event["event"] == moment:
                fill_up(small_disk, n_left)

        with rehearsal.push(), rehearsal.request.open("rb") as request:
            verdict = receive(store, Sender(request.fileno()), say, validate=checked)
            (small_disk / "filler").unlink(missing_ok=True)
        assert verdict.accepted or verdict.exit_code == StoreFull.exit_code
        n_full += not verdict.accepted
    assert n_full > N_FULL_DISKS / 4
    rehearsal.check_playing()


def test_a_disk_that_is_full_for_one_call_leaves_the_store_whole(rehearsal, monkeypatch):
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
        with rehearsal.push(), rehearsal.request.open("rb") as request:
            left[0] = rehearsal.rng.randrange(1, 20)
            verdict = receive(
                rehearsal.store, Sender(request.fileno()), lambda event: None, validate=checked
            )
            left[0] = 0
        assert verdict.accepted or verdict.exit_code == StoreFull.exit_code
        n_full += not verdict.accepted
    assert n_full > N_FULL_DISKS / 4
    rehearsal.check_playing()


def checked(path, report):
    report("sound")
    return GOOD


def test_several_programs_at_once_never_leave_anything_half_done(tmp_path, models):
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
