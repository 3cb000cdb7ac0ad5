"""A helper thread whose step does not return is recorded: it cannot be ended."""

import threading
import time

from device.system.threads import SupervisedThread, ThreadMonitor, ThreadRegistry
from tests.support.waiting import wait_until


def blocked(registry, unblocked, stall_seconds):
    """A helper that is in a step which waits for `unblocked`."""
    started = threading.Event()

    def step():
        started.set()
        unblocked.wait()

    helper = SupervisedThread("loader", step, stall_seconds=stall_seconds, registry=registry)
    started.wait()
    return helper


def test_a_step_that_does_not_return_is_reported_once():
    registry, unblocked, lines = ThreadRegistry(), threading.Event(), []
    clock = iter(time.monotonic() + 10.0 * i for i in range(100))
    with blocked(registry, unblocked, stall_seconds=35.0) as helper:
        monitor = ThreadMonitor(lines.append, registry=registry, clock=lambda: next(clock))
        for _ in range(20):
            monitor(None)
        assert helper.is_alive
        unblocked.set()
    assert len(lines) == 1
    assert "'loader'" in lines[0]
    assert "has not returned for 40 s" in lines[0] or "has not returned for 39 s" in lines[0]
    assert registry.faults["loader"].n_faults == 1


def test_each_step_that_does_not_return_is_recorded():
    registry, unblocked = ThreadRegistry(), threading.Event()
    with blocked(registry, unblocked, stall_seconds=0.0):
        registry.record_stalled(time.monotonic() + 1.0)
        unblocked.set()
        wait_until(lambda: registry.faults["loader"].n_faults == 1)

        def recorded_again():
            registry.record_stalled(time.monotonic() + 1.0)
            return registry.faults["loader"].n_faults > 1

        wait_until(recorded_again)


def test_a_step_that_may_wait_without_end_is_never_recorded():
    registry, unblocked = ThreadRegistry(), threading.Event()
    with blocked(registry, unblocked, stall_seconds=float("inf")):
        registry.record_stalled(time.monotonic() + 1e9)
        unblocked.set()
    assert registry.faults == {}
