"""Build the files of the browser instrument: kernel, its memory, model and what describes them.

    .venv/bin/python docs/site/build_instrument.py FOLDER

The browser runs the same model file as the device (in onnxruntime-web) and the same kernel
(compiled to WebAssembly by zig). The kernel's state and tables are computed here, by the classes
that play on the device, and written as an image of the memory that WebAssembly has: the browser
copies it and knows no table. Everything comes from the packages of the group `site` and from npm's
registry.
"""

import ctypes
import json
import shutil
import subprocess
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device.model.bundled import BUNDLED_MODEL
from device.model.contract import ModelCard
from device.model.network import Network
from device.synthesis.breaks import FADE_BEATS, Breaks
from device.synthesis.kernel.griffin_lim import CompiledGriffinLim
from device.synthesis.kernel.library import PATH, InversionState, TapeState
from device.synthesis.kernel.tape import CompiledTape
from device.synthesis.performance import Performance
from device.synthesis.variation import (
    BREAK_START,
    PASSES_PER_SECTION,
    PASSES_PER_SONG,
    SECTIONS,
    STARTS,
    SongForm,
)
from device.synthesis.vocoder import INVERSION_PRESET

HERE = Path(__file__).parent
PAGE = HERE / "instrument"
ONNXRUNTIME = HERE / "node_modules/onnxruntime-web/dist"
# The build without GPU: the network is small, and a GPU answers later than the processor.
ONNXRUNTIME_FILES = (
    "ort.wasm.min.mjs",
    "ort-wasm-simd-threaded.mjs",
    "ort-wasm-simd-threaded.wasm",
)
# As in build_hook.py: no fused multiply-add and no reordered sums, so the samples are the same.
FLAGS = (
    *("-target", "wasm32-wasi", "-mexec-model=reactor", "-msimd128", "-O3", "-std=c11", "-s"),
    *("-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-Wl,-z,stack-size=65536"),
)
EXPORTS = (
    *("synthesis_process", "inversion_revise", "size_of_inversion", "size_of_tape"),
    "__heap_base",
)
# Above the stack and the data of the kernel; the browser checks that.
BASE = 1 << 20
ALIGNMENT = 16
# So many songs, 1.7 h at 80 BPM, are in the page; then the first one comes again.
N_SONGS = 64


class Image:
    """Memory of WebAssembly from `BASE` on.

    Attributes
    ----------
    data : bytearray
    """

    def __init__(self) -> None:
        self.data = bytearray()

    def add(self, data: bytes) -> int:
        """Append bytes, and return their address."""
        self.data += bytes(-len(self.data) % ALIGNMENT)
        address = BASE + len(self.data)
        self.data += data
        return address

    def add_struct(self, native: ctypes.Structure, arrays: Iterable[NDArray[Any]]) -> int:
        """Append a struct of this machine as WebAssembly has it, and the arrays that it points to.

        Raises
        ------
        ValueError
            If it points to an array that is not given.
        """
        by_address = {array.ctypes.data: array for array in arrays}

        def address_of(pointer: int | None) -> int:
            if pointer is None:
                return 0
            if pointer not in by_address:
                raise ValueError(f"{type(native).__name__}: found a pointer to an unknown array")
            return self.add(by_address[pointer].tobytes())

        return self.add(bytes(_narrowed(native, address_of)))


@cache
def _narrow_type(kind: Any) -> Any:
    """The type that a type of this machine has where a pointer is 32 bits wide."""
    if kind is ctypes.c_void_p:
        return ctypes.c_uint32
    if issubclass(kind, ctypes.Structure):
        fields = [(name, _narrow_type(of)) for name, of in kind._fields_]
        return type(kind.__name__, (ctypes.Structure,), {"_fields_": fields})
    if issubclass(kind, ctypes.Array):
        return _narrow_type(kind._type_) * kind._length_
    return kind


def _narrowed(native: Any, address_of: Any) -> Any:
    own_type: Any = type(native)
    narrow = _narrow_type(own_type)()
    for name, kind in native._fields_:
        value = getattr(native, name)
        if kind is ctypes.c_void_p:
            value = address_of(value)
        elif issubclass(kind, ctypes.Structure):
            value = _narrowed(value, address_of)
        elif issubclass(kind, ctypes.Array):
            pointers = kind._type_ is ctypes.c_void_p
            numbers = [address_of(x) if pointers else x for x in value]
            value = _narrow_type(kind)(*numbers)
        setattr(narrow, name, value)
    return narrow


