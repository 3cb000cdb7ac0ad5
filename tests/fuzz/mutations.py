"""Thousands of damaged models are pushed to a store: none crashes or hangs it, none refused plays.

As a script: ``python -m tests.fuzz.mutations 2000 [MODEL]``, of the tiny model or another one.
Number and seed decide every byte.
"""

import json
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from onnx import ModelProto, TensorProto, numpy_helper

from device.errors import SwitchboardError
from device.model.summary import describe, to_lines
from device.store.store import ModelStore
from device.updates.receiver import Sender, receive
from device.updates.validation import ValidationResult
from device.updates.validation_worker import ResourceLimits, bind
from tests.fuzz.metadata_mutations import CHANGES, STAND_IN, SURROGATE, nodes_of, pick
from tests.support import tiny_model as tiny
from tests.support.forked_processes import context, header, validate_in_fork

SEED = 1
_PLAYED_BLOCKS = 40
# Of a line that is printed about a file.
_MOST_REASON = 700

Rng = np.random.Generator
Mutate = Callable[[bytes, Rng], bytes]


def flip_bits(content: bytes, rng: Rng) -> bytes:
    data = np.frombuffer(content, np.uint8).copy()
    for _ in range(int(rng.integers(1, 33))):
        data[rng.integers(len(data))] ^= 1 << rng.integers(8)
    return data.tobytes()


def overwrite(content: bytes, rng: Rng) -> bytes:
    data = np.frombuffer(content, np.uint8).copy()
    at, n = rng.integers(len(data)), rng.integers(1, 200)
    data[at : at + n] = rng.integers(0, 256, len(data[at : at + n]))
    return data.tobytes()


def truncate(content: bytes, rng: Rng) -> bytes:
    return content[: rng.integers(len(content))]


def repeat_a_piece(content: bytes, rng: Rng) -> bytes:
    start, stop = sorted(rng.integers(0, len(content), 2))
    return content[:stop] + content[start:]


def _on_model(change: Callable[[ModelProto, Rng], None]) -> Mutate:
    def mutate(content: bytes, rng: Rng) -> bytes:
        model = ModelProto.FromString(content)
        change(model, rng)
        content = bytes(model.SerializeToString())
        # Protobuf refuses a text with a lone surrogate, so its bytes are replaced.
        return content.replace(STAND_IN, SURROGATE)

    return mutate


def swap_tensors(model: ModelProto, rng: Rng) -> None:
    one, other = rng.choice(len(model.graph.initializer), 2, replace=False)
    first, second = model.graph.initializer[one], model.graph.initializer[other]
    first.name, second.name = second.name, first.name


def swap_numbers(model: ModelProto, rng: Rng) -> None:
    """Bytes of one tensor under the shape of another."""
    one, other = rng.choice(len(model.graph.initializer), 2, replace=False)
    first, second = model.graph.initializer[one], model.graph.initializer[other]
    first.raw_data, second.raw_data = second.raw_data, first.raw_data


def spoil_weights(model: ModelProto, rng: Rng) -> None:
    tensor = pick([t for t in model.graph.initializer if t.data_type == TensorProto.FLOAT], rng)
    values = numpy_helper.to_array(tensor).copy()
    bad = pick([np.nan, np.inf, -np.inf, 1e38, -1e38, 1e6, 0.0], rng)
    places = rng.random(values.shape) < pick([1.0, 0.1, 0.001], rng)
    values[places if places.any() else ...] = bad
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def change_dims(model: ModelProto, rng: Rng) -> None:
    tensor = pick(model.graph.initializer, rng)
    size = int(pick([0, 1, -1, 2, 2**16, 2**31, 2**40, 2**62, -(2**62)], rng))
    if tensor.dims and rng.random() < 0.7:
        tensor.dims[int(rng.integers(len(tensor.dims)))] = size
    else:
        tensor.dims.append(size)


def change_shapes(model: ModelProto, rng: Rng) -> None:
    """Change a shape, a type or a name among inputs and outputs."""
    value = pick([*model.graph.input, *model.graph.output], rng)
    dims = value.type.tensor_type.shape.dim
    choice = int(rng.integers(3))
    if choice == 0 and dims:
        pick(dims, rng).dim_value = int(pick([0, 1, 7, 2**31, 2**40, -1], rng))
    elif choice == 1:
        value.type.tensor_type.elem_type = int(rng.integers(0, 24))
    else:
        value.name = pick(["", "x", "switches", "score", "\x1b[2J"], rng)


