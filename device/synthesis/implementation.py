"""Which implementation computes the sound: the compiled kernel where it fits, else numpy."""

from typing import Any

from device.synthesis.griffin_lim import GriffinLim
from device.synthesis.kernel.ahead import SoundAhead
from device.synthesis.kernel.griffin_lim import CompiledGriffinLim, fits
from device.synthesis.kernel.library import load_kernel
from device.synthesis.kernel.tape import CompiledTape
from device.synthesis.tape import Tape


def make_griffin_lim(**options: Any) -> GriffinLim:
    """A `GriffinLim` with these options, compiled where the kernel has its size."""
    if load_kernel().library is not None and fits(options["n_fft"], options["hop_length"]):
        return CompiledGriffinLim(**options)
    return GriffinLim(**options)


def make_tape(sample_rate: int, **options: Any) -> Tape:
    """A `Tape` with these options, compiled where there is a kernel."""
    if load_kernel().library is not None:
        return CompiledTape(sample_rate, **options)
    return Tape(sample_rate, **options)


def make_ahead(inversion: GriffinLim, tape: Tape) -> SoundAhead | None:
    """What computes the sound of both some hops ahead; only the kernel does."""
    if isinstance(inversion, CompiledGriffinLim) and isinstance(tape, CompiledTape):
        return SoundAhead(inversion, tape)
    return None


def describe_kernel() -> str:
    """What computes the sound here, in a few words."""
    kernel = load_kernel()
    return "compiled kernel" if kernel.library is not None else f"numpy ({kernel.reason})"
