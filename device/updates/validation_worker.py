"""The process in which a candidate is validated.

It is called as ``python -m device.updates.validation_worker FILE LIMITS PARENT``.

It sets its resource limits before it opens the file, writes the name of each check to standard
output, one JSON object a line, and at last the result. A file can crash this process alone.
"""

import ctypes
import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from device.errors import ExaminationFailed, ModelFailed, ModelOutOfReach, SwitchboardError
from device.model.contract import ModelCard, check_file, check_tensors

_NICENESS = 10
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class ResourceLimits:
    """Limits of one validation.

    Attributes
    ----------
    memory_bytes : int
        Of address space, all of it included.
    cpu_seconds, seconds : float
        Of processor time, and of elapsed time; the latter depends on the load of the machine.
    deadline_share : float
        Part of a block's duration that computing it may take.
    model_bytes : int
        Of memory, for the model alone: weights, and the graph's buffers while it computes.
        The rest of `memory_bytes` is for Python and onnxruntime.
    """

    memory_bytes: int = 512 * 1024 * 1024
    cpu_seconds: float = 20.0
    seconds: float = 28.0
    deadline_share: float = 0.5
    model_bytes: int = 128 * 1024 * 1024


def run_checks(path: Path, limits: ResourceLimits, report: Callable[[str], None]) -> dict[str, Any]:
    """Make every check in this process, which a malicious file may end.

    Parameters
    ----------
    report : callable
        Called with the name of each check before it begins.

    Returns
    -------
    The figures that were measured.

    Raises
    ------
    SwitchboardError
        The refusal.
    """
    report("size")
    check_file(path)
    card = _read(path, report)
    # Not before: onnxruntime is what a malicious file would attack.
    from device.model.network import Network
    from device.updates.runtime_checks import check_levels, check_speed, draw_most

    before = _resident_bytes("VmRSS")
    try:
        report("golden vector")
        network = Network.open(path)
        report("memory")
        draw_most(network)
        _check_memory(before, limits.model_bytes)
        report("sound")
        sound = check_levels(network)
        report("speed")
        speed = check_speed(network, deadline_share=limits.deadline_share)
        # Again, because the memory of a graph may depend on the state.
        model_mb = _check_memory(before, limits.model_bytes)
    except ModelFailed as error:
        raise ExaminationFailed(str(error)) from error
    return {"title": card.title, **asdict(sound), **asdict(speed), "model_mb": model_mb}


def _check_memory(before: int, most: int) -> float:
    """The peak memory of this process above `before` bytes, in MB."""
    n_bytes = _resident_bytes("VmHWM") - before
    if n_bytes > most:
        raise ExaminationFailed(
            f"model memory: found {n_bytes / 2**20:.0f} MB for the model alone, expected "
            f"{most / 2**20:.0f} MB at most; train a smaller network"
        )
    return round(n_bytes / 2**20, 1)


def _read(path: Path, report: Callable[[str], None]) -> ModelCard:
    from device.model.onnx_reader import read_onnx_file

    report("graph")
    file = read_onnx_file(path)
    report("metadata")
    card = ModelCard.from_metadata(file.metadata)
    report("tensors")
    check_tensors(card, file.tensors)
    return card


def bind(limits: ResourceLimits) -> None:
    """Limit this process for good, and give it a lower priority than the process that plays."""
    _lower(resource.RLIMIT_AS, limits.memory_bytes)
    _lower(resource.RLIMIT_CPU, max(1, round(limits.cpu_seconds)), grace=1)
    _lower(resource.RLIMIT_FSIZE, 0)
    _lower(resource.RLIMIT_CORE, 0)
    os.nice(_NICENESS)


def _lower(kind: int, limit: int, grace: int = 0) -> None:
    """Set a limit, unless a lower one is set already: only root may raise it again.

    `grace` is how far above the limit that sends a signal the one that kills lies.
    """
    _, most = resource.getrlimit(kind)
    limits = [limit, limit + grace]
    if most != resource.RLIM_INFINITY:
        limits = [min(value, most) for value in limits]
    resource.setrlimit(kind, (limits[0], limits[1]))


def answer(path: Path, limits: ResourceLimits, write: Callable[[dict[str, Any]], None]) -> None:
    """Validate, and write what `device.updates.validation` reads."""
    try:
        figures = run_checks(path, limits, lambda check: write({"check": check}))
        figures["peak_mb"] = round(_resident_bytes("VmHWM") / 2**20, 1)
        write({"accepted": True, "figures": figures})
    except MemoryError:
        most = f"{limits.memory_bytes // 2**20} MB at most"
        error = ExaminationFailed(f"model memory: found more, expected {most}; train it smaller")
        write(_refused(error))
    except ModelOutOfReach as error:
        write({**_refused(error), "is_final": False})
    except SwitchboardError as error:
        write(_refused(error))
    except OSError as error:
        cause = f"found {error.strerror or error}, expected to read {error.filename or path}"
        failed = ExaminationFailed(f"{cause}; check its permissions, or try again")
        write({**_refused(failed), "is_final": False})


def _refused(error: SwitchboardError) -> dict[str, Any]:
    return {"accepted": False, "reason": str(error), "exit_code": error.exit_code}


def _resident_bytes(key: str) -> int:
    """The memory of this program as the kernel counts it; getrusage counts the parent's as well."""
    status = Path("/proc/self/status").read_text(encoding="utf-8", errors="replace")
    for line in status.splitlines():
        name, _, size = line.partition(":")
        if name == key:
            return 1024 * int(size.split()[0])
    raise ExaminationFailed(f"/proc/self/status: found no {key}, expected Linux's value of it")


def _end_with(parent: int) -> None:
    """Have the kernel end this process when the parent ends; it may have ended already."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)


def _write(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Read the command line; see the module."""
    path, limits, parent = sys.argv[1:]
    _end_with(int(parent))
    parsed = ResourceLimits(**json.loads(limits))
    bind(parsed)
    sys.excepthook = lambda kind, error, _trace: _write({"crash": f"{kind.__name__}: {error}"})
    answer(Path(path), parsed, _write)


if __name__ == "__main__":
    main()
