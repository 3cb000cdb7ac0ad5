"""Compiles the kernel when the package is built or installed; hatchling calls it.

``SWITCHBOARD_TARGET``, x86_64 or aarch64, compiles for that processor with ziglang; without it,
this machine's compiler compiles for this machine. The library contains no Python, so one wheel per
processor serves every version of Python. Without a compiler the wheel is pure Python, and the
instrument plays with numpy.
"""

import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOLDER = "device/synthesis/kernel"  # of the library
SOURCES = ("fft.c", "inversion.c", "tape.c", "synthesis.c")
LIBRARY = "kernel.native.so"
# No fused multiply-add and no reordered sums: the samples are the same on every processor.
FLAGS = (
    *("-O3", "-std=c11", "-fPIC", "-shared", "-s"),
    *("-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"),
)
# glibc 2.17 is what manylinux2014 stands for; the oldest 64-bit Pi has a Cortex-A53.
GLIBC = "2.17"
PROCESSORS = {"aarch64": ("-mcpu=cortex_a53",), "x86_64": ()}


class KernelBuildHook(BuildHookInterface[Any]):
    """Adds the compiled library to a wheel, or to the checkout of an editable installation."""

    def dependencies(self) -> list[str]:
        """What a build for another processor needs."""
        return ["ziglang>=0.13"] if _target() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and name the wheel after the processor."""
        folder = Path(self.root, FOLDER)
        self._scratch = tempfile.mkdtemp(prefix="switchboard-kernel-")
        is_editable = version == "editable"
        library = (folder if is_editable else Path(self._scratch)) / LIBRARY
        if not compile_kernel(library, _target()):
            self.app.display_warning("no C compiler: the instrument will play with numpy alone")
            return
        if is_editable:
            return
        build_data["force_include"][str(library)] = f"{FOLDER}/{LIBRARY}"
        build_data["pure_python"] = False
        own = f"linux_{platform.machine()}"
        build_data["tag"] = f"py3-none-{f'manylinux_2_17_{_target()}' if _target() else own}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what was compiled for the wheel."""
        del version, build_data, artifact_path
        shutil.rmtree(self._scratch, ignore_errors=True)


def compile_kernel(library: Path, target: str = "") -> bool:
    """Compile the sources beside this file into a library; whether that was possible.

    Parameters
    ----------
    target : str
        One of `PROCESSORS`; empty for this machine, where a compiler that fails is as good as none.
    """
    partial = library.with_name(f".{LIBRARY}.{os.getpid()}")
    files = [str(Path(__file__).with_name(name)) for name in SOURCES]
    try:
        command = [*_compiler(target), *FLAGS, "-o", str(partial), *files, "-lm"]
        subprocess.run(command, check=True)
        # Not written over: a process that plays has the old one mapped.
        partial.replace(library)
    except (OSError, subprocess.CalledProcessError):
        partial.unlink(missing_ok=True)
        if target:
            raise
        library.unlink(missing_ok=True)
        return False
    return True


def _target() -> str:
    target = os.environ.get("SWITCHBOARD_TARGET", "")
    if target and target not in PROCESSORS:
        raise ValueError(
            f"SWITCHBOARD_TARGET: found {target!r}, expected {' or '.join(PROCESSORS)}"
        )
    return target


def _compiler(target: str) -> list[str]:
    if target:
        zig = [sys.executable, "-m", "ziglang", "cc", "-target", f"{target}-linux-gnu.{GLIBC}"]
        return [*zig, *PROCESSORS[target]]
    return shlex.split(os.environ.get("CC") or "cc")
