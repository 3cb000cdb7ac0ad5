"""The lines of a sender, and processes that start in milliseconds, to be killed by the hundred.

They are forked from a server that has imported everything and opened no file.
"""

import hashlib
import io
import json
import multiprocessing
import os
import random
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from device.cli import main
from device.errors import ModelRefused, StoreError
from device.model.network import Network
from device.store.store import ModelStore
from device.store.upload import Upload
from device.updates.receiver import Sender, receive
from device.updates.validation import ValidationResult, validate
from device.updates.validation_worker import ResourceLimits, answer, bind

# pytest because a child imports what its parent was started with.
_PRELOADED = [
    "pytest",
    "device.model.network",
    "device.updates.runtime_checks",
    "device.system.termination",
    "device.playback.instrument",
    "device.playback.model_selection",
    "device.playback.model_switcher",
    "device.audio.measurement",
    "device.commands.bench",
    "device.commands.play",
    "device.commands.render",
    "device.commands.sweep",
    "rich.progress",
    "tests.support.forked_processes",
]


def context() -> Any:
    """The context to start processes from."""
    fork_server = multiprocessing.get_context("forkserver")
    fork_server.set_forkserver_preload(_PRELOADED)
    return fork_server


def run_switchboard(*arguments: object) -> None:
    """Run a command in a forked process; it has to end with 0."""
    process = context().Process(target=_command, args=([str(a) for a in arguments],))
    process.start()
    process.join()
    assert process.exitcode == 0, arguments


def header(content: bytes, **changes: Any) -> bytes:
    """The header that a sender writes before this content."""
    announced = {"sha256": hashlib.sha256(content).hexdigest(), "n_bytes": len(content)}
    return json.dumps({**announced, "again": False, **changes}).encode() + b"\n"


class ForkedChild:
    """`device.updates.validation.Child` that is forked instead of started."""

    def __init__(self, path: Path, limits: ResourceLimits) -> None:
        receiver, sender = context().Pipe(duplex=False)
        self._process = context().Process(target=_validate_in_child, args=(sender, path, limits))
        self._process.start()
        sender.close()
        self.stdout = io.FileIO(os.dup(receiver.fileno()))
        receiver.close()

    def kill(self) -> None:
        self._process.kill()

    def wait(self) -> int:
        self._process.join()
        status = self._process.exitcode
        self._process.close()
        return status


def validate_in_fork(path: Path, report: Any = lambda check: None) -> ValidationResult:
    """`device.updates.validation.validate`, with its limits, in a tenth of the time."""
    return validate(path, report=report, start=ForkedChild)


def run_command(folder: Path, args: list[str], marker: Any) -> None:
    """Run a command of the device in a folder, where the file ``said`` takes what it prints.

    Parameters
    ----------
    marker : multiprocessing.Event
        Set when a network is asked for many frames.
    """
    os.chdir(folder)
    sys.stdout = sys.stderr = Path("output.txt").open("w", encoding="utf-8")  # noqa: SIM115
    compute = Network.render

    def marked(self: Network, score: Any, position: Any) -> Any:
        if len(position) > 40:
            marker.set()
        return compute(self, score, position)

    Network.render = marked  # type: ignore[method-assign]
    sys.exit(main(args))


def _validate_in_child(sender: Any, path: Path, limits: ResourceLimits) -> None:
    bind(limits)
    answer(path, limits, lambda line: _write(sender.fileno(), line))


def _write(descriptor: int, line: dict[str, Any]) -> None:
    os.write(descriptor, (json.dumps(line) + "\n").encode())


# The steps on a disk. An audit hook reports changes of names; the rest is wrapped below.
_STEPS = {"open", "os.rename", "os.remove", "os.symlink", "os.mkdir"}


def dying_receive(
    directory: Path, request: Path, accepted: bool, n_steps: Any, last_step: int
) -> None:
    """Receive a model, counting the steps in `n_steps`, and be killed after `last_step`.

    Only these steps change the disk, so a kill between any two of them covers every moment.
    """

    def step() -> None:
        n_steps.value += 1
        if n_steps.value > last_step:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(lambda event, _args: step() if event in _STEPS else None)
    os.fsync = _after(step, os.fsync)
    Upload.write = _after(step, Upload.write)
    plain_receive(directory, request, accepted)


def announced_receive(directory: Path, request: Path, accepted: bool, began: Any) -> None:
    """Receive a model, and set an event when it begins."""
    began.set()
    plain_receive(directory, request, accepted)


def plain_receive(directory: Path, request: Path, accepted: bool) -> None:
    """Receive a model that is accepted or refused without validation."""
    verdict = ValidationResult(
        accepted, 0.0, "" if accepted else "sound", "", 0 if accepted else 34
    )
    with request.open("rb") as source:
        receive(
            ModelStore(directory),
            Sender(source.fileno()),
            lambda event: None,
            validate=lambda path, report: verdict,
        )


def _after(first: Any, then: Any) -> Any:
    def both(*args: Any) -> Any:
        first()
        return then(*args)

    return both


def busy(directory: Path, seed: int, contents: list[bytes], n_turns: int) -> None:
    """Add, activate, go back, roll back and remove at random, like several programs at once."""
    rng = random.Random(seed)
    store = ModelStore(directory, keep=3)
    for _ in range(n_turns):
        with suppress(StoreError, ModelRefused):
            digest = store.add(io.BytesIO(rng.choice(contents)))
            rng.choice(
                [
                    lambda: store.activate(digest),  # noqa: B023
                    lambda: store.activate(None),
                    lambda: store.roll_back("it hums"),
                    lambda: store.accept(digest),  # noqa: B023
                    lambda: store.remove(digest),  # noqa: B023
                    store.record_start_attempt,
                    store.recover,
                ]
            )()


def _command(arguments: list[str]) -> None:
    sys.exit(main(arguments))
