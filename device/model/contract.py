"""The model file: the one thing that passes from the workstation to the device.

A model is ONE ``.onnx`` file of at most `MAX_MODEL_BYTES`, without external data or custom
operators, whose graph has two halves that share no node:

========  ==============================================  =======================================
half      inputs                                          output
========  ==============================================  =======================================
compose   ``switches`` (n_switches,) each 0 or 1,         ``score`` (n_slots, n_channels),
          ``variation`` (n_variation,) standard normal    one row per 16th note of the loop
render    ``score_in`` (n_slots, n_channels),             ``log_magnitude`` (n_frames, n_bins),
          ``position`` (n_frames,) in beats, from 0 to    natural log of the STFT magnitude of the
          beats_per_loop, any values                      frame at each position; where n_guided > 0
                                                          ``phase_advance`` (n_frames, 2 * n_guided)
========  ==============================================  =======================================

Where ``n_codes`` > 0, what is composed does not depend on the switches, and the compose half is in
two parts, which share no node either: ``variation`` → ``composition`` (n_slots, n_codes), any
numbers, and ``switches`` and ``composition_in`` of that shape → ``score``. So a device composes
once for all states of a variation, and a flip costs the second part alone.

Everything is float32 and stateless; ``n_frames`` is dynamic; ``n_bins`` is ``n_fft // 2 + 1``.
onnxruntime computes all of a graph whatever is fetched, so ``score`` stands in the branch of an
``If`` that is taken only while ``switches`` are numbers: fed NaN, it answers zeros at no cost. So
does ``composition`` while ``variation`` has NaN.

STFT magnitudes are those of a periodic window (`device.synthesis.windows`) without normalisation,
whose peak lies at the position. Where the log magnitude is at ``log_floor`` there is silence: the
device takes ``max(exp(log_magnitude) - exp(log_floor), 0)``.

``phase_advance`` is a vector for each of the lowest ``n_guided`` bins, first all real parts, then
all imaginary ones. Its direction is how far the bin's phase moves within one hop, as deviation from
its centre frequency: that of ``S[t] * conj(S[t - 1]) * exp(-2j * pi * k * hop_length / n_fft)``,
where ``S[t - 1]`` is the frame one hop of samples earlier. Its length, 0 to 1, is the confidence.

The metadata that `ModelCard` reads and writes is the file's own description of itself. Nothing on
the device repeats any of it. This module, of the standard library alone, is the only definition.

Versions: a file has exactly the keys of the version it names, and `switchboard export` writes the
newest. A version in `ACCEPTED_VERSIONS` is played as it is, however old; any other is refused by
its number. A new key or meaning is a new version, because a device refuses unknown keys. A new
window needs no new version: a device refuses unknown windows by name, and accepts all other files.

The memory that a file may make a device allocate is bounded by products, not by each size alone: a
score or composition has 0.5 MB at most, so the scores that are composed ahead have 32 MB, and a
frame overlaps with few others. `device.updates.runtime_checks` measures the memory of the graph.

=======  ========================================================================================
version  what it added
=======  ========================================================================================
1        all but what follows
2        ``scores``
3        ``magnitude`` in ``golden``: the scaling by ``log_floor`` is checked too
4        ``n_guided``, the output ``phase_advance``, and ``phase_advance`` in ``golden``
5        ``n_codes``: the compose half may be in two parts
=======  ========================================================================================
"""

import json
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from device.errors import ModelNotFound, ModelTooLarge
from device.model.metadata import (
    Golden,
    check_json,
    check_labels,
    check_scores,
    check_text,
    parse_float,
    parse_int,
    parse_labels,
    parse_object,
    parse_scores,
    parse_text,
    refusal,
)

CONTRACT_VERSION = 5
ACCEPTED_VERSIONS = (1, 2, 3, 4, 5)
MAX_MODEL_BYTES = 16 * 1024 * 1024
WINDOWS = ("hann", "asymmetric")
SLOTS_PER_BEAT = 4
# All texts together; the bundled model has 13 kB, and JSON takes twenty times its size when read.
MOST_METADATA_BYTES = 1024 * 1024

