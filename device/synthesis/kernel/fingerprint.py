"""A fingerprint of the compiled inversion: the same on every processor."""

import ctypes
import hashlib

import numpy as np

from device.synthesis.kernel.griffin_lim import CompiledGriffinLim

N_HOPS = 200
_REVISED_EVERY = 15
# SHA-256 of the samples; computed on x86-64, and the same on aarch64.
EXPECTED = {
    (1024, 256, "hann"): "e4b2cfd35fc3806129d35e7ad9cc01581ee6068bc05f8378b2c3b9b80210f2bb",
    (720, 180, "hann"): "658f78ea9f3c260a6129e894906b7802f7178e92dcc2b6487a550c56b46702ba",
    (768, 128, "asymmetric"): "d590d30726e4f5747e5f2b840d22b9258c027fe28ba4de281dc1709bf8d4d6a3",
}


def fingerprint(library: ctypes.CDLL, n_fft: int, hop_length: int, window: str) -> str:
    """SHA-256 of `N_HOPS` hops of magnitudes that every machine computes alike.

    Every 15th hop the open frames are revised.
    """
    inversion = CompiledGriffinLim(library, n_fft=n_fft, hop_length=hop_length, window=window)
    # Integers and powers of two: no function of a mathematical library rounds them.
    rng = np.random.default_rng(0)
    shape = (N_HOPS, inversion.n_bins)
    magnitudes = np.ldexp(rng.integers(0, 4096, shape), -rng.integers(4, 16, shape)).astype("f4")
    digest = hashlib.sha256()
    for i, magnitude in enumerate(magnitudes):
        if i % _REVISED_EVERY == 0:
            inversion.revise(magnitudes[i : i + 1].repeat(inversion.look_ahead, axis=0))
        digest.update(inversion.process(magnitude[np.newaxis]).astype("<f4").tobytes())
    return digest.hexdigest()


def deviating_sizes(library: ctypes.CDLL) -> str:
    """The window lengths whose samples are other ones here; empty where all are as expected."""
    sizes = [size for size, expected in EXPECTED.items() if fingerprint(library, *size) != expected]
    return ", ".join(str(n_fft) for n_fft, _, _ in sizes)
