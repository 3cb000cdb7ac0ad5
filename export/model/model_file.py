"""One self-describing file: graph, metadata, golden vector; written whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import numpy as np
import torch
from onnx import ModelProto

from device.files import atomic_write
from device.model.contract import (
    CONTRACT_VERSION,
    MAX_MODEL_BYTES,
    SLOTS_PER_BEAT,
    ModelCard,
)
from device.model.metadata import Golden, plain
from device.model.network import Network
from device.system.outputs import check_output, not_written, regular_target
from export.model import parity
from export.model import quantization as int8
from export.model.benchmark import Speed, measure_speed
from export.model.graph import (
    DRAWN,
    BoxGraph,
    Weights,
    composing,
    n_codes,
    to_device_graph,
    to_onnx,
    weights,
)
from export.model.parity import ExportError, Parity, TracedGraph
from training.run.provenance import commit
from training.run.run_folder import FinishedRun

GOLDEN_TOLERANCE = 0.02
_N_GOLDEN_CANDIDATES = 64
_N_GOLDEN_FRAMES = 4


@dataclass(frozen=True)
class Exported:
    """What was written, and what was measured of it.

    Attributes
    ----------
    compose, flip, render : Weights
        Of the compose half, of what a flip computes of it, and of the render half.
    distance, plain_speed
        How far int8 is from float32, and how fast that was; None where nothing was rounded.
    """

    n_bytes: int
    card: ModelCard
    parity: Parity
    speed: Speed
    compose: Weights
    flip: Weights
    render: Weights
    distance: int8.Distance | None = None
    plain_speed: Speed | None = None


@dataclass(frozen=True)
class ModelDraft:
    """A model before it is written as a file.

    Attributes
    ----------
    traced : ModelProto
        Its graph, no part of it behind an ``If``, the digits an output.
    checked : TracedGraph
        The same, ready to compute.
    """

    traced: ModelProto
    checked: TracedGraph
    card: ModelCard

    @classmethod
    def of(
        cls,
        run: FinishedRun,
        graph: BoxGraph,
        traced: ModelProto,
        *,
        title: str,
    ) -> Self:
        """Describe a run's graph."""
        checked = TracedGraph(traced)
        return cls(traced, checked, _describe(run, golden(run, graph, checked), title))

    def with_provenance(self, **more: Any) -> Self:
        """Add to its provenance."""
        provenance = {**self.card.provenance, **more}
        return replace(self, card=replace(self.card, provenance=provenance))

    def write_and_open(self, path: Path) -> Network:
        """Write it and open it as the device would."""
        path.write_bytes(self.content())
        return Network.open(path)

    def content(self) -> bytes:
        """The whole file.

        Raises
        ------
        ExportError
            If it would be too large.
        """
        model = to_device_graph(self.traced)
        del model.metadata_props[:]
        for key, value in self.card.to_metadata().items():
            model.metadata_props.add(key=key, value=value)
        content: bytes = model.SerializeToString()
        if len(content) > MAX_MODEL_BYTES:
            raise ExportError(
                f"the model has {len(content):,} bytes, at most {MAX_MODEL_BYTES:,} are allowed; "
                "no file was written: train a smaller network"
            )
        return content


