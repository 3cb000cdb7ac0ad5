"""A run: the folder that holds one training, from its configuration to its finished networks.

``config.json``     the requested settings
``checkpoint.pt``   the latest state, replaced atomically; training resumes from it
``curves.csv``      the course of losses, one row per report; ``curves.png`` draws it; the latest
                    figures on held-out loops are the run's scores
``starts.csv``      one row per start: when, from which step, with how many processes, where
``preview/``        held-out loops through the codec, and switch states, as the device plays them
``page.html``       all of these on a page, which is written again while the run trains
``codec.json``      where the codec comes from, if from another run
``start.json``      where all networks come from, if from another run
``model.pt``        the finished networks with all the export needs
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from operator import attrgetter
from typing import Any, Self

from device.errors import SwitchboardError
from device.model.contract import WINDOWS
from training.corpus.format import MARGIN
from training.features.analysis import SCALES, Analysis
from training.features.bands import KINDS, most_mel_bands
from training.networks.composer import N_HEADS

PRECISIONS = ("float32", "bfloat16")
# Where switches get their meaning from.
SWITCH_AXES = ("discovered", "components", "labels", "versions")
# Those that stand for labels of the loops.
LABELLED = ("labels", "versions")
# Slots are drawn in stretches of half a bar, for the modulation loss needs consecutive frames.
STRETCH_SLOTS = 8
# No size is larger.
_MOST = 2**31
_SHOWN = 200  # characters of torch's message
_KINDS: Mapping[Any, tuple[Any, str]] = {
    bool: (bool, "true or false"),
    int: (int, f"a whole number, {_MOST} at most"),
    float: ((int, float), "a number"),
    str: (str, "a text"),
}
# Settings that a codec's weights and codes depend on.
CODEC_SETTINGS = (
    "n_codes",
    "n_levels",
    "width",
    "n_channels",
    "hidden",
    "advance_hidden",
    "encoder_blocks",
    "n_factors",
    "analysis",
)
# Settings that the other networks depend on.
COMPOSER_SETTINGS = (
    "composer_width",
    "composer_layers",
    "reader_width",
    "n_rounds",
    "n_switches",
    "n_variation",
    "prior_size",
    "switches",
    "labels",
)


# Settings that `--batch auto` multiplies by the number of processes, and by its square root.
BATCH_SIZES = ("codec_loops", "codec_slots", "composer_loops", "panel_variations")
BATCH_RATES = ("codec_rate", "composer_rate")

# Names of settings in runs of earlier versions, and in --set → names now.
RENAMED_SETTINGS: Mapping[str, str] = {
    "n_digits": "n_codes",
    "reach": "switch_range",
    "echo_weight": "variation_reconstruction_weight",
}


# Of runs of versions in which these could not be set.
_BEFORE: Mapping[str, Any] = {
    "n_rounds": 1,
    "temperature": 0.0,
    "panel_every": 1,
    "prior_size": 0,
    "encoder_blocks": 2,
    "harmony_weight": 0.0,
    "rhythm_weight": 0.0,
    "agreement_weight": 0.0,
}


class TrainingError(SwitchboardError, ValueError):
    """A run cannot start, go on or be read."""

    exit_code = 21


@dataclass(frozen=True)
class Config:
    """Sizes of the networks and their schedule; every field can be set from the command line.

    Attributes
    ----------
    n_codes, n_levels : int
        The code of one slot; `n_levels` is odd, so that 0 is among them.
    width, n_channels, hidden, advance_hidden : int
        Channels of the codec: over slots, of the score, inside the frame decoder, and inside its
        head for the phase advance.
    encoder_blocks : int
        Layers over slots in the encoder.
    composer_width, composer_layers, reader_width : int
    n_rounds : int
        Rounds in which a loop is composed.
    temperature : float
        Of the random choice among what the logits leave open; 0 plays the most likely code.
    n_switches, n_variation : int
    prior_size : int
        Inferred variations that a state's variation is chosen from, see `VariationPrior`; 0 for
        normally distributed ones, and without effect on components.
    switches : str
        Where switches get their meaning from, one of `SWITCH_AXES`.
    labels : str
        With `switches` "labels" or "versions": the label of each switch, separated by commas; else
        empty.
    switch_range : float
        Distance that a switch moves along its axis either way, in standard deviations of the
        corpus. With the default the states spread wider than the corpus, and the effect of a
        switch is larger than that of the variation.
    codec_loops, codec_slots : int
        Loops in a batch, and how many of their slots are drawn, in stretches of half a bar.
    continues : bool
        Whether the networks come from a finished run. The encoder is then not
        trained: the composer continues on its codes.
    modulation_weight : float
        Weight of `modulation_loss`; 0 leaves it out.
    advance_weight : float
        Weight of `advance_loss`; without effect where no bins are guided.
    composer_loops : int
    codec_rate, composer_rate : float
        Peak learning rates.
    codec_share : float
        Part of the budget that trains the codec; the rest trains the composer. 0 where the codec
        comes from another run.
    divergence_weight : float
        Weight of the divergence, per nat.
    panel_variations, panel_states : int
        Random switch states in a batch: so many variations, each in so many states.
    panel_every : int
        Steps from one such batch to the next; its losses weigh as much as all of those together.
        A step without costs a fifth.
    aim_weight : float
        Weight of the squared deviation of states' descriptors from the expected ones, in nats; 0
        leaves it out.
    harmony_weight, rhythm_weight, agreement_weight : float
        Weights of `disagreement` of pitch classes, of onset patterns and of codes with those of the
        loop that a variation was inferred from (with `prior_size` 0, of its states with each
        other), in nats; 0 leaves it out.
    variation_reconstruction_weight : float
        Weight of the squared error with which the posterior encoder reconstructs a variation.
    critic_weight : float
        Weight of `generator_loss`, in nats per unit of the score; 0 leaves it out.
    precision : str
        'float32' or 'bfloat16', the latter for the forward passes alone.
    seed : int
    analysis : Analysis

    Raises
    ------
    TrainingError
        If a value cannot work.
    """

    n_codes: int = 20
    n_levels: int = 5
    width: int = 192
    n_channels: int = 384
    hidden: int = 576
    advance_hidden: int = 384
    encoder_blocks: int = 4
    composer_width: int = 144
    composer_layers: int = 4
    reader_width: int = 128
    n_rounds: int = 1
    temperature: float = 0.0
    n_switches: int = 8
    n_variation: int = 32
    prior_size: int = 1024
    switches: str = "discovered"
    labels: str = ""
    switch_range: float = 1.5
    codec_loops: int = 8
    codec_slots: int = 96
    continues: bool = False
    modulation_weight: float = 0.3
    advance_weight: float = 1.0
    composer_loops: int = 32
    codec_rate: float = 1e-3
    composer_rate: float = 8e-4
    codec_share: float = 0.4
    divergence_weight: float = 0.5
    panel_variations: int = 8
    panel_states: int = 2
    panel_every: int = 2
    aim_weight: float = 1000.0
    harmony_weight: float = 600.0
    rhythm_weight: float = 200.0
    agreement_weight: float = 100.0
    variation_reconstruction_weight: float = 5.0
    critic_weight: float = 30.0
    precision: str = "float32"
    seed: int = 1
    analysis: Analysis = field(default_factory=Analysis)

    def __post_init__(self) -> None:
        # Their kinds first: the others are about numbers.
        for expectations in (_kinds, _expectations, _of_analysis):
            for name, (holds, expected) in expectations(self).items():
                if not holds:
                    value = attrgetter(name)(self)
                    raise TrainingError(f"setting {name}: found {value}, expected {expected}")

    @property
    def label_names(self) -> tuple[str, ...]:
        """Labels of the switches, one by one; empty unless the switches stand for labels."""
        return tuple(self.labels.split(",")) if self.labels else ()

    @property
    def n_factors(self) -> int:
        """How many switches stand for factors of versions."""
        return self.n_switches if self.switches == "versions" else 0

    def for_processes(self, n: int) -> Self:
        """Settings with batches `n` times as large, and learning rates that fit them.

        The noise of a gradient falls with the square root of its batch, which is how the rate of
        an optimiser like Adam may grow (Malladi et al. 2022).
        """
        sizes = {name: n * getattr(self, name) for name in BATCH_SIZES}
        rates = {name: math.sqrt(n) * getattr(self, name) for name in BATCH_RATES}
        return replace(self, **sizes, **rates)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able fields, the analysis nested."""
        return asdict(self)

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Self:
        """Make settings from what `to_dict` returned, in this version or an earlier one.

        Raises
        ------
        TrainingError
            If one is unknown, missing or cannot work.
        """
        try:
            renamed = {RENAMED_SETTINGS.get(name, name): value for name, value in raw.items()}
            if len(renamed) < len(raw):
                raise KeyError("a setting under its old and its new name")
            return cls(**{**_BEFORE, **renamed, "analysis": Analysis.from_dict(raw["analysis"])})
        except (KeyError, TypeError) as error:
            raise TrainingError(f"settings of another version: {error}; train again") from error


