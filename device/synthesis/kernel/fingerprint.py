"""A fingerprint of the compiled inversion: the same on every processor."""

import ctypes
import hashlib

import numpy as np
from numpy.typing import NDArray

from device.synthesis.griffin_lim import Frames
from device.synthesis.kernel.griffin_lim import CompiledGriffinLim

N_HOPS = 200
_REVISED_EVERY = 15
# SHA-256 of the samples by window length, hop length, window, guided bins, and whether frames are
# projected in turn; computed on x86-64, and the same on aarch64.
EXPECTED = {
    (1024, 256, "hann", 0, False): (
        "e4b2cfd35fc3806129d35e7ad9cc01581ee6068bc05f8378b2c3b9b80210f2bb"
    ),
    (720, 180, "hann", 0, False): (
        "658f78ea9f3c260a6129e894906b7802f7178e92dcc2b6487a550c56b46702ba"
    ),
    (768, 128, "asymmetric", 0, False): (
        "d590d30726e4f5747e5f2b840d22b9258c027fe28ba4de281dc1709bf8d4d6a3"
    ),
    (1024, 256, "hann", 96, False): (
        "c023809978e2eff388d915dfb8dcf9b840bbd02a2734f78fa7a9b2f886ebac2a"
    ),
    (1024, 256, "hann", 96, True): (
        "abe5b24f51a2d6222d2bb6363095f4470b7921682a637df015d9684df34c8a2d"
    ),
}


def fingerprint(
    library: ctypes.CDLL, n_fft: int, hop_length: int, window: str, n_guided: int, in_turn: bool
) -> str:
    """SHA-256 of `N_HOPS` hops of frames that every machine computes alike.

    Every 15th hop the open frames are revised.
    """
    inversion = CompiledGriffinLim(
        library,
        n_fft=n_fft,
        hop_length=hop_length,
        window=window,
        n_guided=n_guided,
        in_turn=in_turn,
    )
    # Integers and powers of two: no function of a mathematical library rounds them.
    rng = np.random.default_rng(0)
    shape = (N_HOPS, inversion.n_bins)
    magnitudes = np.ldexp(rng.integers(0, 4096, shape), -rng.integers(4, 16, shape))
    # Confidences from 0 to 1, and somewhat above.
    vectors = rng.integers(-48, 49, (2, N_HOPS, n_guided)) / 64
    frames = as_rows(magnitudes, *vectors)
    digest = hashlib.sha256()
    for i, frame in enumerate(frames):
        if i % _REVISED_EVERY == 0:
            inversion.revise(frames[i : i + 1].repeat(inversion.look_ahead, axis=0))
        digest.update(inversion.process(frame[np.newaxis]).astype("<f4").tobytes())
    return digest.hexdigest()


def as_rows(*parts: NDArray[np.floating]) -> Frames:
    """Magnitudes, real parts and imaginary parts, each (n_frames, n) → frames, float32."""
    return np.hstack(parts).astype(np.float32)


def deviating_sizes(library: ctypes.CDLL) -> str:
    """The window lengths whose samples are other ones here; empty where all are as expected."""
    sizes = [size for size, expected in EXPECTED.items() if fingerprint(library, *size) != expected]
    return ", ".join(str(n_fft) for n_fft, *_ in sizes)
