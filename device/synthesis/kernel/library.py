"""The compiled kernel as a library: where it is, and whether it can be used here.

The structs of the C headers are declared here once more; their sizes are compared when the library
is loaded.
"""

import ctypes
import os
from functools import cache
from pathlib import Path
from typing import NamedTuple

# `source/build_hook.py` compiles it. Python imports nothing with such a name.
PATH = Path(__file__).with_name("kernel.native.so")
# Set to "numpy", it leaves the library alone.
VARIABLE = "SWITCHBOARD_KERNEL"

_POINTER = ctypes.c_void_p
_INT = ctypes.c_int32
_FLOAT = ctypes.c_float
N_TAPS, N_MODULATIONS, N_LOOPS, MAX_CHUNK = 8, 2, 2, 512


class FftPlan(ctypes.Structure):
    """``fft_plan`` of fft.h."""

    _fields_ = (
        ("n_points", _INT),
        ("n_stages", _INT),
        ("radices", _POINTER),
        ("twiddles", _POINTER),
    )


class InversionState(ctypes.Structure):
    """``inversion`` of inversion.h."""

    _fields_ = (
        ("fft", FftPlan),
        ("n_half", _INT),
        ("half_hop", _INT),
        ("n_overlap", _INT),
        ("n_active", _INT),
        ("n_guided", _INT),
        ("in_turn", _INT),
        ("first", _INT),
        ("pull", _FLOAT),
        ("silence", _FLOAT),
        ("strongest_rise", _FLOAT),
        ("least_confidence", _FLOAT),
        ("hold", _FLOAT),
        ("margin", _FLOAT),
        ("initial_windows", _POINTER),
        ("iteration_windows", _POINTER),
        ("synthesis", _POINTER),
        ("turns", _POINTER),
        ("seed_in_silence", _POINTER),
        ("seed_over_sound", _POINTER),
        ("rotation", _POINTER),
        ("frames", _POINTER),
        ("targets", _POINTER),
        ("estimates", _POINTER),
        ("held", _POINTER),
        ("sum", _POINTER),
        ("work", _POINTER),
    )


class TapeState(ctypes.Structure):
    """``tape`` of tape.h."""

    _fields_ = (
        ("at", ctypes.c_int64),
        ("turns", ctypes.c_double * N_MODULATIONS),
        ("start", ctypes.c_double * N_MODULATIONS),
        ("depth", _FLOAT * N_MODULATIONS),
        ("middle", _FLOAT),
        ("drive", _FLOAT),
        ("gain", _FLOAT),
        ("music_knee", _FLOAT),
        ("music_room", _FLOAT),
        ("knee", _FLOAT),
        ("room", _FLOAT),
        ("gain_step", _FLOAT),
        ("ramp_left", _INT),
        ("n_before", _INT),
        ("loop_length", _INT * N_LOOPS),
        ("loop", _POINTER * N_LOOPS),
        ("taps", _POINTER),
        ("before", _POINTER),
        ("delayed", _POINTER),
    )


class Kernel(NamedTuple):
    """The library, or why there is none.

    Attributes
    ----------
    library : ctypes.CDLL or None
    reason : str
        Empty where there is one.
    """

    library: ctypes.CDLL | None
    reason: str = ""


@cache
def load_kernel() -> Kernel:
    """Load the library, once for all."""
    if os.environ.get(VARIABLE) == "numpy":
        return Kernel(None, f"{VARIABLE} is numpy")
    if not PATH.is_file():
        return Kernel(None, "it was not compiled: there was no C compiler at the installation")
    try:
        library = ctypes.CDLL(str(PATH))
        _declare(library)
    except (OSError, AttributeError) as error:
        return Kernel(None, " ".join(str(error).split()))
    sizes = library.size_of_inversion(), library.size_of_tape()
    if sizes != (ctypes.sizeof(InversionState), ctypes.sizeof(TapeState)):
        return Kernel(None, f"{PATH.name} is of another version")
    return Kernel(library)


def load_library() -> ctypes.CDLL:
    """The library of `load_kernel`.

    Raises
    ------
    OSError
        If there is none.
    """
    kernel = load_kernel()
    if kernel.library is None:
        raise OSError(f"{PATH.name}: {kernel.reason}")
    return kernel.library


def _declare(library: ctypes.CDLL) -> None:
    library.synthesis_process.argtypes = [_POINTER, _POINTER, _POINTER, _INT, _INT, _POINTER]
    library.inversion_revise.argtypes = [_POINTER, _POINTER]
    library.tape_process.argtypes = [_POINTER, _POINTER, _INT]
    for function in (library.synthesis_process, library.inversion_revise, library.tape_process):
        function.restype = None
    library.size_of_inversion.restype = library.size_of_tape.restype = _INT