def _kinds(config: Config) -> dict[str, tuple[bool, str]]:
    """For each setting: whether it has the type of its default."""
    groups = (("", config), ("analysis.", config.analysis))
    return {
        f"{prefix}{each.name}": _kind(getattr(group, each.name), each.type)
        for prefix, group in groups
        for each in fields(group)
        if each.type in _KINDS
    }


def _kind(value: Any, kind: Any) -> tuple[bool, str]:
    accepted, expected = _KINDS[kind]
    # In Python bool is a subclass of int.
    fits = isinstance(value, accepted) and isinstance(value, bool) == (kind is bool)
    return fits and (kind is not int or abs(value) <= _MOST), expected


def _expectations(config: Config) -> dict[str, tuple[bool, str]]:
    """For each setting: whether it can work, and the values that can."""
    heads = f"a multiple of the {N_HEADS} heads"
    return {
        **_of_ranges(config),
        "n_levels": (config.n_levels in range(3, 256, 2), "an odd number, 3 to 255"),
        "width": (config.width >= 2, "2 or more"),
        "composer_width": (_is_multiple(config.composer_width, N_HEADS), heads),
        "reader_width": (_is_multiple(config.reader_width, N_HEADS), heads),
        "n_switches": (1 <= config.n_switches <= 64, "1 to 64"),
        "n_variation": (0 <= config.n_variation <= 256, "0 to 256"),
        "prior_size": (0 <= config.prior_size <= 2**16, f"0 to {2**16}"),
        "switches": (config.switches in SWITCH_AXES, " or ".join(SWITCH_AXES)),
        "labels": _names_fit(config),
        "switch_range": (0 < config.switch_range <= 3, "a positive number, 3 at most"),
        "codec_slots": (
            config.codec_slots >= STRETCH_SLOTS,
            f"a stretch of {STRETCH_SLOTS} or more",
        ),
        "codec_share": (0 <= config.codec_share < 1, "0 to less than 1"),
        "temperature": (0 <= config.temperature <= 2, "0 to 2"),
        "precision": (config.precision in PRECISIONS, " or ".join(PRECISIONS)),
        "seed": (config.seed >= 0, "0 or more"),
    }


