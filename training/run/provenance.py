"""Provenance of a run: the commit that trained it and the machine it was trained on."""

import platform
import re
import subprocess
from pathlib import Path

import torch

_ROOT = Path(__file__).parents[2]
_CPUINFO = Path("/proc/cpuinfo")


def commit(root: Path = _ROOT) -> str | None:
    """Find the commit of the code that runs, with ``-dirty`` behind it if files were changed.

    None for an installed package: a repository around it would not be ours.
    """
    if _git(root, "ls-files", "--error-unmatch", "training/run/provenance.py") is None:
        return None
    return _git(root, "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty")


def _git(root: Path, *arguments: str) -> str | None:
    # No optional locks: reading must not disturb a commit that is being made.
    command = ["git", "--no-optional-locks", "-C", str(root), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def machine(device: torch.device, cpuinfo: Path = _CPUINFO) -> str:
    """Name what computes, such as 'cuda: NVIDIA H200' or 'cpu: AMD EPYC 9654'."""
    if device.type == "cuda":
        return f"cuda: {torch.cuda.get_device_name(device)}"
    return f"{device.type}: {_processor(cpuinfo)}"


def _processor(cpuinfo: Path) -> str:
    """The name that the kernel reports; the architecture where it reports none, as on ARM."""
    try:
        named = re.search(r"^model name\s*:\s*(.+)$", cpuinfo.read_text(errors="replace"), re.M)
    except OSError:
        named = None
    return named[1].strip() if named else platform.machine()
