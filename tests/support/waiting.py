"""Waiting for another thread or process."""

import time

LIMIT_SECONDS = 60.0


def wait_until(condition, meanwhile=lambda: None, limit_seconds=LIMIT_SECONDS):
    """Wait until a condition holds, calling `meanwhile` between two checks."""
    deadline = time.monotonic() + limit_seconds
    while not condition():
        assert time.monotonic() < deadline, f"not true after {limit_seconds:.0f} s"
        meanwhile()
        time.sleep(0.005)
