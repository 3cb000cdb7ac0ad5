"""The library of the kernel: what is loaded, and what plays where it cannot be."""

import os
import subprocess
import sys

import pytest

from device.synthesis.griffin_lim import GriffinLim
from device.synthesis.implementation import describe_kernel, make_griffin_lim, make_tape
from device.synthesis.kernel import library
from device.synthesis.kernel.griffin_lim import CompiledGriffinLim
from device.synthesis.kernel.library import load_kernel, load_library
from device.synthesis.kernel.tape import CompiledTape
from device.synthesis.tape import Tape
from tests.support.kernel import compiled_or_skip

SIZE = {"n_fft": 1024, "hop_length": 256}


@pytest.fixture(autouse=True)
def loaded_anew():
    load_kernel.cache_clear()
    yield
    load_kernel.cache_clear()


def no_file(_path):
    pass


def no_library(path):
    path.write_text("not a library")


def other_library(path):
    source = path.with_suffix(".c")
    source.write_text("int nothing_of_ours;\n")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", path, source], check=True)


def library_of_another_version(path):
    source = path.with_suffix(".c")
    names = ("synthesis_process", "inversion_revise", "tape_process")
    functions = "".join(f"void {name}(void) {{}}\n" for name in names)
    sizes = "".join(
        f"int {name}(void) {{ return 8; }}\n" for name in ("size_of_inversion", "size_of_tape")
    )
    source.write_text(functions + sizes)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", path, source], check=True)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (no_file, "not compiled"),
        (no_library, "kernel.native.so"),
        (other_library, "synthesis_process"),
        (library_of_another_version, "of another version"),
    ],
)
def test_without_a_library_that_fits_numpy_plays_and_the_reason_is_given(
    make, reason, tmp_path, monkeypatch
):
    if make is not no_file and make is not no_library:
        compiled_or_skip()  # there is a compiler
        load_kernel.cache_clear()
    monkeypatch.setattr(library, "PATH", tmp_path / "kernel.native.so")
    make(tmp_path / "kernel.native.so")
    assert type(make_griffin_lim(**SIZE)) is GriffinLim
    assert type(make_tape(22_050, wear=0.0)) is Tape
    assert describe_kernel().startswith("numpy (")
    assert reason in describe_kernel()
    with pytest.raises(OSError, match=r"kernel\.native\.so: "):
        load_library()


def test_the_variable_chooses_numpy(monkeypatch):
    monkeypatch.setenv(library.VARIABLE, "numpy")
    assert type(make_griffin_lim(**SIZE)) is GriffinLim
    assert describe_kernel() == "numpy (SWITCHBOARD_KERNEL is numpy)"


def test_a_size_without_a_kernel_is_inverted_with_numpy():
    compiled_or_skip()
    assert type(make_griffin_lim(**SIZE)) is CompiledGriffinLim
    assert type(make_griffin_lim(n_fft=448, hop_length=64)) is GriffinLim
    assert type(make_tape(22_050, wear=0.0)) is CompiledTape


def test_it_plays_where_no_writable_memory_may_become_code(tmp_path):
    """What the unit's `MemoryDenyWriteExecute=` asks of the kernel of the system."""
    compiled_or_skip()
    program = """
import ctypes, sys
PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN = 65, 1
if ctypes.CDLL(None).prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) != 0:
    sys.exit(77)
from device.synthesis.implementation import describe_kernel
from device.cli import main
assert describe_kernel() == "compiled kernel", describe_kernel()
main(["render", "--bits", "01100101", "--seconds", "1", "--out", sys.argv[1]])
"""
    environment = {k: v for k, v in os.environ.items() if k != library.VARIABLE}
    command = [sys.executable, "-c", program, str(tmp_path / "a.wav")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode == 77:
        pytest.skip("this system's kernel does not know PR_SET_MDWE")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "a.wav").stat().st_size > 40_000