def edit_metadata(model: ModelProto, rng: Rng) -> None:
    entry = pick(model.metadata_props, rng)
    choice = int(rng.integers(5))
    if choice == 0:
        model.metadata_props.remove(entry)
    elif choice == 1:
        model.metadata_props.add(key=entry.key, value=entry.value)
    elif choice == 2:
        entry.key = pick(["", "mood", entry.key.upper(), "golden", "x" * 10_000], rng)
    elif choice == 3:
        entry.value = pick(_UNUSUAL, rng)
    else:
        at = int(rng.integers(len(entry.value)))
        entry.value = entry.value[:at] + pick("0123456789 -.{}[]\",'", rng) + entry.value[at + 1 :]


_UNUSUAL = [
    "",
    "0",
    "-1",
    "1e309",
    "nan",
    "9" * 12,
    "9" * 5000,
    "null",
    "[]",
    "{}",
    '{"a": ' * 2000,
    "[" * 100_000,
    "\x1b[2J",
    "../../etc/passwd",
    "\ud7ff\uffff",
]


def change_operator(model: ModelProto, rng: Rng) -> None:
    operators = [
        "Add",
        "Mul",
        "Exp",
        "Expand",
        "Tile",
        "Gather",
        "Loop",
        "Resize",
        "ConstantOfShape",
    ]
    pick(nodes_of(model), rng).op_type = pick([*operators, "Pad", "Range", "Softmax", ""], rng)


def rewire(model: ModelProto, rng: Rng) -> None:
    names = [name for node in nodes_of(model) for name in [*node.input, *node.output]]
    node = pick([node for node in nodes_of(model) if node.input], rng)
    node.input[int(rng.integers(len(node.input)))] = pick([*names, "", "nowhere"], rng)


def drop_or_double_a_node(model: ModelProto, rng: Rng) -> None:
    node = pick(model.graph.node, rng)
    if rng.random() < 0.5:
        model.graph.node.remove(node)
    else:
        model.graph.node.append(node)


def change_version(model: ModelProto, rng: Rng) -> None:
    if rng.random() < 0.5:
        model.ir_version = int(pick([0, 1, 3, 99, 2**62, -1], rng))
    else:
        model.opset_import[0].version = int(pick([0, 1, 5, 13, 99, 2**62, -1], rng))


MUTATIONS: dict[str, Mutate] = {
    "bit flips": flip_bits,
    "overwritten": overwrite,
    "truncated": truncate,
    "repeated piece": repeat_a_piece,
    "swapped tensors": _on_model(swap_tensors),
    "swapped numbers": _on_model(swap_numbers),
    "spoilt weights": _on_model(spoil_weights),
    "other dims": _on_model(change_dims),
    "other shapes": _on_model(change_shapes),
    "edited metadata": _on_model(edit_metadata),
    "other operator": _on_model(change_operator),
    "rewired": _on_model(rewire),
    "a node less or twice": _on_model(drop_or_double_a_node),
    "other version": _on_model(change_version),
    **{kind: _on_model(change) for kind, change in CHANGES.items()},
}


def mutant(good: bytes, number: int, seed: int) -> tuple[str, bytes]:
    """The kind and the bytes of one damaged model; one in five is damaged twice."""
    rng = np.random.default_rng([seed, number])
    kind = list(MUTATIONS)[number % len(MUTATIONS)]
    content = MUTATIONS[kind](good, rng)
    if rng.random() < 0.2:
        content = flip_bits(content or b"\0", rng)
    return kind, content


@dataclass
class Tally:
    """The results of all mutants.

    Attributes
    ----------
    outcomes : mapping
        Of each kind how many were ``accepted``, were the ``same bytes``, or which check refused.
    n_validators_lost : int
        Validations that ended by a signal or ran out of time: refusals as well.
    n_unfinished : int
        Those of them that ran out of time on the clock.
    slowest_seconds : float
    faults : list of str
        Behaviour that is not permitted.
    """

    outcomes: dict[str, Counter[str]] = field(
        default_factory=lambda: {kind: Counter() for kind in MUTATIONS}
    )
    n_validators_lost: int = 0
    n_unfinished: int = 0
    slowest_seconds: float = 0.0
    faults: list[str] = field(default_factory=list)

    def total(self) -> Counter[str]:
        """All kinds together."""
        return sum(self.outcomes.values(), Counter())


