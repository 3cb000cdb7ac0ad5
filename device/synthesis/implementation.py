"""Which implementation computes the sound: the compiled kernel where it fits, else numpy."""

from collections.abc import Callable
from typing import Any

from device.audio.resampler import Resampler
from device.audio.transposer import Transposer
from device.synthesis.griffin_lim import Frames, GriffinLim, Samples
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


def connect(
    inversion: GriffinLim,
    tape: Tape,
    transposer: Transposer | None,
    resampler: Resampler | None,
) -> Callable[[Frames], Samples]:
    """What turns frames, (n_frames, frame_size), into samples, in as few calls as possible."""
    if isinstance(inversion, CompiledGriffinLim) and isinstance(tape, CompiledTape):
        to_samples = inversion.processor_onto(tape)
    else:

        def to_samples(frames: Frames) -> Samples:
            return tape.process(inversion.process(frames))

    stages = [stage.process for stage in (transposer, resampler) if stage is not None]
    if not stages:
        return to_samples

    def to_processed(frames: Frames) -> Samples:
        samples = to_samples(frames)
        for process in stages:
            samples = process(samples)
        return samples

    return to_processed


def describe_kernel() -> str:
    """What computes the sound here, in a few words."""
    kernel = load_kernel()
    return "compiled kernel" if kernel.library is not None else f"numpy ({kernel.reason})"