# Keys, and a part of `golden`, that not every version has.
_SINCE = {"scores": 2, "magnitude": 3, "n_guided": 4, "n_codes": 5}

# What a device allocates for at most, whatever a file claims.
_LIMITS: dict[str, tuple[int, int]] = {
    "sample_rate": (8_000, 96_000),
    "n_fft": (128, 8_192),
    "hop_length": (16, 4_096),
    "n_switches": (1, 64),
    "n_variation": (0, 256),
    "n_slots": (4, 1_024),
    "n_channels": (1, 4_096),
    "beats_per_loop": (1, 256),
}
_MOST_SCORE_NUMBERS = 128 * 1024
_MOST_OVERLAPPING = 32
_MOST_GOLDEN_FRAMES = 64


@dataclass(frozen=True)
class Tensor:
    """Name, element type and shape of one graph input or output; None is a dynamic size."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]


@dataclass(frozen=True)
class ModelCard:
    """A model file's description of itself; field names are the metadata keys.

    Attributes
    ----------
    contract_version : int
    sample_rate : int
        Hz.
    n_fft, hop_length : int
        Samples; `hop_length` divides `n_fft` at least four times.
    window : str
        One of `WINDOWS`, `n_fft` samples long.
    log_floor : float
        Natural log of the magnitude that means silence.
    n_switches, n_variation, n_slots, n_channels : int
        Sizes of the graph's tensors.
    beats_per_loop : int
        Length of the loop; positions wrap round there. `n_slots` is four times as many.
    tempo_bpm : float
        The tempo it was trained at.
    title : str
    switch_labels : tuple of str
        One short name per switch.
    provenance : dict
        Corpus, licences, training configuration, commit, machine: any JSON object.
    golden : Golden
    scores : dict of str to float
        How well it does on music it was not trained on, such as ``codec_held_out_db``; the unit is
        in the name. Empty where nothing was held out, and in version 1.
    n_guided : int
        Bins, the lowest, whose phase advance the graph draws too; 0 before version 4.
    n_codes : int
        Numbers of a composition in a slot; 0 where the compose half is one part, and before
        version 5.
    """

    contract_version: int
    sample_rate: int
    n_fft: int
    hop_length: int
    window: str
    log_floor: float
    n_switches: int
    n_variation: int
    n_slots: int
    n_channels: int
    beats_per_loop: int
    tempo_bpm: float
    title: str
    switch_labels: tuple[str, ...]
    provenance: Mapping[str, Any]
    golden: Golden
    scores: Mapping[str, float] = field(default_factory=dict)
    n_guided: int = 0
    n_codes: int = 0

    def __post_init__(self) -> None:
        _check_version(self.contract_version)
        _check_sizes(self)
        _check_signal(self)
        _check_description(self)
        _check_golden(self)

    @property
    def n_bins(self) -> int:
        """Number of STFT bins."""
        return self.n_fft // 2 + 1

    @property
    def frame_size(self) -> int:
        """Numbers of a frame: `n_bins` magnitudes and the phase advance of `n_guided` bins."""
        return self.n_bins + 2 * self.n_guided

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The graph's inputs, then its outputs, as this card promises them."""
        score, advance = (self.n_slots, self.n_channels), (None, 2 * self.n_guided)
        composition = (self.n_slots, self.n_codes)
        return (
            Tensor("switches", "float32", (self.n_switches,)),
            Tensor("variation", "float32", (self.n_variation,)),
            Tensor("score_in", "float32", score),
            Tensor("position", "float32", (None,)),
            *[Tensor("composition_in", "float32", composition)][: self.n_codes],
            Tensor("score", "float32", score),
            Tensor("log_magnitude", "float32", (None, self.n_bins)),
            *[Tensor("phase_advance", "float32", advance)][: self.n_guided],
            *[Tensor("composition", "float32", composition)][: self.n_codes],
        )

    def to_metadata(self) -> dict[str, str]:
        """The ``metadata_props`` of the file."""
        text = {f.name: str(getattr(self, f.name)) for f in fields(self)}
        text["switch_labels"] = json.dumps(self.switch_labels, ensure_ascii=False)
        text["provenance"] = json.dumps(dict(self.provenance), ensure_ascii=False)
        text["golden"] = self.golden.to_json()
        text["scores"] = json.dumps(dict(self.scores))
        return {key: text[key] for key in _keys(self.contract_version)}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> "ModelCard":
        """Parse a file's ``metadata_props``.

        Raises
        ------
        ContractError
            If the version is unknown, a key is missing or unknown, or a value does not fit.
        """
        n_characters = sum(map(len, metadata.values()))
        if n_characters > MOST_METADATA_BYTES:
            expected = f"{MOST_METADATA_BYTES:,} at most"
            raise refusal("metadata", f"{n_characters:,} characters", expected)
        keys = _keys(_version(metadata))
        missing = sorted(set(keys) - set(metadata))
        if missing:
            raise refusal("metadata", f"no {', '.join(missing)}", "every key of the contract")
        unknown = sorted(set(metadata) - set(keys))
        if unknown:
            raise refusal("metadata", f"the unknown key {', '.join(unknown)}", "known keys only")
        return cls(**{key: _PARSERS[key](key, metadata[key]) for key in keys})