class MutationTest:
    """A store that plays a good model and is pushed one mutant after another."""

    def __init__(self, folder: Path, good: bytes, seed: int = SEED) -> None:
        self._seed = seed
        self._good = good
        self._request = folder / "request"
        self._shown = folder / "shown.onnx"
        self._store = ModelStore(folder / "models", keep=2)
        self.tally = Tally()

    def run(self, n_mutants: int) -> Tally:
        """Push the first `n_mutants`."""
        assert self._push(self._good).accepted
        for number in range(n_mutants):
            kind, content = mutant(self._good, number, self._seed)
            outcome = "same bytes" if content == self._good else self._outcome(number, content)
            self.tally.outcomes[kind][outcome] += 1
        return self.tally

    def _outcome(self, number: int, content: bytes) -> str:
        before = self._store.active()
        self.tally.faults += [f"{number}: {fault}" for fault in self._faults_of_showing(content)]
        verdict = self._push(content)
        if not (verdict.line.isprintable() and len(verdict.line) < _MOST_REASON):
            self.tally.faults.append(f"{number}: a verdict of {len(verdict.line)} characters")
        active = self._store.active()
        self.tally.slowest_seconds = max(self.tally.slowest_seconds, verdict.seconds)
        if not verdict.accepted:
            self.tally.n_validators_lost += "expected a result" in verdict.reason
            self.tally.n_unfinished += not verdict.is_final
            if active != before:
                self.tally.faults.append(f"{number}: refused at {verdict.check}, and plays")
            return verdict.check
        if active is None or active.read_bytes() != content:
            self.tally.faults.append(f"{number}: accepted, and does not play")
        elif not plays(active):
            self.tally.faults.append(f"{number}: accepted, and ends the instrument")
        return "accepted"

    def _faults_of_showing(self, content: bytes) -> list[str]:
        """Faults of `models show` and `--json` with a file, good or bad."""
        self._shown.write_bytes(content)
        try:
            summary = describe(self._shown)
            lines = to_lines(summary)
            json.dumps(summary, allow_nan=False, ensure_ascii=False).encode()
        except SwitchboardError as error:
            lines = [str(error)]
        except Exception as error:  # noqa: BLE001  any other error would be a traceback
            return [f"shown with {type(error).__name__}"]
        unfit = [line for line in lines if not line.isprintable() or len(line) > _MOST_REASON]
        return [f"a line of {len(unfit[0])} characters"] if unfit else []

    def _push(self, content: bytes) -> ValidationResult:
        self._request.write_bytes(header(content) + content)
        with self._request.open("rb") as request:
            return receive(
                self._store, Sender(request.fileno()), lambda event: None, validate=validate_in_fork
            )


def plays(path: Path) -> bool:
    """Whether a voice plays it in a process of its own, with finite values in every block."""
    process = context().Process(target=_play, args=(path,))
    process.start()
    process.join(timeout=60)
    process.kill()
    process.join()
    return bool(process.exitcode == 0)


def _play(path: Path) -> None:
    from device.model.network import Network
    from device.synthesis.performance import Performance
    from device.synthesis.voice import Voice

    bind(ResourceLimits())
    network = Network.open(path)
    voice = Voice(network, Performance())
    rng = np.random.default_rng(0)
    for _ in range(_PLAYED_BLOCKS):
        bits = tuple(bool(on) for on in rng.integers(0, 2, network.card.n_switches))
        if not np.isfinite(voice.block(bits)).all():
            sys.exit(1)


def table(tally: Tally) -> str:
    """The outcomes of each kind, one a line."""
    lines = [
        f"{kind:22} {', '.join(f'{n} {what}' for what, n in sorted(outcomes.items()))}"
        for kind, outcomes in [*tally.outcomes.items(), ("all", tally.total())]
    ]
    return "\n".join(lines)


def main(n_mutants: int = 2000, model: Path | None = None) -> int:
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        good = model or tiny.build(Path(folder) / "good.onnx")
        tally = MutationTest(Path(folder), good.read_bytes()).run(n_mutants)
    results = {
        "n_mutants": n_mutants,
        "seed": SEED,
        "faults": tally.faults,
        "validators_lost": tally.n_validators_lost,
        "unfinished": tally.n_unfinished,
        "slowest_seconds": tally.slowest_seconds,
        "seconds": round(time.monotonic() - started, 1),
        "resident_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }
    sys.stdout.write(f"{table(tally)}\n{json.dumps(results)}\n")
    return int(bool(tally.faults))


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:2]), *map(Path, sys.argv[2:])))