def _of_ranges(config: Config) -> dict[str, tuple[bool, str]]:
    """The same for settings of which several have one range: sizes, rates and weights."""
    codec_sizes = (
        "n_codes",
        "n_channels",
        "hidden",
        "advance_hidden",
        "encoder_blocks",
        "codec_loops",
    )
    composer_sizes = (
        "composer_layers",
        "n_rounds",
        "composer_loops",
        "panel_variations",
        "panel_states",
        "panel_every",
    )
    rates = ("codec_rate", "composer_rate")
    weights = [each.name for each in fields(config) if each.name.endswith("_weight")]
    return {
        **{
            name: (getattr(config, name) >= 1, "1 or more") for name in codec_sizes + composer_sizes
        },
        **{name: (0 < getattr(config, name) < math.inf, "a positive number") for name in rates},
        **{name: (0 <= getattr(config, name) < math.inf, "0 or more") for name in weights},
    }


def _names_fit(config: Config) -> tuple[bool, str]:
    names = config.label_names
    if config.switches not in LABELLED:
        return not names, f"none, for switches are {config.switches}"
    different = all(names) and len(set(names)) == len(names) == config.n_switches
    return different, f"a different name for each of the {config.n_switches} switches"


def _of_analysis(config: Config) -> dict[str, tuple[bool, str]]:
    analysis = config.analysis
    n_fft, hop_length = analysis.n_fft, analysis.hop_length
    # The frame a hop earlier must lie within the margin of a loop.
    is_known = analysis.window in WINDOWS
    most_guided = analysis.n_bins if is_known and analysis.peak + hop_length <= MARGIN else 0
    checks = {
        "analysis.bands": (analysis.bands in KINDS, " or ".join(KINDS)),
        "analysis.window": (analysis.window in WINDOWS, " or ".join(WINDOWS)),
        "analysis.n_fft": (
            n_fft >= 128 and n_fft % 2 == 0 and n_fft <= 2 * MARGIN,
            f"an even number, 128 to {2 * MARGIN}",
        ),
        "analysis.hop_length": (
            # The contract requires it; the export would reject the model after hours of training.
            _is_multiple(n_fft, hop_length) and n_fft >= 4 * hop_length,
            f"a part of n_fft {n_fft}, a quarter of it at most",
        ),
        "analysis.scale": (analysis.scale in SCALES, " or ".join(SCALES)),
        "analysis.n_guided": (0 <= analysis.n_guided <= most_guided, f"0 to {most_guided} bins"),
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
