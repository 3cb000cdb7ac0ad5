"""One self-describing file: graph, metadata, golden vector; written whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from onnx import ModelProto

from device.contract import (
    CONTRACT_VERSION,
    MAX_MODEL_BYTES,
    SLOTS_PER_BEAT,
    Golden,
    ModelCard,
)
from device.errors import OutputError
from device.network import Network
from export.graph import BoxGraph, for_the_box, to_onnx
from export.parity import ExportError, Parity, measure
from training.run import FinishedRun

GOLDEN_TOLERANCE = 0.02
_N_GOLDEN_CANDIDATES = 64
_N_GOLDEN_FRAMES = 4


def export_run(run: FinishedRun, out: Path, *, title: str) -> Parity:
    """Write a finished run as a model file.

    Raises
    ------
    ExportError
        If torch and onnxruntime disagree or the file would be too large; nothing is written.
    OutputError
        If the file cannot be written.
    """
    with _one_thread():
        graph = BoxGraph(run).eval()
        traced = to_onnx(run, graph)
        parity = measure(run, graph, traced)
        parity.check()
        card = describe(run, graph, parity, title=title)
    model = for_the_box(traced)
    del model.metadata_props[:]
    for key, value in card.to_metadata().items():
        model.metadata_props.add(key=key, value=value)
    _write(model, out)
    return parity


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute on one thread: tensors this small are slower on more, much slower on a busy machine.

    Sums in one order also make the same file of the same run.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def describe(run: FinishedRun, graph: BoxGraph, parity: Parity, *, title: str) -> ModelCard:
    """Write the file's description of itself."""
    analysis = run.config.analysis
    return ModelCard(
        contract_version=CONTRACT_VERSION,
        sample_rate=analysis.sample_rate,
        n_fft=analysis.n_fft,
        hop_length=analysis.hop_length,
        window="hann",
        log_floor=analysis.log_floor,
        n_switches=run.config.n_switches,
        n_variation=run.config.n_variation,
        n_slots=run.n_slots,
        n_channels=run.config.n_channels,
        beats_per_loop=run.n_slots // SLOTS_PER_BEAT,
        tempo_bpm=run.tempo_bpm,
        title=title,
        switch_labels=run.switch_labels,
        provenance={**run.provenance, "parity": vars(parity)},
        golden=golden(run, graph),
    )


@torch.no_grad()
def golden(run: FinishedRun, graph: BoxGraph) -> Golden:
    """Find a question whose answer no rounding can turn.

    Of many random states the one is taken whose closest arg max was the clearest, so that another
    processor's last bits cannot tip a digit over and make a good file look damaged.
    """
    rng = np.random.default_rng(0)
    n = _N_GOLDEN_CANDIDATES
    states = rng.integers(0, 2, (n, run.config.n_switches)).astype(np.float32)
    variations = rng.standard_normal((n, run.config.n_variation)).astype(np.float32)
    candidates = list(zip(torch.from_numpy(states), torch.from_numpy(variations), strict=True))
    switches, variation = max(candidates, key=lambda c: graph.compose.margin(*c))
    beats = run.n_slots / SLOTS_PER_BEAT
    position = torch.linspace(0, beats * 0.97, _N_GOLDEN_FRAMES)
    score, _ = graph.compose(switches, variation)
    frames = graph.render(score, position)
    return Golden(
        switches=tuple(switches.tolist()),
        variation=tuple(variation.tolist()),
        positions=tuple(position.tolist()),
        log_magnitude=tuple(frames.flatten().tolist()),
        tolerance=GOLDEN_TOLERANCE,
    )


def _write(model: ModelProto, out: Path) -> None:
    content = model.SerializeToString()
    if len(content) > MAX_MODEL_BYTES:
        raise ExportError(
            f"{out}: the model has {len(content):,} bytes, at most {MAX_MODEL_BYTES:,} are "
            "allowed; train a smaller network"
        )
    partial = out.with_name(f".{out.name}.part")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # Opened as the box will open it, before it takes its name.
        Network.open(partial)
        partial.replace(out)
    except OSError as error:
        raise OutputError(f"{out}: cannot be written ({error.strerror or error})") from error
    finally:
        partial.unlink(missing_ok=True)
