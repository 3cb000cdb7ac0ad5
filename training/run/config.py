"""A run: the folder that holds one training, from its configuration to its finished networks.

``config.json``     what was asked for
``checkpoint.pt``   the latest state, replaced atomically; training goes on from here
``curves.csv``      the course of losses, one row per report; ``curves.png`` draws it; the latest
                    figures on held-out loops are the run's scores
``preview/``        held-out loops through the codec, and panel states, as the box will play them
``codec.json``      where the codec comes from, if from another run
``start.json``      where all networks come from, if from another run
``model.pt``        the finished networks with all the export needs
"""

import csv
import io
import json
import math
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, BinaryIO, Self

import torch
from torch import Tensor

from device.errors import OutputError, SwitchboardError
from device.files import written_whole
from device.model.contract import WINDOWS
from device.system.outputs import regular_target
from training.corpus.reader import MARGIN, is_positive, is_whole
from training.features.analysis import Analysis
from training.features.bands import KINDS, most_mel_bands
from training.networks.codec import Codec
from training.networks.composer import N_HEADS, Composer, Reader
from training.networks.discriminator import Critic
from training.switch_axes.discovered import Axes, DiscoveredAxes
from training.switch_axes.labels import LabelledAxes
from training.switch_axes.principal_components import ComponentAxes

PRECISIONS = ("float32", "bfloat16")
# Where switches get their meaning from.
WAYS = ("discovered", "components", "labels")
CODEC_ORIGIN = "codec.json"
START_ORIGIN = "start.json"
# What is drawn of a loop to train on goes on for half a bar, so that its movement can be heard.
STRETCH_SLOTS = 8
# No size is larger.
_MOST = 2**31
_SHOWN = 200  # characters of a reason that is not ours
_KINDS: Mapping[Any, tuple[Any, str]] = {
    bool: (bool, "true or false"),
    int: (int, f"a whole number, {_MOST} at most"),
    float: ((int, float), "a number"),
    str: (str, "a text"),
}
# What a codec's weights and digits depend on.
CODEC_SETTINGS = ("n_digits", "n_levels", "width", "n_channels", "hidden", "analysis")
# What the other networks depend on.
PANEL_SETTINGS = (
    "composer_width",
    "composer_layers",
    "reader_width",
    "n_switches",
    "n_variation",
    "switches",
    "labels",
)


class TrainingError(SwitchboardError, ValueError):
    """A run cannot start, go on or be read."""

    exit_code = 21


