"""Embeds labels and scores of an evaluation in the model file; the graph is not changed."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from device.errors import ContractError
from device.files import atomic_write, sha256_of
from device.model.contract import CONTRACT_VERSION, ModelCard
from device.model.network import Network
from device.model.summary import read_card
from device.system.outputs import not_written, regular_target

# Prefixes of the scores of an evaluation: those of an earlier one are removed.
_SCORE_PREFIXES = ("audition_", "inversion_")


def embed_scores(model: Path, labels: Sequence[str], scores: Mapping[str, float]) -> str:
    """Write labels and scores into a model file, whole or not at all; returns its new hash.

    Everything else of its card stays, provenance and golden vector included, and other scores too.
    The new file is opened as the device opens it, golden vector included, before it replaces the
    old one.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    # A link stays what it is.
    model = regular_target(model)
    card = read_card(model)
    kept = {name: v for name, v in card.scores.items() if not name.startswith(_SCORE_PREFIXES)}
    card = replace(
        card,
        contract_version=CONTRACT_VERSION,
        switch_labels=tuple(labels),
        scores={**kept, **scores},
        # A file from before version 3 has no magnitudes: its log floor is all there is.
        golden=card.golden if card.golden.magnitude else card.golden.with_magnitude(card.log_floor),
    )
    content, partial = _content(model, card), model.with_name(f".{model.name}.part")
    try:
        with atomic_write(model, partial) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            _check(partial, card)
    except OSError as error:
        raise not_written(model, error) from error
    return sha256_of(model)


def _content(model: Path, card: ModelCard) -> bytes:
    import onnx

    proto = onnx.load(model, load_external_data=False)
    del proto.metadata_props[:]
    for key, value in card.to_metadata().items():
        proto.metadata_props.add(key=key, value=value)
    content: bytes = proto.SerializeToString()
    return content


def _check(partial: Path, card: ModelCard) -> None:
    """Open the file, which replays the golden vector, and compare its card."""
    if Network.open(partial).card != card:
        raise ContractError(
            f"{partial.name}: found another card on the disk than the one written, expected the "
            "same; write it somewhere else"
        )
