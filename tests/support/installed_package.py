"""A clean copy of the checkout, what hatchling builds of it, and its dependencies alone."""

import os
import shutil
import subprocess
import sys
import tarfile
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement

PROJECT = Path(__file__).parents[2]
PARTS = ("device", "training", "export", "systemd", "tests", "docs", "LICENSES")
NAMED = ("LICENSE", "Makefile", ".gitignore")
IGNORED = shutil.ignore_patterns("__pycache__", "*.so", "*.part", ".lgd-nfy*")


def clean_copy(folder):
    """What a clone contains, without git."""
    for name in PARTS:
        shutil.copytree(PROJECT / name, folder / name, ignore=IGNORED)
    for path in PROJECT.iterdir():
        if path.is_file() and (
            path.suffix in (".md", ".toml", ".txt", ".cff") or path.name in NAMED
        ):
            shutil.copy(path, folder)
    return folder


def build(source, target):
    """The one file that hatchling builds of a folder, as `python -m build` does."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", "dist"]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    (built,) = (source / "dist").glob("*.tar.gz" if target == "sdist" else "*.whl")
    return built


def unpacked(sdist, folder):
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (source,) = folder.iterdir()
    return source


def link_dependencies(requirements, folder):
    """Link the installed packages that a distribution requires, and theirs, into a folder."""
    waiting, linked = [(text, "") for text in requirements], set()
    while waiting:
        text, extra = waiting.pop()
        needed = Requirement(text)
        if (
            needed.marker and not needed.marker.evaluate({"extra": extra})
        ) or needed.name in linked:
            continue
        linked.add(needed.name)
        found = distribution(needed.name)
        for name in {file.parts[0] for file in found.files or ()} - {"..", "__pycache__"}:
            if not (folder / name).exists():
                (folder / name).symlink_to(found.locate_file(name))
        for more in found.requires or ():
            waiting += [(more, name) for name in ("", *needed.extras)]
    return folder


def environment_of_its_own(dependencies):
    """Variables for a shell whose pip has no network and whose Python sees these packages alone."""
    kept = {name: os.environ[name] for name in ("LANG", "TMPDIR") if name in os.environ}
    return {
        **kept,
        "HOME": str(dependencies.parent),
        "PATH": f"lofi/bin:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(dependencies),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_DEPS": "1",
        "PIP_NO_INDEX": "1",
    }
