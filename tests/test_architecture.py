"""Guards: what the box imports, what exit codes errors have, and how long a module may be."""

import ast
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import pytest

from device.cli import _EXTRA_OF

ROOT = Path(__file__).parents[1]
PACKAGES = ("device", "training", "export")
NOT_ON_THE_BOX = ("torch", "onnx", "librosa", "scipy", "soundfile", "matplotlib", *PACKAGES[1:])
MAX_LINES = 400

IMPORT_ALL = """
import pkgutil, sys
from importlib import import_module

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in sys.argv[1].split(","):
            raise ModuleNotFoundError(f"{name} is not on the box", name=name)

sys.meta_path.insert(0, Blocker())
import device
names = [module.name for module in pkgutil.walk_packages(device.__path__, "device.")]
for name in names:
    import_module(name)
print(*names)
"""


def modules(*packages):
    return [path for package in packages for path in sorted((ROOT / package).rglob("*.py"))]


def test_the_box_needs_nothing_of_the_workstation():
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", IMPORT_ALL, ",".join(NOT_ON_THE_BOX)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) >= 20


def imported(package):
    """The top-level names that the modules of a package import, wherever in the module."""
    for path in modules(package):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from (alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield node.module.partition(".")[0]


@pytest.mark.parametrize("package", ["training", "export"])
def test_an_error_names_the_extra_of_every_package_that_may_be_missing(package):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    always = {re.match(r"[\w-]+", text)[0] for text in project["dependencies"]}
    # A missing fluidsynth is explained where it is imported.
    optional = set(imported(package)) - {*sys.stdlib_module_names, *PACKAGES, "fluidsynth"} - always
    assert optional - _EXTRA_OF.keys() == set()
    for name in optional:
        extra = project["optional-dependencies"][_EXTRA_OF[name]]
        assert any(text.startswith(f"{name}>=") for text in extra), name


def test_no_module_has_more_than_400_lines():
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in modules(*PACKAGES)
    }
    assert {name: n for name, n in lengths.items() if n > MAX_LINES} == {}


@pytest.mark.parametrize(("package", "most"), [("device", 8), ("training", 6), ("export", 6)])
def test_most_modules_lie_in_a_package_that_says_what_they_do(package, most):
    assert len(list((ROOT / package).glob("*.py"))) <= most


def test_device_has_ten_packages_at_most_and_each_says_what_it_does():
    packages = [path.parent for path in (ROOT / "device").glob("*/__init__.py")]
    assert len(packages) <= 10
    for path in modules(*PACKAGES):
        if path.name == "__init__.py":
            assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), path


@dataclass(frozen=True)
class Function:
    """One function of the source: where it is, how long its body is, how much it takes."""

    path: Path
    name: str
    n_lines: int
    n_parameters: int
    is_decorated: bool


def functions():
    for path in modules(*PACKAGES):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                n_lines = body[-1].end_lineno - body[0].lineno + 1 if body else 0
                taken = node.args
                n_parameters = len(taken.posonlyargs + taken.args + taken.kwonlyargs)
                yield Function(path, node.name, n_lines, n_parameters, bool(node.decorator_list))


def test_bodies_are_short():
    lengths = sorted(function.n_lines for function in functions())
    assert median(lengths) <= 6
    assert lengths[int(0.99 * len(lengths))] <= 30


def test_no_function_takes_more_than_twelve_parameters():
    assert {f.name: f.n_parameters for f in functions() if f.n_parameters > 12} == {}


def is_called_once(function):
    """Its name is in its module in its definition and in one call; an entry of a table is none."""
    text = function.path.read_text(encoding="utf-8")
    mentions, calls = rf"\b{function.name}\b", rf"\b{function.name}\("
    return len(re.findall(mentions, text)) == len(re.findall(calls, text)) == 2


def test_few_helpers_are_called_once_and_say_no_more_than_their_code():
    helpers = [
        f"{f.path.relative_to(ROOT)}: {f.name}"
        for f in functions()
        if re.match(r"_[^_]", f.name)
        and f.n_lines <= 3
        and not f.is_decorated
        and is_called_once(f)
    ]
    assert len(helpers) <= 40, helpers


def test_text_is_printed_in_one_place_which_makes_it_visible():
    prints = {
        str(path.relative_to(ROOT))
        for path in modules(*PACKAGES)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and node.attr in ("echo", "secho")
        and isinstance(node.value, ast.Name)
        and node.value.id == "click"
    }
    assert prints == {"device/console.py"}


def errors_declared():
    """(class, bases, exit code or None) of every class that calls itself an error."""
    for path in modules(*PACKAGES):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                bases = {base.id for base in node.bases if isinstance(base, ast.Name)}
                codes = [
                    statement.value.value
                    for statement in node.body
                    if isinstance(statement, ast.Assign) and statement.targets[0].id == "exit_code"
                ]
                yield node.name, bases, codes[0] if codes else None


def test_every_cause_of_failure_has_an_exit_code_of_its_own():
    ours = [(name, code) for name, bases, code in errors_declared() if "SwitchboardError" in bases]
    codes = [code for _, code in ours]
    assert len(ours) >= 12
    assert [name for name, code in ours if code is None] == []
    assert sorted(codes) == sorted(set(codes))
    # 0 to 2 are success, the root and click's; 126 and above are the shell's and signals'.
    assert all(2 < code < 126 for code in codes)
