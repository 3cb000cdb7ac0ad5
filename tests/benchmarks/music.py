"""Real music to measure with: the soundtracks of two free games, as Debian packages them.

Downloaded once into a cache and unpacked there; never installed, never committed (CC-BY-SA 3.0:
Max McCracken for Endgame: Singularity; Shawn Parrotte and Will Savino for HyperRogue).
"""

import hashlib
import io
import tarfile
import urllib.request
from pathlib import Path

import librosa
import numpy as np
from numpy.typing import NDArray

CACHE = Path.home() / ".cache" / "lofi-switchboard" / "music"
_POOL = "http://deb.debian.org/debian/pool/main/"
_PACKAGES = {
    "s/singularity-music/singularity-music_007-2_all.deb": (
        "139ba1e408eeb0a72f1fff3760ca46558b9f81bed97dc8c0efa108c4007f4845"
    ),
    "h/hyperrogue/hyperrogue-music_12.0q-1_all.deb": (
        "61ab9f4c2169442d85f42c42d26e80c1a18b93c741f3d44f1b9d83015904e7f7"
    ),
}
# Slow and fast, sparse and dense; from forty seconds on, where all instruments of a piece play.
_PIECES = ("Awakening.ogg", "Nebula.ogg", "hr3-caves.ogg", "hr-savino-ocean.ogg")
_START_SECONDS = 40.0


def excerpts(
    sample_rate: int, seconds: float, cache: Path = CACHE
) -> dict[str, NDArray[np.float32]]:
    """Mono excerpts by name, each (n_samples,).

    Raises
    ------
    OSError
        If the packages are not in the cache and cannot be downloaded.
    """
    folder = _unpacked(cache)
    files = {path.name: path for path in folder.rglob("*.ogg")}
    return {
        Path(name).stem: librosa.load(
            files[name], sr=sample_rate, mono=True, offset=_START_SECONDS, duration=seconds
        )[0].astype(np.float32)
        for name in _PIECES
    }


def _unpacked(cache: Path) -> Path:
    folder = cache / "unpacked"
    if not folder.exists():
        cache.mkdir(parents=True, exist_ok=True)
        partial = cache / "half-unpacked"
        for name, digest in _PACKAGES.items():
            _unpack(_fetched(name, digest), partial)
        partial.rename(folder)
    return folder


def _fetched(name: str, digest: str) -> bytes:
    with urllib.request.urlopen(_POOL + name, timeout=60) as response:
        package: bytes = response.read()
    actual = hashlib.sha256(package).hexdigest()
    if actual != digest:
        raise OSError(f"{_POOL + name}: found SHA-256 {actual}, expected {digest}")
    return package


def _unpack(package: bytes, folder: Path) -> None:
    """A Debian package is an ar archive; one of its members is the tar file of the contents."""
    at = len(b"!<arch>\n")
    while at < len(package):
        name, size = package[at : at + 16].decode().strip(), int(package[at + 48 : at + 58])
        at += 60
        if name.startswith("data.tar"):
            with tarfile.open(fileobj=io.BytesIO(package[at : at + size])) as contents:
                contents.extractall(folder, filter="data")
        at += size + size % 2