def export_run(run: FinishedRun, out: Path, *, title: str, rounded: bool = False) -> Exported:
    """Write a finished run as a model file.

    Parameters
    ----------
    rounded : bool
        Whether the render half is to compute in int8.

    Raises
    ------
    ExportError
        If torch and onnxruntime disagree, the file would be too large, or int8 is audible or not
        faster; nothing is written.
    OutputError
        If the file cannot be written, or what is read back is not what was written.
    """
    check_output(out, again=True)
    with _one_thread(), TemporaryDirectory() as folder:
        graph = BoxGraph(run).eval()
        draft = ModelDraft.of(run, graph, to_onnx(run, graph), title=title)
        measured = parity.measure(run, graph, draft.checked)
        measured.check()
        draft = draft.with_provenance(parity=vars(measured))
        plain = draft.write_and_open(Path(folder) / "float32.onnx")
        if not rounded:
            n_bytes = _write(draft, out)
            return _exported(draft, n_bytes, measured, measure_speed([plain])[0])

        draft = ModelDraft.of(run, graph, int8.to_int8(draft.traced), title=title)
        network = draft.write_and_open(Path(folder) / "int8.onnx")
        distance = int8.compare(plain, network)
        distance.check()
        plain_speed, rounded_speed = measure_speed([plain, network])
        int8.check_faster(rounded_speed, plain_speed)
        draft = draft.with_provenance(parity=vars(measured), int8=vars(distance))
        exported = _exported(draft, _write(draft, out), measured, rounded_speed)
        return replace(exported, distance=distance, plain_speed=plain_speed)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute on one thread: tensors this small are slower on more, much slower on a busy machine.

    Sums in one order also make the same run give the same file.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _describe(run: FinishedRun, golden: Golden, title: str) -> ModelCard:
    """The file's metadata."""
    analysis = run.config.analysis
    exporter = {"version": version("lofi-switchboard"), "commit": commit()}
    return ModelCard(
        contract_version=CONTRACT_VERSION,
        sample_rate=analysis.sample_rate,
        n_fft=analysis.n_fft,
        hop_length=analysis.hop_length,
        window=analysis.window,
        log_floor=analysis.log_floor,
        n_switches=run.config.n_switches,
        n_variation=run.config.n_variation,
        n_slots=run.n_slots,
        n_channels=run.config.n_channels,
        beats_per_loop=run.n_slots // SLOTS_PER_BEAT,
        tempo_bpm=run.tempo_bpm,
        title=title,
        # Both may quote other people's files: tags, names of tracks, credits.
        switch_labels=tuple(map(plain, run.switch_labels)),
        provenance=plain({**run.provenance, "exported_by": exporter}),
        golden=golden,
        scores=run.scores,
        n_guided=analysis.n_guided,
        n_codes=n_codes(run),
    )


@torch.no_grad()
def golden(run: FinishedRun, graph: BoxGraph, traced: TracedGraph) -> Golden:
    """Choose an input whose output does not depend on rounding.

    Of many random states the one whose closest arg max has the largest margin, so that another
    processor's last bits cannot change a digit and make a good file look damaged. The expected
    output is that of the exported graph: parity ties it to torch's, but int8 may round it a little.
    """
    rng = np.random.default_rng(0)
    n = _N_GOLDEN_CANDIDATES
    states = rng.integers(0, 2, (n, run.config.n_switches)).astype(np.float32)
    variations = rng.standard_normal((n, run.config.n_variation)).astype(np.float32)
    candidates = list(zip(torch.from_numpy(states), torch.from_numpy(variations), strict=True))
    switches, variation = max(candidates, key=lambda c: graph.compose.margin(*c))
    beats = run.n_slots / SLOTS_PER_BEAT
    position = torch.linspace(0, beats * 0.97, _N_GOLDEN_FRAMES)
    score, _ = traced.compose(switches.numpy(), variation.numpy())
    frames, advance = traced.draw(score, position.numpy())
    # Not by way of the card, whose log floor is checked with this.
    above = np.maximum(np.exp(frames.astype(np.float64)) - run.config.analysis.floor, 0)
    return Golden(
        switches=tuple(switches.tolist()),
        variation=tuple(variation.tolist()),
        positions=tuple(position.tolist()),
        log_magnitude=tuple(frames.flatten().tolist()),
        tolerance=GOLDEN_TOLERANCE,
        magnitude=tuple(above.astype(np.float32).flatten().tolist()),
        phase_advance=tuple(advance.flatten().tolist()),
    )


def _exported(draft: ModelDraft, n_bytes: int, parity: Parity, speed: Speed) -> Exported:
    graph = draft.traced.graph
    compose, flip = weights(graph, *composing(graph)), weights(graph, "score")
    render = weights(graph, *DRAWN)
    return Exported(n_bytes, draft.card, parity, speed, compose, flip, render)


def _write(draft: ModelDraft, out: Path) -> int:
    """Write the file and rename it once what is on the disk has been read back and compared."""
    content = draft.content()
    target = regular_target(out)
    partial = target.with_name(f".{target.name}.part")
    try:
        with atomic_write(target, partial) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            _check_written(partial, content, draft)
    except OSError as error:
        raise not_written(out, error) from error
    return len(content)


def _check_written(partial: Path, content: bytes, draft: ModelDraft) -> None:
    # Opened as the device will open it, before it is renamed.
    network = Network.open(partial)
    if partial.read_bytes() != content or network.card != draft.card:
        raise ExportError(
            f"{partial.name}: found other bytes on the disk than were written, expected the same; "
            "choose another --out"
        )
    parity.confirm(draft.checked, network)
