"""The release gate: conditions that a model must meet before it is released."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from math import isnan

from device.errors import SwitchboardError
from training.evaluation.evaluate import Evaluation
from training.evaluation.factors import discovers_switches

PARTS = ("likeness", "defects", "switches")

# Mean distance of a family of figures from held-out music, in standard deviations.
MOST_DISTANCE = {"sharp": 1.1, "timbre": 0.6, "rhythm": 0.7, "notes": 0.65}
# Variety of the renders' pitches, as a share of that of held-out music.
LEAST_DIVERSITY = 0.8
MOST_DEFECT_DISTANCE = 0.6
# Figures that fall when a decoder blurs, and the largest allowed shift of their median.
SHIFTS = ("quef_hi", "mod_4_12", "melgrad_t")
MOST_SHIFT = 0.8
LEAST_COHERENCE, COHERENT_SHARE = 0.6, 0.75
LEAST_RECOGNISED = 0.95
# Of switches that were learnt from versions, each of which changes one factor alone. The least
# change is relative to what renders of one state differ by.
LEAST_RECOGNISED_FACTOR, LEAST_FACTOR_COHERENCE, LEAST_FACTOR_CHANGE = 0.99, 0.7, 1.5
LEAST_HARMONY = {"drums": 0.93, "bass": 0.88, "melody": 0.88, "pad": 0.88}
# Drums are most of the rhythm, and a busy version has another one.
LEAST_RHYTHM, RHYTHM_FACTORS = 0.9, ("drums", "busy")
# The mean of all switches that were discovered.
LEAST_MEAN_HARMONY = 0.88
# With most layers off a mix is softer: the generator's own versions are up to 14 LU below their
# median.
MOST_LU, MOST_LU_OF_FACTORS = 3.0, 20.0
LOUDEST_PEAK_DB = -1.0


class GateMissed(SwitchboardError, ValueError):
    """A valid model that misses a condition of the release gate."""

    exit_code = 27


@dataclass(frozen=True, slots=True)
class Threshold:
    """One condition of the gate.

    Attributes
    ----------
    part : str
        One of `PARTS`.
    found : float or None
        Measured value, by its name in JSON; None where nothing could be measured, which is a miss.
    is_least : bool
        Whether `limit` is the least there may be; else the most.
    """

    part: str
    name: str
    found: float | None
    limit: float
    unit: str
    is_least: bool

    @property
    def is_measured(self) -> bool:
        """Whether there was anything to measure."""
        return self.found is not None

    @property
    def status(self) -> str:
        """Met, missed, or a dash."""
        if not self.is_measured:
            return "–"
        return "met" if self.is_met else "missed"

    @property
    def is_met(self) -> bool:
        """Whether the condition is met; NaN and a missing value do not meet it."""
        if self.found is None:
            return False
        return self.found >= self.limit if self.is_least else self.found <= self.limit

    @property
    def expected(self) -> str:
        """The limit with its unit."""
        return f"at {'least' if self.is_least else 'most'} {_number(self.limit, self.unit)}"

    @property
    def measured(self) -> str:
        """The measured value with its unit."""
        return "not measured" if self.found is None else _number(self.found, self.unit)


def thresholds(evaluation: Evaluation) -> list[Threshold]:
    """Every condition with its measured value."""
    makers: list[Callable[[Evaluation], Iterator[Threshold]]] = [
        _likeness,
        _defects,
        _switches,
        _kept,
    ]
    return [threshold for make in makers for threshold in make(evaluation)]


def check(conditions: Collection[Threshold], title: str) -> None:
    """Check that every condition is met.

    Raises
    ------
    GateMissed
        Naming every condition that is not met.
    """
    missed = [threshold for threshold in conditions if not threshold.is_met]
    if missed:
        reasons = "; ".join(f"{t.name}: found {t.measured}, expected {t.expected}" for t in missed)
        raise GateMissed(
            f"model {title!r} misses {len(missed)} of {len(conditions)} conditions of the gate: "
            f"{reasons}; train it further, or ship another model"
        )


def _likeness(evaluation: Evaluation) -> Iterator[Threshold]:
    distance = evaluation.distances
    for group, most in MOST_DISTANCE.items():
        name = f"distance from held-out music, {group}"
        yield Threshold("likeness", name, distance.get(group), most, "sd", is_least=False)
    shifts = {each.name: abs(each.shift) for each in evaluation.comparisons}
    for figure in SHIFTS:
        name = f"shift of {figure}"
        yield Threshold("likeness", name, shifts.get(figure), MOST_SHIFT, "sd", is_least=False)
    pitches = evaluation.pitch_comparisons.get("model")
    diversity, least = None, 100 * LEAST_DIVERSITY
    if pitches is not None:
        diversity = 100 * pitches.diversity
    name = "diversity of pitches, of that of held-out music"
    yield Threshold("likeness", name, diversity, least, "%", is_least=True)


def _defects(evaluation: Evaluation) -> Iterator[Threshold]:
    def at_most(name: str, value: float | None, limit: float, unit: str = "") -> Threshold:
        return Threshold("defects", name, value, limit, unit, is_least=False)

    distance = evaluation.distances.get("defect")
    yield at_most("distance from held-out music, defect", distance, MOST_DEFECT_DISTANCE, "sd")
    yield at_most("silent or invalid renders", len(evaluation.silent_renders), 0)
    most_lu = MOST_LU_OF_FACTORS if evaluation.factors else MOST_LU
    yield at_most("loudness, furthest from its median", evaluation.loudness_range_lu, most_lu, "LU")
    yield at_most("loudest true peak", evaluation.loudest_peak_db, LOUDEST_PEAK_DB, "dBTP")


def _switches(evaluation: Evaluation) -> Iterator[Threshold]:
    def at_least(name: str, value: float, limit: float, unit: str = "") -> Threshold:
        return Threshold("switches", name, value, limit, unit, is_least=True)

    switches, similarity = evaluation.switches, evaluation.state_similarity
    n_coherent = sum(switch.coherence >= LEAST_COHERENCE for switch in switches)
    n_expected = -int(-COHERENT_SHARE * len(switches) // 1)
    yield at_least(f"switches of coherence {LEAST_COHERENCE:g} or more", n_coherent, n_expected)
    least = 100 * min(switch.recognised for switch in switches)
    limit = 100 * least_recognised(evaluation)
    yield at_least("recognition of the least clear switch", least, limit, "%")
    moves, limit = min(each.moves for each in switches), similarity.indistinguishable_distance
    if evaluation.factors:
        limit = LEAST_FACTOR_CHANGE * similarity.between_renders
    yield at_least("movement of the weakest switch", moves, limit, "sd")
    if not evaluation.factors:
        # Of a layer that does not play, nothing can be changed.
        name, least = "distance of the two nearest states", similarity.least_distance
        yield at_least(name, least, similarity.indistinguishable_distance, "sd")


def least_recognised(evaluation: Evaluation) -> float:
    """In what share of the renders each switch must be recognised."""
    return LEAST_RECOGNISED_FACTOR if evaluation.factors else LEAST_RECOGNISED


def _kept(evaluation: Evaluation) -> Iterator[Threshold]:
    """What a flip must leave as it is.

    Where one of two layers is flipped, half of the music is another one: the limits are those of a
    mix with and without a layer.
    """

    def at_least(name: str, value: float, limit: float) -> Threshold:
        found = None if isnan(value) else value
        return Threshold("switches", name, found, limit, "", is_least=True)

    if discovers_switches(evaluation.card):
        name = "harmony before and after a flip, mean of all switches"
        yield at_least(name, evaluation.mean_agreement.harmony, LEAST_MEAN_HARMONY)
    if evaluation.factors:
        least = min(switch.coherence_of_takes for switch in evaluation.switches)
        yield at_least("coherence of one render, least", least, LEAST_FACTOR_COHERENCE)
    for factor, agreement in zip(evaluation.factors, evaluation.agreements_in_a_mix, strict=True):
        if factor in LEAST_HARMONY:
            name = f"harmony before and after a flip of {factor}"
            yield at_least(name, agreement.harmony, LEAST_HARMONY[factor])
        if factor not in RHYTHM_FACTORS:
            name = f"rhythm before and after a flip of {factor}"
            yield at_least(name, agreement.rhythm, LEAST_RHYTHM)


def _number(value: float, unit: str) -> str:
    if not unit:
        return f"{value:.4g}"
    return f"{value:.1f} %" if unit == "%" else f"{value:.2f} {unit}"
