"""Stage D: what a Raspberry Pi installs and renders, on its own processor's instructions.

The trees are only unpacked, which takes a minute; Python, pip, the installer and the instrument run
in qemu-user. There is neither systemd nor hardware: stage B has those.
"""

import json
import sys
import time
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.appliance.arm64 import arm64_programs
from tests.appliance.conftest import skip_unless_available
from tests.appliance.root_filesystem import foreign, run_in, writable_copy
from tests.appliance.shell import run
from tests.appliance.wheelhouse import wheelhouse

pytestmark = pytest.mark.bounded(1800)

TREE_SECONDS = 900
SLOW_SECONDS = 900
SWITCHBOARD = "/usr/local/bin/switchboard"
BITS = "01100101"
# Phases are estimated step by step, so that the smallest difference of rounding grows: after a
# second a Pi and a laptop may differ as two Pis of different kinds do. The beginning is the same.
SECONDS = 0.1
MOST_DIFFERENT = 0.5


@pytest.fixture(
    scope="module", params=[("bookworm", "3.11"), ("trixie", "3.13")], ids=lambda p: p[0]
)
def pi(request, needs, scratch) -> Iterator[Path]:
    """The root of a fresh system."""
    suite, python = request.param
    needs("mmdebstrap", "qemu-aarch64-static")
    with skip_unless_available(f"the root tree of {suite}"):
        tree = foreign(suite).built(timeout_seconds=TREE_SECONDS)
    with writable_copy(tree, scratch / suite) as root:
        with skip_unless_available("the wheelhouse"):
            wheelhouse("aarch64", python, root / "wheelhouse")
        with arm64_programs():
            run("sh", Path(__file__).with_name("foreign.sh"), root)
            yield root


def test_the_installer_installs(pi, measured):
    begin = time.monotonic()
    output = inside(pi, "sh", "/wheelhouse/systemd/install.sh")
    measured(f"installer in {pi.parent.name} under qemu", time.monotonic() - begin, "s")

    assert "it plays from the next boot on" in output


def test_every_package_is_there_and_the_bundled_model_computes_what_it_should(pi):
    # Opening a model replays its golden vector. Without a Pi there are no pins and cards.
    findings = {
        f["what"]: f
        for f in json.loads(inside(pi, "sh", "-c", f"{SWITCHBOARD} doctor --json || true"))
    }

    # The kernel is good where its samples are those of every other processor.
    for what in ("Python", "packages", "kernel", "PortAudio", "model"):
        assert findings[what]["verdict"] == "good", findings[what]
    assert "aarch64" in findings["Python"]["found"]


def test_a_block_renders_as_it_does_here(pi, measured, tmp_path):
    words = ("render", "--bits", BITS, "--seconds", str(SECONDS), "--out")
    inside(pi, SWITCHBOARD, *words, "/block.wav")
    run(Path(sys.executable).with_name("switchboard"), *words, tmp_path / "block.wav")

    here, on_pi = samples(tmp_path / "block.wav"), samples(pi / "block.wav")
    difference = np.abs(here - on_pi).max() / np.abs(here).max()
    measured(f"difference of a block, {pi.parent.name}", 100 * difference, "%", MOST_DIFFERENT)


def inside(pi: Path, *command: str) -> str:
    return run_in(pi, *command, timeout_seconds=SLOW_SECONDS)


def samples(path: Path) -> NDArray[np.float64]:
    with wave.open(str(path)) as wav:
        return np.frombuffer(wav.readframes(wav.getnframes()), np.int16).astype(float)
