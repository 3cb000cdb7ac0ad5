"""Real-time priority and locked memory of the audio loop."""

import os
import resource
import subprocess
import sys
import threading
from dataclasses import replace

import pytest

from device.system.realtime import (
    LOOP_PRIORITY,
    RealtimeGuard,
    limit_free_memory,
    lock_memory,
    release_code,
    set_realtime_priority,
    trim_memory,
)
from tests.support.instrument_state import snapshot

STATE = snapshot(n_late=1)


def test_the_loop_requests_real_time_priority_and_continues_without_it(monkeypatch):
    messages, requests = [], []
    monkeypatch.setattr(os, "sched_setscheduler", lambda *arguments: requests.append(arguments))
    set_realtime_priority(messages.append)
    assert messages == []
    thread, policy, _ = requests[0]
    assert thread == 0
    assert policy & os.SCHED_RESET_ON_FORK

    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    set_realtime_priority(messages.append)
    assert "LimitRTPRIO=20" in messages[0]


def test_only_the_thread_that_requests_it_gets_real_time_priority():
    def refused():
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(LOOP_PRIORITY))
        except OSError:
            return True
        return False

    policies, messages = {}, []

    def helper():
        policies["helper"] = os.sched_getscheduler(0)

    def loop():
        if refused():
            return
        set_realtime_priority(messages.append)
        policies["loop"] = os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK
        thread = threading.Thread(target=helper)
        thread.start()
        thread.join()

    thread = threading.Thread(target=loop)
    thread.start()
    thread.join()
    if not policies:
        pytest.skip("this machine does not allow real-time priority")
    assert policies == {"loop": os.SCHED_FIFO, "helper": os.SCHED_OTHER}
    assert messages == []


@pytest.mark.parametrize(
    ("late_of_ten", "gives_back"), [(10, True), (6, True), (5, False), (0, False)]
)
def test_a_loop_that_is_always_late_gives_up_real_time_priority(
    monkeypatch, late_of_ten, gives_back
):
    messages, policies = [], [os.SCHED_FIFO | os.SCHED_RESET_ON_FORK]
    monkeypatch.setattr(os, "sched_getscheduler", lambda _: policies[-1])
    monkeypatch.setattr(os, "sched_setscheduler", lambda _, policy, __: policies.append(policy))
    guard, n_late = RealtimeGuard(messages.append, n_blocks=10), 0
    for block in range(50):
        n_late += block % 10 < late_of_ten
        guard(replace(STATE, n_late=n_late))
    assert (policies[-1] == os.SCHED_OTHER) == gives_back
    assert len(messages) == gives_back


def test_memory_is_locked_only_where_that_cannot_make_later_allocations_fail(monkeypatch):
    messages = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (65536, 65536))
    lock_memory(messages.append)
    assert "LimitMEMLOCK=infinity" in messages[0]


def test_free_memory_is_given_back_once_and_without_glibc_not_at_all(monkeypatch):
    calls = []
    library = type("Library", (), {"malloc_trim": calls.append})()
    monkeypatch.setattr("device.system.realtime.ctypes.CDLL", lambda _name: library)
    trim_memory()
    assert len(calls) == 1
    monkeypatch.setattr("device.system.realtime.ctypes.CDLL", lambda _name: object())
    trim_memory()
    limit_free_memory()


_CODE = """
import numpy, onnxruntime, rich.console
from pathlib import Path
from device.system.realtime import release_code

def code_kb():
    total, is_code = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        fields = line.split()
        if not fields[0].endswith(":"):
            is_code = fields[1] == "r-xp" and "/" in line
        elif fields[0] == "Rss:":
            total += is_code * int(fields[1])
    return total

before = code_kb()
release_code()
after = code_kb()
assert numpy.ones(9).sum() == 9
print(before, after)
"""


def test_code_that_served_the_start_leaves_memory_and_what_is_used_again_comes_back():
    program = [sys.executable, "-c", _CODE]
    done = subprocess.run(program, capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert 0 < after < before / 2


def test_without_linux_code_stays(monkeypatch, tmp_path):
    monkeypatch.setattr("device.system.realtime._MAPS", tmp_path / "none")
    release_code()


_TAKEOVERS = """
import threading
from device.model.bundled import BUNDLED_MODEL
from device.model.network import Network
from device.playback.statistics import resident_mb
from device.system.realtime import limit_free_memory

limit_free_memory()
networks, figures = [Network.open(BUNDLED_MODEL)], []
for _ in range(5):
    opening = threading.Thread(target=lambda: networks.append(Network.open(BUNDLED_MODEL)))
    opening.start()
    opening.join()
    del networks[0]
    figures.append(resident_mb())
print(figures[-1] - figures[0])
"""


def test_models_that_have_been_replaced_leave_no_memory_of_their_size_behind():
    program = [sys.executable, "-c", _TAKEOVERS]
    done = subprocess.run(program, capture_output=True, text=True, check=True)
    # Each has 11 MB of tensors.
    assert float(done.stdout) < 11
