"""librosa can be imported wherever there is a temporary folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from training import numba_cache
from training.numba_cache import ensure_numba_cache

# Which folders numba finds beside a library depends on the installing account: here, none. librosa
# has many such functions: without a cache folder, numba ends the import.
NO_FOLDER_BESIDE = """
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
def temporary(tmp_path, monkeypatch):
    """Neither a home nor librosa's folder is writable; the temporary folder is."""
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/dev/null/home")
    monkeypatch.setattr(numba_cache, "_librosa_caches", lambda: iter([Path("/dev/null/librosa")]))
    monkeypatch.setattr(numba_cache.tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_compiled_code_is_cached_without_a_home(tmp_path):
    (tmp_path / "compiled.py").write_text(
        "import numba\n\n@numba.jit(nopython=True, cache=True)\ndef same(x):\n    return x\n"
    )
    environment = {**os.environ, "HOME": "/dev/null/home", "TMPDIR": str(tmp_path)}
    for name in ("XDG_CACHE_HOME", "NUMBA_CACHE_DIR"):
        environment.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-c", NO_FOLDER_BESIDE, str(tmp_path)],
        cwd=Path(__file__).parents[2],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).parent == tmp_path


def test_a_temporary_folder_is_ours_alone_and_lasts(temporary):
    ensure_numba_cache()
    folder = Path(os.environ["NUMBA_CACHE_DIR"])
    assert folder.parent == temporary
    assert folder.stat().st_mode & 0o777 == 0o700
    ensure_numba_cache()
    assert Path(os.environ["NUMBA_CACHE_DIR"]) == folder


@pytest.mark.parametrize("trap", ["link", "open to others", "file"])
def test_a_folder_that_other_accounts_may_have_made_is_not_used(temporary, trap):
    name = temporary / f"lofi-switchboard-numba-{os.getuid()}"
    other = temporary / "other"
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


def test_a_named_folder_is_used_if_it_is_writable(temporary, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(temporary / "named" / "not yet there"))
    ensure_numba_cache()
    assert os.environ["NUMBA_CACHE_DIR"] == str(temporary / "named" / "not yet there")
    monkeypatch.setenv("NUMBA_CACHE_DIR", "/dev/null/named")
    ensure_numba_cache()
    assert Path(os.environ["NUMBA_CACHE_DIR"]).parent == temporary


@pytest.mark.parametrize("kind", ["home", "beside librosa"])
def test_numba_uses_its_own_folder_where_it_has_one(temporary, monkeypatch, kind):
    if kind == "home":
        monkeypatch.setenv("HOME", str(temporary))
    else:
        monkeypatch.setattr(
            numba_cache, "_librosa_caches", lambda: iter([temporary / "__pycache__"])
        )
    ensure_numba_cache()
    assert "NUMBA_CACHE_DIR" not in os.environ
