"""Guards: what the box imports, what exit codes errors have, and how long a module may be."""

import ast
import subprocess
import sys
from pathlib import Path

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


def test_every_module_of_the_box_fits_into_a_head():
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in modules("device")
    }
    assert {name: n for name, n in lengths.items() if n > MAX_LINES} == {}


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
    assert prints == {"device/terminal.py"}


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