def check_tensors(card: ModelCard, tensors: Sequence[Tensor]) -> None:
    """Compare a graph's inputs and outputs with what its card promises.

    Raises
    ------
    ContractError
        Naming the first that is missing, superfluous or of another type or shape.
    """
    by_name = {t.name: t for t in tensors}
    for expected in card.tensors:
        actual = by_name.pop(expected.name, None)
        if actual != expected:
            raise refusal(f"tensor {expected.name!r}", _kind(actual), _kind(expected))
    if by_name:
        raise refusal("graph", f"the extra tensor {', '.join(sorted(by_name))}", "none")


def check_file(path: Path) -> None:
    """Check that a file exists and is not larger than the contract allows.

    Raises
    ------
    ModelNotFound, ModelTooLarge
    """
    try:
        status = path.stat()
    except (OSError, ValueError):  # a name may be too long, or have a NUL in it
        status = None
    if status is None or not stat.S_ISREG(status.st_mode):
        raise ModelNotFound(
            f"{path}: no model file there; give one with --model, "
            "or leave --model out to play the bundled one"
        )
    size = status.st_size
    if size > MAX_MODEL_BYTES:
        raise ModelTooLarge(
            f"{path}: {size:,} bytes found, at most {MAX_MODEL_BYTES:,} expected; "
            "export a smaller network"
        )


def _kind(tensor: Tensor | None) -> str:
    if tensor is None:
        return "nothing"
    shape = ", ".join("n" if size is None else str(size) for size in tensor.shape)
    return f"{tensor.dtype} ({shape})"


def _version(metadata: Mapping[str, str]) -> int:
    """The version that a file names, which decides what keys it must have."""
    text = metadata.get("contract_version")
    if text is None:
        raise refusal("metadata", "no contract_version", "a Lo-Fi Switchboard model")
    version = parse_int("contract_version", text)
    _check_version(version)
    return version


def _check_version(version: int) -> None:
    if version in ACCEPTED_VERSIONS:
        return
    expected = " or ".join(map(str, ACCEPTED_VERSIONS))
    if version > CONTRACT_VERSION:
        expected += "; the file is newer than this installation: update it"
    raise refusal("contract_version", str(version), expected)


def _keys(version: int) -> list[str]:
    return [key for key in _PARSERS if _SINCE.get(key, 1) <= version]


