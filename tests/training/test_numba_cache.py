"""librosa is imported wherever there is a folder for temporary files."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from training import numba_cache
from training.numba_cache import ensure_numba_cache

# What numba finds beside a library depends on who installed it: here, nothing. The function is one
# as librosa has many: without a folder for it, numba ends the import.
NO_ROOM_BESIDE = """
import sys
from pathlib import Path
import os

# As where root installed librosa and another account runs it.
may = os.access
os.access = lambda path, mode: may(path, mode) and not (mode & os.W_OK and "librosa" in str(path))
import training
from numba.core import caching
caching.InTreeCacheLocator.from_function = classmethod(lambda *_: None)
sys.path.insert(0, sys.argv[1])
import compiled
print(os.environ["NUMBA_CACHE_DIR"])
"""


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """Neither a home nor librosa's folder takes files; the folder for temporary files does."""
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/dev/null/home")
    monkeypatch.setattr(numba_cache, "_of_librosa", lambda: iter([Path("/dev/null/librosa")]))
    monkeypatch.setattr(numba_cache.tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_what_numba_compiles_is_kept_though_there_is_no_home(tmp_path):
    (tmp_path / "compiled.py").write_text(
        "import numba\n\n@numba.jit(nopython=True, cache=True)\ndef same(x):\n    return x\n"
    )
    surroundings = {**os.environ, "HOME": "/dev/null/home", "TMPDIR": str(tmp_path)}
    for name in ("XDG_CACHE_HOME", "NUMBA_CACHE_DIR"):
        surroundings.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-c", NO_ROOM_BESIDE, str(tmp_path)],
        cwd=Path(__file__).parents[2],
        env=surroundings,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).parent == tmp_path


def test_a_temporary_folder_is_ours_alone_and_lasts(nowhere):
    ensure_numba_cache()
    folder = Path(os.environ["NUMBA_CACHE_DIR"])
    assert folder.parent == nowhere
    assert folder.stat().st_mode & 0o777 == 0o700
    ensure_numba_cache()
    assert Path(os.environ["NUMBA_CACHE_DIR"]) == folder


@pytest.mark.parametrize("trap", ["link", "open to others", "file"])
def test_a_folder_that_others_may_have_made_is_not_used(nowhere, trap):
    name = nowhere / f"lofi-switchboard-numba-{os.getuid()}"
    other = nowhere / "other"
    other.mkdir()
    if trap == "link":
        name.symlink_to(other)
    elif trap == "file":
        name.touch()
    else:
        name.mkdir()
        name.chmod(0o777)
    ensure_numba_cache()
    folder = Path(os.environ["NUMBA_CACHE_DIR"])
    assert folder not in (name, other)
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_was_named_is_kept_and_one_that_takes_no_files_is_not(nowhere, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(nowhere / "named" / "not yet there"))
    ensure_numba_cache()
    assert os.environ["NUMBA_CACHE_DIR"] == str(nowhere / "named" / "not yet there")
    monkeypatch.setenv("NUMBA_CACHE_DIR", "/dev/null/named")
    ensure_numba_cache()
    assert Path(os.environ["NUMBA_CACHE_DIR"]).parent == nowhere


@pytest.mark.parametrize("kind", ["home", "beside librosa"])
def test_what_numba_finds_by_itself_is_left_to_it(nowhere, monkeypatch, kind):
    if kind == "home":
        monkeypatch.setenv("HOME", str(nowhere))
    else:
        monkeypatch.setattr(numba_cache, "_of_librosa", lambda: iter([nowhere / "__pycache__"]))
    ensure_numba_cache()
    assert "NUMBA_CACHE_DIR" not in os.environ
