"""Helper threads: one that ended is started again, and the registry has its faults."""

import ast
import json
import threading
import time
from pathlib import Path

import pytest

from device.audio.speaker import SilentSpeaker
from device.playback.instrument import Instrument
from device.switches.base import FixedSwitches
from device.synthesis.performance import Performance
from device.system.threads import THREADS, SupervisedThread, ThreadMonitor, ThreadRegistry
from device.ui.status_file import StatusFile
from device.ui.systemd import Heartbeat
from tests.support.faulty_calls import RaisingCall
from tests.support.instrument_state import snapshot
from tests.support.waiting import wait_until

DEVICE = Path(__file__).parents[3] / "device"
OFF = (False, False, False)


def test_every_thread_of_the_device_is_a_supervised_thread():
    threads = {
        path.name
        for path in DEVICE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("threading.Thread", "Thread")
    }
    # termination.py starts one when the process is about to be ended by force.
    assert threads == {"threads.py", "termination.py"}
    names = {
        node.args[0].value
        for path in DEVICE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "SupervisedThread"
    }
    assert names == {
        "loader",
        "scores",
        "frames",
        "status",
        "leds",
        "display",
        "messages",
        "performance log",
        "keep",
        "signals",
        "midi",
        "clock",
        "knobs",
        "expanders",
        "control",
        "day clock",
    }


def test_a_fault_is_reported_once_and_an_ended_helper_is_started_again():
    registry, messages, clock = ThreadRegistry(), [], [0.0]
    errors = [OSError("broken"), OSError("broken")]

    def step():
        if errors:
            raise errors.pop()
        time.sleep(0.001)

    monitor = ThreadMonitor(messages.append, registry=registry, clock=lambda: clock[0])

    def check():
        clock[0] += 1.0
        monitor(snapshot())

    with SupervisedThread("sums", step, registry=registry):
        wait_until(lambda: messages, check)
        wait_until(lambda: not errors, check)
        errors.append(SystemExit(3))
        wait_until(lambda: len(messages) == 2, check)
    assert messages == [
        "helper 'sums': found OSError: broken; it goes on",
        "helper 'sums' had ended (SystemExit: 3) and is started again",
    ]
    fault = registry.faults["sums"]
    assert (fault.n_faults, fault.n_restarts) == (2, 1)


def test_a_helper_that_was_closed_is_not_started_again():
    registry = ThreadRegistry()
    helper = SupervisedThread("sums", lambda: time.sleep(0.001), registry=registry)
    helper.close()
    registry.restart_ended()
    helper.restart()
    assert not helper.is_alive
    helper.close()


def test_a_helper_that_cannot_be_started_now_is_started_later(monkeypatch):
    registry, exceptions = ThreadRegistry(), [SystemExit()]

    def step():
        if exceptions:
            raise exceptions.pop()
        time.sleep(0.001)

    def no_room(_thread):
        raise RuntimeError("can't start new thread")

    with SupervisedThread("sums", step, registry=registry) as helper:
        wait_until(lambda: not helper.is_alive, lambda: None)
        with monkeypatch.context() as full:
            full.setattr(threading.Thread, "start", no_room)
            registry.restart_ended()
        assert not helper.is_alive
        registry.restart_ended()
        assert helper.is_alive
    assert registry.faults["sums"].n_restarts == 1


def test_the_status_names_the_helper_that_had_a_fault(tmp_path, monkeypatch):
    monkeypatch.setattr("device.ui.status_file.WRITE_SECONDS", 0.01)
    registry, path = ThreadRegistry(), tmp_path / "status.json"
    registry.record_fault("loader", OSError("broken"))
    with StatusFile(
        path, origin=str, last_refusal=lambda: None, degrees=lambda: None, registry=registry
    ) as file:
        file(snapshot())
        wait_until(path.exists)
        status = json.loads(path.read_text(encoding="utf-8"))
    assert status["helpers"] == {
        "loader": {"n_faults": 1, "n_restarts": 0, "latest": "OSError: broken"}
    }


def test_a_listener_that_raises_ends_neither_the_music_nor_the_other_listeners(network):
    states, before = [], THREADS.faults.get("listener RaisingCall")
    with Instrument(
        network,
        FixedSwitches(OFF),
        SilentSpeaker(22050, sleep=lambda _: None),
        Performance(),
        ahead=False,
        listeners=[RaisingCall(KeyError("mine"), n_times=-1), states.append],
    ) as instrument:
        report = instrument.play(1.0)
    assert report.seconds == 1.0
    assert len(states) > 10
    assert before is None
    assert THREADS.faults["listener RaisingCall"].n_faults == len(states)


def test_the_watchdog_is_notified_even_if_the_status_line_fails():
    class SystemdNotifier:
        lines = ()

        def notify(self, *lines):
            self.lines = lines

    manager = SystemdNotifier()
    with pytest.raises(UnicodeError):
        Heartbeat(manager, RaisingCall(UnicodeError("a lone surrogate")))(snapshot())
    assert manager.lines == ("READY=1", "WATCHDOG=1")