def _check_sizes(card: ModelCard) -> None:
    for name, (low, high) in _LIMITS.items():
        value = getattr(card, name)
        if not low <= value <= high:
            raise refusal(name, str(value), f"{low} to {high}")
    if card.n_slots != SLOTS_PER_BEAT * card.beats_per_loop:
        expected = f"{SLOTS_PER_BEAT} a beat, {SLOTS_PER_BEAT * card.beats_per_loop}"
        raise refusal("n_slots", str(card.n_slots), expected)
    if card.n_slots * card.n_channels > _MOST_SCORE_NUMBERS:
        sizes = f"a score of {card.n_slots} x {card.n_channels} numbers"
        raise refusal("n_slots and n_channels", sizes, f"{_MOST_SCORE_NUMBERS:,} in all")
    most_guided = card.n_bins if card.contract_version >= _SINCE["n_guided"] else 0
    if not 0 <= card.n_guided <= most_guided:
        raise refusal("n_guided", str(card.n_guided), f"0 to {most_guided}")
    # Without a variation there would be no number that could be NaN.
    has_parts = card.contract_version >= _SINCE["n_codes"] and card.n_variation > 0
    most_codes = _MOST_SCORE_NUMBERS // card.n_slots if has_parts else 0
    if not 0 <= card.n_codes <= most_codes:
        raise refusal("n_codes", str(card.n_codes), f"0 to {most_codes}")


def _check_signal(card: ModelCard) -> None:
    if card.n_fft % card.hop_length or card.n_fft < 4 * card.hop_length or card.n_fft % 2:
        expected = "an even n_fft that is a multiple of hop_length, four times it or more"
        raise refusal("n_fft and hop_length", f"{card.n_fft} and {card.hop_length}", expected)
    if card.n_fft > _MOST_OVERLAPPING * card.hop_length:
        expected = f"an n_fft of at most {_MOST_OVERLAPPING} times hop_length"
        raise refusal("n_fft and hop_length", f"{card.n_fft} and {card.hop_length}", expected)
    if card.window not in WINDOWS:
        raise refusal("window", repr(card.window), " or ".join(map(repr, WINDOWS)))
    if not -30 < card.log_floor < 10:
        raise refusal("log_floor", str(card.log_floor), "a number between -30 and 10")
    if not 20 <= card.tempo_bpm <= 400:
        raise refusal("tempo_bpm", str(card.tempo_bpm), "20 to 400")


def _check_description(card: ModelCard) -> None:
    check_text("title", card.title, 200)
    check_labels(card.switch_labels, card.n_switches)
    check_json("provenance", dict(card.provenance))
    if card.scores and card.contract_version < _SINCE["scores"]:
        raise refusal("scores", f"scores in version {card.contract_version}", "none")
    check_scores(card.scores)


def _check_golden(card: ModelCard) -> None:
    golden = card.golden
    sizes = (len(golden.switches), len(golden.variation), len(golden.log_magnitude))
    expected = (card.n_switches, card.n_variation, len(golden.positions) * card.n_bins)
    if sizes != expected or not golden.positions:
        raise refusal("golden", f"{sizes} numbers", f"{expected}")
    if len(golden.positions) > _MOST_GOLDEN_FRAMES:
        most = f"at most {_MOST_GOLDEN_FRAMES}"
        raise refusal("golden", f"{len(golden.positions)} positions", most)
    n_magnitudes = len(golden.log_magnitude) if card.contract_version >= _SINCE["magnitude"] else 0
    n_advances = 2 * card.n_guided * len(golden.positions)
    for what, found, n in (
        ("magnitudes", len(golden.magnitude), n_magnitudes),
        ("phase advances", len(golden.phase_advance), n_advances),
    ):
        if found != n:
            raise refusal("golden", f"{found} {what} in version {card.contract_version}", str(n))
    golden.check()


_PARSERS: dict[str, Callable[[str, str], Any]] = {
    "contract_version": parse_int,
    "sample_rate": parse_int,
    "n_fft": parse_int,
    "hop_length": parse_int,
    "window": parse_text,
    "log_floor": parse_float,
    "n_switches": parse_int,
    "n_variation": parse_int,
    "n_slots": parse_int,
    "n_channels": parse_int,
    "n_guided": parse_int,
    "n_codes": parse_int,
    "beats_per_loop": parse_int,
    "tempo_bpm": parse_float,
    "title": parse_text,
    "switch_labels": parse_labels,
    "provenance": parse_object,
    "golden": lambda _key, text: Golden.from_json(text),
    "scores": parse_scores,
}
