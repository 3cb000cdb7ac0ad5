"""What the stages of the rehearsal share: a bound in time, a place for figures, reasons to skip."""

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

STAGE_SECONDS = 1200

_figures = pytest.StashKey[list[tuple[str, str]]]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "minutes(n): a test that takes longer has failed")
    config.stash[_figures] = []
