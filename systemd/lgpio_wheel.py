"""Build lgpio for a Python of which PyPI has no wheel of it.

    python lgpio_wheel.py ARCH FOLDER

PyPI has its source. SWIG and a C compiler for any processor (zig) come as wheels. What is built
uses Python's stable ABI: one wheel for Python 3.11 and all that follow. lg's own library is linked
statically, as it is in the wheels on PyPI.
"""

import base64
import hashlib
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import zipfile
from pathlib import Path

VERSION = "0.2.2.0"
GLIBC = "2.28"
# Names of Python 2, which SWIG's own headers defined up to SWIG 4.1.
NAMES = {
    "PyInt_FromLong": "PyLong_FromLong",
    "PyInt_AsLong": "PyLong_AsLong",
    "PyInt_Check": "PyLong_Check",
    "PyString_FromString": "PyUnicode_FromString",
}


def main(arch: str, folder: Path) -> None:
    """Put the wheel for `arch`, such as aarch64, into `folder`."""
    headers = Path(sysconfig.get_paths()["include"])
    if not (headers / "Python.h").is_file():
        sys.exit(f"{headers}: found no Python.h, expected it: sudo apt install python3-dev")
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        pip("install", "--target", str(scratch / "tools"), "swig>=4.2", "ziglang>=0.13")
        pip("download", "--no-deps", "--no-binary=:all:", "--dest", name, f"lgpio=={VERSION}")
        with tarfile.open(scratch / f"lgpio-{VERSION}.tar.gz") as archive:
            archive.extractall(scratch, filter="data")
        source = scratch / f"lgpio-{VERSION}"
        library = compiled(source, scratch / "tools", headers, arch)
        write_wheel(source, library, folder, arch)


def pip(*words: str) -> None:
    """Run pip; it ends this program where it fails."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*command, *words], check=True)


def compiled(source: Path, tools: Path, headers: Path, arch: str) -> Path:
    """The extension module, and lgpio.py beside it."""
    swig = [sys.executable, "-c", "import swig; swig.swig()", "-python", "-Isrc", "lgpio.i"]
    subprocess.run(swig, cwd=source, env={"PYTHONPATH": str(tools)}, check=True)
    with (source / "lgpio.py").open("a") as module:
        module.write((source / "lgpio_extra.py").read_text())
    zig = [sys.executable, "-m", "ziglang", "cc", "-target", f"{arch}-linux-gnu.{GLIBC}"]
    flags = ["-shared", "-fPIC", "-O2", "-s", "-w", "-pthread", "-DPy_LIMITED_API=0x030b0000"]
    flags += [f"-D{old}={new}" for old, new in NAMES.items()]
    files = [*sorted(source.glob("src/lg*.c")), source / "src/rgpiod.c", source / "lgpio_wrap.c"]
    library = source / "_lgpio.abi3.so"
    command = [
        *zig,
        *flags,
        f"-I{source / 'src'}",
        f"-I{headers}",
        *map(str, files),
        "-lrt",
        "-ldl",
    ]
    environment = {"PYTHONPATH": str(tools), "ZIG_GLOBAL_CACHE_DIR": str(source / "cache")}
    environment |= {"ZIG_LOCAL_CACHE_DIR": str(source / "cache"), "HOME": str(source)}
    subprocess.run([*command, "-o", str(library)], env=environment, check=True)
    return library


def write_wheel(source: Path, library: Path, folder: Path, arch: str) -> None:
    """The same bytes for the same contents: no times."""
    tag = f"cp311-abi3-manylinux_{GLIBC.replace('.', '_')}_{arch}"
    info = f"lgpio-{VERSION}.dist-info"
    wheel = f"Wheel-Version: 1.0\nGenerator: switchboard\nRoot-Is-Purelib: false\nTag: {tag}\n"
    files = {
        "lgpio.py": (source / "lgpio.py").read_bytes(),
        library.name: library.read_bytes(),
        f"{info}/METADATA": (source / "PKG-INFO").read_bytes(),
        f"{info}/licenses/LICENSE": (source / "LICENSE").read_bytes(),
        f"{info}/WHEEL": wheel.encode(),
    }
    record = "".join(f"{name},sha256={digest(data)},{len(data)}\n" for name, data in files.items())
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    path = folder / f"lgpio-{VERSION}-{tag}.whl"
    partial = path.with_suffix(".part")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    partial.replace(path)


def digest(data: bytes) -> str:
    """As a wheel's RECORD has it."""
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