@dataclass(frozen=True)
class Config:
    """Sizes of the networks and their schedule; every field can be set from the command line.

    Attributes
    ----------
    n_digits, n_levels : int
        The code of one slot; `n_levels` is odd, so that 0 is among them.
    width, n_channels, hidden : int
        Of the codec: over slots, of the score, inside the renderer.
    composer_width, composer_layers, reader_width : int
    n_switches, n_variation : int
    switches : str
        Where they get their meaning from, one of `WAYS`.
    labels : str
        What they stand for where that is labels, separated by commas; else empty.
    reach : float
        How far along its axis a switch goes either way, in standard deviations of the corpus. With
        the default panels are a little wider than music is, and every switch stands clear of what
        the variation does.
    codec_loops, codec_slots : int
        Loops in a batch, and how many of their slots are drawn, in stretches of half a bar.
    continues : bool
        Whether the networks come from a finished run. The encoder then stays as it is, for the
        composer goes on with its digits.
    modulation_weight : float
        How dear it is that drawn frames move too little, or too much; 0 leaves it out.
    composer_loops : int
    codec_rate, composer_rate : float
        Peak learning rates.
    codec_share : float
        Part of the budget that trains the codec; the rest trains the composer. 0 where the codec
        comes from another run.
    divergence_weight : float
        How dear a nat in the variation is.
    panel_variations, panel_states : int
        Random panel states in a batch: so many variations, each in so many states.
    aim_weight : float
        How dear, in nats, one squared deviation from what the switches say; 0 leaves it out.
    echo_weight : float
        How dear one squared deviation of a variation that the reader does not find again.
    critic_weight : float
        How dear, in nats, a point of the critic's score is; 0 leaves it out.
    precision : str
        'float32' or 'bfloat16', the latter for the forward passes alone.
    seed : int
    analysis : Analysis

    Raises
    ------
    TrainingError
        If a value cannot work, before hours were spent on it.
    """

    n_digits: int = 16
    n_levels: int = 5
    width: int = 192
    n_channels: int = 384
    hidden: int = 640
    composer_width: int = 144
    composer_layers: int = 4
    reader_width: int = 128
    n_switches: int = 8
    n_variation: int = 16
    switches: str = "discovered"
    labels: str = ""
    reach: float = 1.25
    codec_loops: int = 8
    codec_slots: int = 96
    continues: bool = False
    modulation_weight: float = 0.3
    composer_loops: int = 32
    codec_rate: float = 1e-3
    composer_rate: float = 8e-4
    codec_share: float = 0.6
    divergence_weight: float = 0.7
    panel_variations: int = 2
    panel_states: int = 8
    aim_weight: float = 400.0
    echo_weight: float = 5.0
    critic_weight: float = 30.0
    precision: str = "float32"
    seed: int = 1
    analysis: Analysis = field(default_factory=Analysis)

    def __post_init__(self) -> None:
        # Their kinds first: the others are about numbers.
        for expectations in (_kinds, _expectations, _of_analysis):
            for name, (holds, expected) in expectations(self).items():
                if not holds:
                    found = _setting(self, name)
                    raise TrainingError(f"setting {name}: found {found}, expected {expected}")

    @property
    def label_names(self) -> tuple[str, ...]:
        """What the switches stand for, one by one; nothing unless labels are asked for."""
        return tuple(self.labels.split(",")) if self.labels else ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-able fields, the analysis nested."""
        return asdict(self)

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Self:
        """Make the settings that `to_dict` took apart.

        Raises
        ------
        TrainingError
            If one is unknown, missing or cannot work.
        """
        try:
            return cls(**{**raw, "analysis": Analysis(**raw["analysis"])})
        except (KeyError, TypeError) as error:
            raise TrainingError(f"settings of another version: {error}; train again") from error


def _setting(config: Config, name: str) -> Any:
    group, _, inner = name.rpartition(".")
    return getattr(getattr(config, group) if group else config, inner)


def _kinds(config: Config) -> dict[str, tuple[bool, str]]:
    """Say of each setting whether it is of the kind that its default is of."""
    groups = (("", config), ("analysis.", config.analysis))
    return {
        f"{prefix}{each.name}": _kind(getattr(group, each.name), each.type)
        for prefix, group in groups
        for each in fields(group)
        if each.type in _KINDS
    }


def _kind(value: Any, kind: Any) -> tuple[bool, str]:
    accepted, expected = _KINDS[kind]
    # To Python a bool is an int.
    fits = isinstance(value, accepted) and isinstance(value, bool) == (kind is bool)
    return fits and (kind is not int or abs(value) <= _MOST), expected


def _expectations(config: Config) -> dict[str, tuple[bool, str]]:
    """Say of each setting whether it can work, and what would."""
    sizes = (
        "n_digits n_channels hidden composer_layers "
        "codec_loops composer_loops panel_variations panel_states"
    )
    heads = f"a multiple of the {N_HEADS} heads"
    return {
        **{name: (getattr(config, name) >= 1, "1 or more") for name in sizes.split()},
        "n_levels": (config.n_levels in range(3, 256, 2), "an odd number, 3 to 255"),
        "width": (config.width >= 2, "2 or more"),
        "composer_width": (_is_multiple(config.composer_width, N_HEADS), heads),
        "reader_width": (_is_multiple(config.reader_width, N_HEADS), heads),
        "n_switches": (1 <= config.n_switches <= 16, "1 to 16"),
        "n_variation": (0 <= config.n_variation <= 256, "0 to 256"),
        "switches": (config.switches in WAYS, " or ".join(WAYS)),
        "labels": _names_fit(config),
        "reach": (0 < config.reach <= 3, "a positive number, 3 at most"),
        "codec_rate": (0 < config.codec_rate < math.inf, "a positive number"),
        "composer_rate": (0 < config.composer_rate < math.inf, "a positive number"),
        "codec_slots": (
            config.codec_slots >= STRETCH_SLOTS,
            f"a stretch of {STRETCH_SLOTS} or more",
        ),
        "modulation_weight": (0 <= config.modulation_weight < math.inf, "0 or more"),
        "codec_share": (0 <= config.codec_share < 1, "0 to less than 1"),
        "divergence_weight": (0 <= config.divergence_weight < math.inf, "0 or more"),
        "aim_weight": (0 <= config.aim_weight < math.inf, "0 or more"),
        "echo_weight": (0 <= config.echo_weight < math.inf, "0 or more"),
        "critic_weight": (0 <= config.critic_weight < math.inf, "0 or more"),
        "precision": (config.precision in PRECISIONS, " or ".join(PRECISIONS)),
        "seed": (config.seed >= 0, "0 or more"),
    }


def _names_fit(config: Config) -> tuple[bool, str]:
    names = config.label_names
    if config.switches != "labels":
        return not names, f"none, for switches are {config.switches}"
    different = all(names) and len(set(names)) == len(names) == config.n_switches
    return different, f"a different name for each of the {config.n_switches} switches"


def _of_analysis(config: Config) -> dict[str, tuple[bool, str]]:
    analysis = config.analysis
    n_fft, hop_length = analysis.n_fft, analysis.hop_length
    checks = {
        "analysis.bands": (analysis.bands in KINDS, " or ".join(KINDS)),
        "analysis.window": (analysis.window in WINDOWS, " or ".join(WINDOWS)),
        "analysis.n_fft": (
            n_fft >= 128 and n_fft % 2 == 0 and n_fft <= 2 * MARGIN,
            f"an even number, 128 to {2 * MARGIN}",
        ),
        "analysis.hop_length": (
            # What the contract asks for; the export would refuse it after hours of training.
            _is_multiple(n_fft, hop_length) and n_fft >= 4 * hop_length,
            f"a part of n_fft {n_fft}, a quarter of it at most",
        ),
        "analysis.floor": (0 < analysis.floor < math.inf, "a positive number"),
        "analysis.frames_per_slot": (analysis.frames_per_slot >= 2, "2 or more"),
    }
    return checks | _band_sizes(analysis)


def _band_sizes(analysis: Analysis) -> dict[str, tuple[bool, str]]:
    n_bands, n_linear, n_bins = analysis.n_bands, analysis.n_linear, analysis.n_bins
    if analysis.bands == "warped":
        # Wide bands grow by a factor of 2 at most, and together reach the last bin.
        n_wide, n_bins_above = n_bands - n_linear, n_bins - n_linear
        reach_the_top = 1 <= n_wide <= n_bins_above < 2 ** (n_wide + 1) - 1
        return {
            "analysis.n_bands": (1 < n_bands <= n_bins, f"2 to {n_bins} bins"),
            "analysis.n_linear": (
                n_linear >= 1 and reach_the_top,
                f"1 or more, with bands left of {n_bands} for the bins above",
            ),
        }
    most = most_mel_bands(n_bins, analysis.sample_rate)
    fits = {
        "mel": (2 <= n_bands <= most, f"2 to {most}: more mel bands are narrower than a bin"),
        "linear": (n_bands == n_bins, f"{n_bins}: linear bands are all bins of the window"),
    }
    return {
        "analysis.n_bands": fits.get(analysis.bands, (True, "")),
        "analysis.n_linear": (n_linear == 0, "0: only warped bands have single bins to choose"),
    }


def _is_multiple(number: int, of: int) -> bool:
    return of >= 1 and number >= of and number % of == 0


@dataclass
class Networks:
    """The networks of a run, and the axes between them and the panel."""

    codec: Codec
    composer: Composer
    reader: Reader
    axes: Axes
    critic: Critic

    @classmethod
    def build(cls, config: Config, n_slots: int) -> Self:
        """Fresh networks, initialised from the run's seed.

        Raises
        ------
        TrainingError
            If networks of these sizes do not fit into memory.
        """
        try:
            return cls._build(config, n_slots)
        except (MemoryError, RuntimeError) as error:
            # torch's own text has several lines.
            raise TrainingError(
                f"found no memory for networks of these sizes ({str(error).splitlines()[0]}); "
                "choose smaller ones"
            ) from error

    @classmethod
    def _build(cls, config: Config, n_slots: int) -> Self:
        torch.manual_seed(config.seed)
        code = {"n_digits": config.n_digits, "n_levels": config.n_levels}
        codec = Codec(
            n_bands=config.analysis.n_bands,
            frames_per_slot=config.analysis.frames_per_slot,
            width=config.width,
            n_channels=config.n_channels,
            hidden=config.hidden,
            **code,
        )
        composer = Composer(
            n_slots=n_slots,
            width=config.composer_width,
            n_layers=config.composer_layers,
            n_latent=config.n_switches + config.n_variation,
            **code,
        )
        axes = _axes(config)
        reader = Reader(n_slots=n_slots, n_read=axes.n_read, width=config.reader_width, **code)
        critic = Critic(n_slots=n_slots, width=config.reader_width, **code)
        return cls(codec, composer, reader, axes, critic)

    def to(self, device: torch.device) -> Self:
        """Move all to a device."""
        for network in vars(self).values():
            network.to(device)
        return self

    def state(self) -> dict[str, dict[str, Tensor]]:
        """All weights."""
        return {name: network.state_dict() for name, network in vars(self).items()}

    def load(self, state: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Take weights over.

        Raises
        ------
        TrainingError
            If they are of another version, or no numbers.
        """
        for name, network in vars(self).items():
            if not isinstance(state, Mapping) or name not in state:
                raise TrainingError(f"weights of another version: found no {name}; train again")
            found = state[name]
            if not isinstance(found, Mapping) or not all(map(torch.is_tensor, found.values())):
                raise TrainingError(f"weights of {name}: found none, expected tensors; train again")
            try:
                network.load_state_dict(found)
            except RuntimeError as error:
                # torch lists every one of them, each on a line.
                reason = " ".join(str(error).split())
                raise TrainingError(
                    f"weights of another version: {name}: {reason[:_SHOWN]}; train again"
                ) from error
            for part, tensor in network.state_dict().items():
                if not tensor.isfinite().all():
                    raise TrainingError(
                        f"weights of {name}: found {part} with what is no finite number; bring "
                        "back a copy, or train again"
                    )


