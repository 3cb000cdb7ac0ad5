"""Waiting for another thread or process."""

import time

LIMIT_SECONDS = 60.0


def wait_until(condition, meanwhile=lambda: None):
    """Wait until a condition holds, calling `meanwhile` between two checks."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not true after {LIMIT_SECONDS:.0f} s"
        meanwhile()
        time.sleep(0.005)