def memory_of(card: ModelCard, performance: Performance) -> tuple[Image, dict[str, int]]:
    """The kernel's memory before the first frame, and where in it the structs and buffers are."""
    inversion = CompiledGriffinLim(
        n_fft=card.n_fft,
        hop_length=card.hop_length,
        window=card.window,
        look_ahead=INVERSION_PRESET.look_ahead,
        n_iterations=INVERSION_PRESET.n_iterations,
        n_guided=card.n_guided,
    )
    tape = CompiledTape(
        card.sample_rate,
        wear=performance.tape,
        seed=performance.seed,
        gain=10 ** (performance.gain_db / 20),
        volume_limit=10 ** (performance.volume_limit_db / 20),
    )
    image = Image()
    n_rows = max(inversion.look_ahead, 1)
    float_bytes = np.dtype(np.float32).itemsize
    at = {
        "base": BASE,
        "inversion": image.add_struct(inversion.state, inversion.arrays.values()),
        "inversion_bytes": ctypes.sizeof(_narrow_type(InversionState)),
        "tape": image.add_struct(tape.state, tape.arrays),
        "tape_bytes": ctypes.sizeof(_narrow_type(TapeState)),
        "input": image.add(bytes(float_bytes * n_rows * card.frame_size)),
        "output": image.add(bytes(float_bytes * card.hop_length)),
    }
    return image, at


def description(card: ModelCard, performance: Performance, at: dict[str, int]) -> dict[str, Any]:
    """What the browser knows of the model, the kernel's memory and the performance."""
    names = (
        *("title", "switch_labels", "sample_rate", "n_fft", "hop_length", "n_switches"),
        *("n_variation", "n_slots", "n_channels", "beats_per_loop", "tempo_bpm", "log_floor"),
        *("n_bins", "n_guided", "n_codes", "frame_size"),
    )
    form = SongForm(card.n_variation, seed=performance.seed)
    passages = range(N_SONGS * len(SECTIONS) * len(STARTS))
    return {
        "card": {name: getattr(card, name) for name in names},
        "memory": at,
        "look_ahead": INVERSION_PRESET.look_ahead,
        "n_iterations": INVERSION_PRESET.n_iterations,
        "n_smoothed": performance.glide_frames,
        "passes_per_section": PASSES_PER_SECTION,
        "starts": STARTS,
        "breaks": {
            "start": BREAK_START,
            "passes_per_song": PASSES_PER_SONG,
            "fade_beats": FADE_BEATS,
            "shape_db": Breaks(form, card).shape_db.tolist(),
        },
        # The shortest numbers that are read as these.
        "variations": [[float(str(x)) for x in form.at(passage)] for passage in passages],
    }


def compile_kernel(out: Path) -> None:
    """Compile the kernel to WebAssembly.

    Raises
    ------
    subprocess.CalledProcessError
        If zig cannot; it says why.
    """
    sources = sorted(map(str, (PATH.parent / "source").glob("*.c")))
    exports = [f"-Wl,--export={name}" for name in EXPORTS]
    zig = [sys.executable, "-m", "ziglang", "cc", *FLAGS, *exports]
    subprocess.run([*zig, *sources, "-o", str(out)], check=True)


def build(folder: Path, model: Path = BUNDLED_MODEL) -> None:
    """Write the page's programs and everything that they load.

    Raises
    ------
    FileNotFoundError
        If onnxruntime-web has not been fetched.
    """
    shutil.copytree(PAGE, folder, dirs_exist_ok=True)
    (folder / "onnxruntime").mkdir(exist_ok=True)
    for name in ONNXRUNTIME_FILES:
        shutil.copy(ONNXRUNTIME / name, folder / "onnxruntime" / name)
    card, performance = Network.open(model).card, Performance()
    compile_kernel(folder / "kernel.wasm")
    image, at = memory_of(card, performance)
    (folder / "memory.bin").write_bytes(image.data)
    text = json.dumps(description(card, performance, at), ensure_ascii=False)
    (folder / "instrument.json").write_text(text, encoding="utf-8")
    shutil.copy(model, folder / "model.onnx")


if __name__ == "__main__":
    build(Path(sys.argv[1]))