def _axes(config: Config) -> Axes:
    """The way in which the switches of a run get their meaning."""
    if config.switches == "labels":
        return LabelledAxes(config.label_names, config.n_variation, reach=config.reach)
    way = {"discovered": DiscoveredAxes, "components": ComponentAxes}[config.switches]
    return way(config.n_switches, config.n_variation, reach=config.reach)


@dataclass(frozen=True)
class FinishedRun:
    """What `model.pt` holds, opened, and the scores that its curves end in."""

    config: Config
    n_slots: int
    tempo_bpm: float
    networks: Networks
    switch_labels: tuple[str, ...]
    provenance: dict[str, Any]
    scores: Mapping[str, float] = field(default_factory=dict)


@contextmanager
def replaced(path: Path) -> Iterator[BinaryIO]:
    """Open a file of a run for writing anew, whole or not at all.

    Raises
    ------
    OutputError
        If it cannot be written; what was there before stays.
    """
    target = regular_target(path)
    # One name for all processes: what a killed run left is overwritten by the next.
    with explained(path), written_whole(target, target.with_name(target.name + ".part")) as file:
        yield file


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Say which file of a run could not be written, and how to go on.

    Raises
    ------
    OutputError
        Instead of any other error of the system.
    """
    try:
        yield
    except OSError as error:
        if isinstance(error, SwitchboardError):
            raise
        has_checkpoint = (path.parent / "checkpoint.pt").is_file()
        raise OutputError(
            f"{path}: cannot be written ({error.strerror or error}); "
            + (
                "the latest checkpoint is whole: make room and go on with --resume"
                if has_checkpoint
                else "make room, or choose another --out"
            )
        ) from error


def save_atomically(path: Path, content: Any) -> None:
    """Write with torch.save, whole or not at all.

    Raises
    ------
    OutputError
        If it cannot be written; what was there before stays.
    """
    # In memory first: of a full disk torch says no more than where its pointer stood.
    packed = io.BytesIO()
    torch.save(content, packed)
    with replaced(path) as file:
        file.write(packed.getbuffer())


def save_json(path: Path, content: Any) -> None:
    """Write JSON, whole or not at all."""
    with replaced(path) as file:
        file.write(json.dumps(content, indent=2).encode() + b"\n")


def load_saved(path: Path) -> dict[str, Any]:
    """Read what `save_atomically` wrote.

    Raises
    ------
    TrainingError
        If the file is damaged or not of this kind.
    """
    damaged = (
        f"{path}: cannot be read, found damage or other things than weights and plain values; "
        "expected a file of `switchboard train`: bring back a copy, or run it again with --resume"
    )
    if not path.is_file():
        raise TrainingError(f"{path}: cannot be read, found no regular file; bring back a copy")
    try:
        # torch does not compare checksums.
        with zipfile.ZipFile(path) as archive:
            is_undamaged = archive.testzip() is None
        # weights_only: a run may come from elsewhere, and a pickle could carry code.
        # Opened here: torch itself takes no name that is not UTF-8.
        with path.open("rb") as file:
            content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        # What damaged bytes make an unpickler raise has no limits, and torch's own text would
        # advise to trust the file.
        raise TrainingError(damaged) from error
    if not is_undamaged:
        raise TrainingError(damaged)
    if not isinstance(content, dict):
        raise TrainingError(
            f"{path}: found {type(content).__name__}, expected a run's contents; bring back a copy"
        )
    return content


@contextmanager
def blamed(path: Path) -> Iterator[None]:
    """Name the file in what is wrong with its contents."""
    try:
        yield
    except TrainingError as error:
        raise TrainingError(f"{path}: {error}") from error


def check_contents(content: Mapping[str, Any], expected: Mapping[str, tuple[Any, str]]) -> None:
    """Hold what a file of a run holds against what it should.

    Parameters
    ----------
    expected : mapping
        Name → what says whether a value fits, and words for what would.

    Raises
    ------
    TrainingError
        If something is missing or of another kind.
    """
    for name, (fits, words) in expected.items():
        if name not in content:
            raise TrainingError(
                f"found no {name}, expected {words}; bring back a copy, or train again"
            )
        if not fits(content[name]):
            found = ascii(content[name])
            shown = found if len(found) <= 40 else f"{found[:40]}…"
            raise TrainingError(
                f"found {name} {shown}, expected {words}; bring back a copy, or train again"
            )


def _is_mapping(value: Any) -> bool:
    return isinstance(value, Mapping)


def _are_texts(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(each, str) for each in value)


_FINISHED: Mapping[str, tuple[Any, str]] = {
    "config": (_is_mapping, "the settings of the run"),
    "n_slots": (lambda value: is_whole(value, 1), "a number of 16th notes"),
    "tempo_bpm": (is_positive, "a positive number"),
    "networks": (_is_mapping, "weights"),
    "switch_labels": (_are_texts, "a name for each switch"),
    "provenance": (_is_mapping, "where the run comes from"),
}


def save_run(directory: Path, run: FinishedRun) -> None:
    """Write ``model.pt``, from which `open_run` makes the same run again."""
    content = {
        "config": run.config.to_dict(),
        "n_slots": run.n_slots,
        "tempo_bpm": run.tempo_bpm,
        "networks": run.networks.state(),
        "switch_labels": list(run.switch_labels),
        "provenance": run.provenance,
    }
    save_atomically(directory / "model.pt", content)


def open_run(directory: Path) -> FinishedRun:
    """Open the finished networks of a run, on the CPU, ready to compute.

    Raises
    ------
    TrainingError
        If there is no run, or it is not finished, or its file is damaged.
    """
    path = directory / "model.pt"
    if not path.is_file():
        found = "an unfinished run" if (directory / "checkpoint.pt").is_file() else "no run"
        raise TrainingError(
            f"{directory}: found {found}, expected {path.name}; "
            "finish it with `switchboard train CORPUS --out RUN --resume`"
        )
    content = load_saved(path)
    with blamed(path):
        check_contents(content, _FINISHED)
        config = Config.from_dict(content["config"])
        n_labels = len(content["switch_labels"])
        if n_labels != config.n_switches:
            raise TrainingError(
                f"found {n_labels} switch_labels, expected {config.n_switches}; train again"
            )
        networks = Networks.build(config, content["n_slots"])
        networks.load(content["networks"])
    for network in vars(networks).values():
        network.eval()
    return FinishedRun(
        config=config,
        n_slots=content["n_slots"],
        tempo_bpm=content["tempo_bpm"],
        networks=networks,
        switch_labels=tuple(content["switch_labels"]),
        provenance=content["provenance"],
        scores=held_out_scores(directory / "curves.csv"),
    )


def held_out_scores(curves: Path) -> dict[str, float]:
    """Read the latest figures on held-out loops, such as ``codec_held_out_db``.

    Raises
    ------
    TrainingError
        If the file is damaged. Where there is none there are no scores.
    """
    if not curves.exists():
        return {}
    try:
        with curves.open(newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            if not {"stage", "figure", "value"} <= set(rows.fieldnames or ()):
                raise KeyError("figure")
            return {
                f"{row['stage']}_{row['figure']}": _finite(row["value"])
                for row in rows
                if row["figure"].startswith("held_out")
            }
    except (KeyError, TypeError, ValueError, AttributeError, OSError, csv.Error) as error:
        raise TrainingError(
            f"{curves}: found a damaged row, expected stage, figure and value; bring back a copy, "
            "or remove the file to export without scores"
        ) from error


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def read_origins(directory: Path) -> dict[str, Any]:
    """Read where networks of a run come from, if from other runs: of ``codec`` and ``start``.

    Raises
    ------
    TrainingError
        If a file is damaged.
    """
    origins = {}
    for what, name in (("codec", CODEC_ORIGIN), ("start", START_ORIGIN)):
        path = directory / name
        if path.exists():
            origins[what] = _origin(path)
    return origins


def _origin(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    except (OSError, ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise TrainingError(
            f"{path}: cannot be read, expected where networks of the run come from; bring back a "
            "copy, or remove it to go on without"
        )
    return content
