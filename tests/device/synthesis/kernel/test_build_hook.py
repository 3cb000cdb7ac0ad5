"""The wheel: with a kernel for one processor where there is a compiler, pure Python without."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[4]
FOLDER = "device/synthesis/kernel"


@pytest.fixture
def checkout(tmp_path):
    """As much of a checkout as a wheel is made of, without the network."""
    folder = tmp_path / "checkout"
    shutil.copytree(
        PROJECT / FOLDER, folder / FOLDER, ignore=shutil.ignore_patterns("*.so", "__pycache__")
    )
    for package in ("device", "training", "export"):
        (folder / package).mkdir(exist_ok=True)
        (folder / package / "__init__.py").touch()
    for name in ("README.md", "LICENSE", "pyproject.toml"):
        shutil.copy(PROJECT / name, folder)
    shutil.copytree(PROJECT / "LICENSES", folder / "LICENSES")
    return folder


def built_wheel(checkout, **environment):
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", "dist"]
    subprocess.run(command, cwd=checkout, env={**os.environ, **environment}, check=True)
    (wheel,) = (checkout / "dist").glob("*.whl")
    return wheel


def libraries_in(wheel):
    return [name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".so")]


def test_with_a_compiler_the_wheel_is_for_this_processor_and_every_python(checkout):
    if shutil.which("cc") is None:
        pytest.skip("no C compiler")
    wheel = built_wheel(checkout, CC="cc")
    assert wheel.name.endswith(f"-py3-none-linux_{os.uname().machine}.whl")
    assert libraries_in(wheel) == [f"{FOLDER}/kernel.native.so"]
    assert not list(checkout.rglob("*.so"))


@pytest.mark.parametrize("compiler", ["false", "a-compiler-that-is-not-there"])
def test_without_a_compiler_the_wheel_is_pure_python(checkout, compiler):
    wheel = built_wheel(checkout, CC=compiler)
    assert wheel.name.endswith("-py3-none-any.whl")
    assert libraries_in(wheel) == []


def test_another_processor_than_the_two_is_refused(checkout):
    with pytest.raises(subprocess.CalledProcessError):
        built_wheel(checkout, SWITCHBOARD_TARGET="mips")
