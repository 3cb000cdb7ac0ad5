"""The compiled kernel, where there is one."""

import pytest

from device.synthesis.kernel.library import load_kernel


def compiled_or_skip():
    """The library; without one the test is skipped."""
    kernel = load_kernel()
    if kernel.library is None:
        pytest.skip(f"no compiled kernel: {kernel.reason}")
    return kernel.library
