"""Real music and sounds to measure with, as Debian packages them.

Downloaded once into a cache and unpacked there; never installed, never committed. The soundtracks
of two free games (CC-BY-SA 3.0: Max McCracken for Endgame: Singularity; Shawn Parrotte and Will
Savino for HyperRogue), the loops of Sonic Pi (CC0), and two sound fonts (FluidR3, MIT; TimGM6mb,
GPL-2).
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
_SOUND_PACKAGES = {
    "s/sonic-pi/sonic-pi-samples_3.2.2~repack-8_all.deb": (
        "25f2312d2fae005e6ad0f4726b8ed3084e776006a5a132083506e960224ac79d"
    ),
    "f/fluidr3mono-gm-soundfont/fluidr3mono-gm-soundfont_2.315-7_all.deb": (
        "4098301bf29f4253c2f5799a844f42dd4aa733d91a210071ad16d7757dea51d6"
    ),
    "t/timgm6mb-soundfont/timgm6mb-soundfont_1.3-5_all.deb": (
        "034abdfb296d9353433513dad5dbdcab46425ee6008fc02fe7039b46e75edc54"
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
    folder = _unpacked(cache / "unpacked", _PACKAGES)
    files = {path.name: path for path in folder.rglob("*.ogg")}
    return {
        Path(name).stem: librosa.load(
            files[name], sr=sample_rate, mono=True, offset=_START_SECONDS, duration=seconds
        )[0].astype(np.float32)
        for name in _PIECES
    }


def sounds(cache: Path = CACHE) -> Path:
    """Folder with the loops of Sonic Pi and the sound fonts.

    Raises
    ------
    OSError
        If the packages are not in the cache and cannot be downloaded.
    """
    return _unpacked(cache / "sounds", _SOUND_PACKAGES)


def _unpacked(folder: Path, packages: dict[str, str]) -> Path:
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = folder.with_name(f"half-{folder.name}")
        for name, digest in packages.items():
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
