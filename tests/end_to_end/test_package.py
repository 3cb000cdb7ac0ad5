"""The package as it is published: from a clean copy to an sdist, a wheel, and sound."""

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import wave
import zipfile
from email.parser import BytesParser
from pathlib import Path

import numpy as np
import pytest
from trove_classifiers import classifiers

from tests.support.installed_package import (
    PROJECT,
    build,
    clean_copy,
    environment_of_its_own,
    link_dependencies,
    unpacked,
)

LEFT_OUT = (
    "corpora/mine/shard.npy",
    "runs/mine/model.pt",
    "device/model/copy.onnx.part",
    "device/synthesis/kernel/kernel.native.so",
    "tests/__pycache__/test_docs.pyc",
    "performance.wav",
)
LICENCES = ("licenses/LICENSE", "licenses/LICENSES/CC0-1.0.txt")
PUBLISHED = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    checkout = clean_copy(tmp_path_factory.mktemp("checkout"))
    for name in LEFT_OUT:
        path = checkout / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"made on this machine")
    return build(checkout, "sdist")


@pytest.fixture(scope="module")
def source(sdist, tmp_path_factory):
    return unpacked(sdist, tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def wheel(source):
    if shutil.which("cc") is None:
        pytest.skip("no C compiler")
    return build(source, "wheel")


@pytest.fixture(scope="module")
def metadata(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return BytesParser().parsebytes(archive.read(name))


def shell_blocks(heading, document="README.md"):
    """The lines of a section's shell blocks, one list per block, without comments."""
    text = (PROJECT / document).read_text(encoding="utf-8")
    section = text.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    for block in re.findall(r"^```sh\n(.*?)^```", section, re.M | re.S):
        yield [line.partition(" #")[0].rstrip() for line in block.splitlines()]


@pytest.fixture(scope="module")
def home(wheel, metadata, tmp_path_factory):
    """A folder in which the manual's commands have installed the wheel; and how to call there."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "dist").mkdir()
    shutil.copy(wheel, folder / "dist")
    (folder / "packages").mkdir()
    link_dependencies(metadata.get_all("Requires-Dist"), folder / "packages")
    variables = environment_of_its_own(folder / "packages")

    def call(*lines):
        return subprocess.run(
            ["sh", "-ec", "\n".join(lines)],
            cwd=folder,
            env=variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    blocks = shell_blocks("Start", "docs/play.md")
    install = next(lines for lines in blocks if any("pip install" in line for line in lines))
    done = call(*install)
    assert done.returncode == 0, done.stderr
    return folder, call, done


def test_the_sdist_has_what_a_build_needs_and_nothing_that_git_ignores(source):
    names = {str(path.relative_to(source)) for path in source.rglob("*") if path.is_file()}
    assert names & set(LEFT_OUT) == set()
    assert {
        *("pyproject.toml", "README.md", "LICENSE", "LICENSES/CC0-1.0.txt", "CITATION.cff"),
        *("Makefile", "constraints.txt", "SECURITY.md", "CHANGELOG.md", "systemd/install.sh"),
        *("device/synthesis/kernel/source/fft.h", "device/model/lofi.onnx", "tests/test_docs.py"),
    } <= names
    shipped = {str(path.relative_to(PROJECT)) for path in PROJECT.glob("device/**/*.py")}
    assert shipped <= names


def test_the_wheel_has_kernel_model_licences_and_types_and_no_tests(wheel, metadata):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == {
        "device",
        "training",
        "export",
    }
    assert {"device/py.typed", "training/py.typed", "export/py.typed"} <= set(names)
    assert {"device/model/lofi.onnx", "device/model/lofi.onnx.license"} <= set(names)
    assert "device/synthesis/kernel/kernel.native.so" in names
    assert all(any(name.endswith(licence) for name in names) for licence in LICENCES)
    assert metadata["License-Expression"] == "MIT AND CC0-1.0"
    extras = {"training", "export", "soundfont", "panel", "cluster", "find", "osc", "link"}
    assert set(metadata.get_all("Provides-Extra")) == extras


def test_every_classifier_is_one_that_indexes_know():
    assert set(PUBLISHED["classifiers"]) <= classifiers
    assert len(set(PUBLISHED["classifiers"])) == len(PUBLISHED["classifiers"])


def test_the_classifiers_name_the_versions_of_python_that_are_accepted():
    low, high = map(int, re.findall(r"3\.(\d+)", PUBLISHED["requires-python"]))
    named = {int(n) for c in PUBLISHED["classifiers"] for n in re.findall(r"Python :: 3\.(\d+)", c)}
    assert named == set(range(low, high))


def test_the_version_is_the_same_wherever_it_stands():
    citation = (PROJECT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(r"^cff-version: (.*)$", citation, re.M)[1] == "1.2.0"
    assert re.search(r"^version: (.*)$", citation, re.M)[1] == PUBLISHED["version"]
    changes = (PROJECT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"\n## [{PUBLISHED['version']}]" in changes


def test_the_manual_plays_from_the_wheel_where_nothing_else_is_installed(home):
    folder, call, played = home
    assert "20.0 s played" in played.stdout + played.stderr
    assert call("lofi/bin/pip check").returncode == 0
    where = call("lofi/bin/python -c 'import device; print(device.__file__)'").stdout
    assert Path(where.strip()).is_relative_to(folder / "lofi")


def test_without_switches_it_records_sound(home):
    folder, call, _ = home
    done = call("switchboard play --speaker wav:played.wav --seconds 3")
    assert done.returncode == 0, done.stderr
    with wave.open(str(folder / "played.wav")) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), np.int16) / 2**15
        assert file.getnframes() == pytest.approx(3 * file.getframerate(), rel=0.01)
    assert np.sqrt(np.mean(samples**2)) > 0.01


@pytest.mark.parametrize("script", ["switchboard", "lofi-switchboard"])
def test_both_names_of_the_command_print_the_version_and_the_compiled_kernel(home, script):
    _, call, _ = home
    printed = call(f"{script} --version").stdout
    assert printed.startswith(f"switchboard, version {PUBLISHED['version']}; ")
    assert "compiled" in printed


def documented_calls():
    sections = ("Play it", "README.md"), ("Variation and repeatability", "docs/play.md")
    for heading, document in sections:
        for block in shell_blocks(heading, document):
            yield from (line for line in block if line.startswith("switchboard "))


@pytest.mark.parametrize("line", list(documented_calls()))
def test_the_commands_of_the_documentation_do_what_they_say(home, line):
    folder, call, _ = home
    # The 256 states of a sweep, shorter.
    words = shlex.split(
        line.replace("sweep --out states --seconds 12", "sweep --out states --seconds 1")
    )
    done = call(shlex.join(words))
    assert done.returncode == 0, done.stderr
    if "--out" in words:
        assert (folder / words[words.index("--out") + 1]).exists()


def write_distribution(folder, name, package):
    """A distribution of another project, as pip leaves it."""
    (folder / package).mkdir()
    (folder / package / "__init__.py").touch()
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "RECORD").write_text(f"{package}/__init__.py,,\n{name}-1.0.dist-info/METADATA,,\n")


def test_a_distribution_with_a_package_of_the_same_name_is_named_in_one_line(home, tmp_path):
    _, call, _ = home
    write_distribution(tmp_path, "lessons", "training")
    here = f"PYTHONPATH={shlex.quote(str(tmp_path))}:$PYTHONPATH"
    findings = call(f"{here} switchboard doctor").stdout
    assert "note  package names: training also belongs to the distribution lessons\n" in findings
    failed = call(f"{here} switchboard train corpus")
    assert failed.returncode == 58
    assert failed.stderr.count("\n") == 1
    assert "package training of the distribution lessons" in failed.stderr
    assert "environment of its own" in failed.stderr
    assert call(f"{here} switchboard play --speaker wav:x.wav --seconds 1").returncode == 0


def test_the_verbs_of_the_workstation_say_which_extra_they_need(home):
    _, call, _ = home
    done = call("switchboard faceplate bundled")
    assert done.returncode == 24
    assert "pip install 'lofi-switchboard[training]'" in done.stderr
    assert sys.executable not in done.stderr
