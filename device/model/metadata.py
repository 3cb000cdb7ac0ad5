"""How a model file's metadata are written as text, and strictly parsed again.

Standard library alone, as `device.model.contract`, which defines what they mean.
"""

import base64
import binascii
import json
import math
import re
import sys
import unicodedata
from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from itertools import chain
from typing import Any

from device.errors import ContractError

# A text of more characters, or a whole number beyond this, has no place in metadata.
MOST_TEXT = 10_000
MOST_NUMBER = 2**63
MOST_DEPTH = 20
_MOST_SCORES = 64
# Nepers, 0.9 dB: what differs by more is not the same.
_MOST_TOLERANCE = 0.1
_MOST_SHOWN = 160

_SCORE_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}", re.ASCII)
_FLOAT = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,4})?", re.ASCII)
# Control characters, lone surrogates, format characters (marks and overrides of direction, joiners,
# tags) and separators of lines. Not those that Unicode has not assigned yet: which these are
# depends on the version of Python, and a device may have an older one.
_REFUSED_CATEGORIES = {"Cc", "Cs", "Cf", "Zl", "Zp"}
# Invisible by design, although Unicode counts them among letters, marks and symbols.
_INVISIBLE = set("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
_LAST_PLANE_CODES = (0xFFFE, 0xFFFF)


def refusal(what: str, found: str, expected: str) -> ContractError:
    """The error of every refusal of the contract: one line, whatever was found."""
    return ContractError(
        f"model {what}: found {shown(found)}, expected {expected}; "
        "export the model again with `switchboard export`"
    )


def shown(text: str) -> str:
    """Text from a file as it can be printed: no more than a line, invisible characters escaped."""
    cut = text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in cut)


def is_plain(text: str) -> bool:
    """Whether all characters of a text are such as metadata may have."""
    return (text.isascii() and text.isprintable()) or not any(map(_is_refused, text))


def plain(value: Any) -> Any:
    """A JSON value as metadata may have it: no refused characters, no NaN or infinite number.

    For writers of metadata: text from the tags of other people's files may contain anything.
    """
    if isinstance(value, str):
        cut = value[:MOST_TEXT]
        return "".join("\N{REPLACEMENT CHARACTER}" if _is_refused(c) else c for c in cut)
    if isinstance(value, dict):
        return {plain(str(key)): plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    return value if _is_usual(value) else None


def check_text(what: str, text: str, most: int) -> None:
    """Check that a text is neither blank nor long, and that all its characters are visible.

    Raises
    ------
    ContractError
    """
    if not text.strip() or len(text) > most:
        raise refusal(what, repr(text[:40]), f"1 to {most} characters")
    _check_plain(what, text)


def check_labels(labels: Sequence[str], n_switches: int) -> None:
    """Check that each switch has a label, a short text.

    Raises
    ------
    ContractError
    """
    if len(labels) != n_switches:
        raise refusal("switch_labels", f"{len(labels)} labels", f"{n_switches}, one per switch")
    if not all(label.strip() and len(label) <= 40 for label in labels):
        raise refusal("switch_labels", "an empty or long label", "1 to 40 characters each")
    for label in labels:
        check_text("switch_labels", label, 40)


def check_scores(scores: Mapping[str, float]) -> None:
    """Check that scores are few, have names of identifiers, and are finite.

    Raises
    ------
    ContractError
    """
    if len(scores) > _MOST_SCORES:
        raise refusal("scores", f"{len(scores)} of them", f"at most {_MOST_SCORES}")
    for name, value in scores.items():
        if not _SCORE_NAME.fullmatch(name):
            raise refusal("scores", f"the name {name[:40]!r}", "lower case, digits, underscores")
        finite(f"scores, {name}", value)


def check_json(what: str, value: Any) -> None:
    """Check that a JSON value has plain texts and finite numbers, and is not deep.

    Raises
    ------
    ContractError
    """
    for inner, depth in _walk(value):
        if depth > MOST_DEPTH:
            raise refusal(what, f"values {depth} deep in each other", f"{MOST_DEPTH} at most")
        if isinstance(inner, str):
            _check_plain(what, inner)
            if len(inner) > MOST_TEXT:
                size = f"a text of {len(inner):,} characters"
                raise refusal(what, size, f"{MOST_TEXT:,} at most")
        elif not _is_usual(inner):
            raise refusal(what, f"the number {str(inner)[:40]}", "finite ones of usual size")


def _check_plain(what: str, text: str) -> None:
    if not is_plain(text):
        names = sorted({f"U+{ord(c):04X}" for c in text if _is_refused(c)})
        raise refusal(what, f"the character {', '.join(names[:4])}", "characters that can be seen")


def _is_usual(value: object) -> bool:
    """Whether a value is no number, or a finite one that is short when it is written."""
    if isinstance(value, int):
        return -MOST_NUMBER < value < MOST_NUMBER
    return not isinstance(value, float) or math.isfinite(value)


def _is_refused(character: str) -> bool:
    return (
        unicodedata.category(character) in _REFUSED_CATEGORIES
        or character in _INVISIBLE
        or ord(character) & 0xFFFF in _LAST_PLANE_CODES
        or 0xFDD0 <= ord(character) <= 0xFDEF
    )


def _walk(value: Any) -> Iterator[tuple[Any, int]]:
    """Every value inside a JSON value, names included, and how deep it lies."""
    waiting = [(value, 0)]
    while waiting:
        inner, depth = waiting.pop()
        yield inner, depth
        if depth > MOST_DEPTH:
            return
        if isinstance(inner, dict):
            waiting += [(part, depth + 1) for pair in inner.items() for part in pair]
        elif isinstance(inner, (list, tuple)):
            waiting += [(part, depth + 1) for part in inner]


def parse_int(key: str, text: str) -> int:
    """Digits, and not so many that they cost anything."""
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        raise refusal(key, repr(text[:40]), "a whole number")
    return int(text)


def parse_float(key: str, text: str) -> float:
    """A finite number in ASCII digits."""
    value = float(text) if _FLOAT.fullmatch(text) else math.nan
    if not math.isfinite(value):
        raise refusal(key, repr(text[:40]), "a finite number")
    return value


def parse_text(_key: str, text: str) -> str:
    """Text as it is."""
    return text


def parse_json(key: str, text: str) -> Any:
    """Any JSON that Python can hold."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise refusal(key, f"text that is not JSON ({error})", "JSON") from error


def parse_object(key: str, text: str) -> dict[str, Any]:
    """A JSON object."""
    value = parse_json(key, text)
    if not isinstance(value, dict):
        raise refusal(key, type(value).__name__, "a JSON object")
    return value


def parse_scores(key: str, text: str) -> dict[str, float]:
    """A JSON object of finite numbers."""
    return {name: finite(key, value) for name, value in parse_object(key, text).items()}


def finite(key: str, value: object) -> float:
    """A finite JSON number: no NaN, no truth value, nothing beyond a float."""
    number = math.nan
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        with suppress(OverflowError):
            number = float(value)
    if not math.isfinite(number):
        raise refusal(key, f"{str(value)[:40]!r}", "a finite number")
    return number


def parse_labels(key: str, text: str) -> tuple[str, ...]:
    """A JSON list of texts."""
    value = parse_json(key, text)
    if not isinstance(value, list) or not all(isinstance(label, str) for label in value):
        raise refusal(key, repr(text[:40]), "a JSON list of texts")
    return tuple(value)


def pack(numbers: Sequence[float]) -> str:
    """Base64 of little-endian float32."""
    return base64.b64encode(_little_endian(array("f", numbers)).tobytes()).decode("ascii")


def unpack(text: object) -> tuple[float, ...]:
    """The numbers of a text that `pack` made."""
    if not isinstance(text, str):
        raise refusal("golden", type(text).__name__, "packed numbers")
    try:
        data = base64.b64decode(text, validate=True)
        return tuple(_little_endian(array("f", data)))
    except (binascii.Error, ValueError) as error:
        raise refusal("golden", f"damaged numbers ({error})", "packed float32") from error


def _little_endian(numbers: "array[float]") -> "array[float]":
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


@dataclass(frozen=True)
class Golden:
    """An input and its expected output, replayed by the device before it accepts the file.

    Attributes
    ----------
    switches, variation : tuple of float
        Input of the compose half.
    positions : tuple of float
        Input of the render half, in beats.
    log_magnitude : tuple of float
        Expected output of both halves in a row, (len(positions), n_bins) row by row.
    tolerance : float
        Largest absolute difference that still counts as the same, in nepers, and of the parts of
        a phase advance.
    magnitude : tuple of float
        What is to be inverted, of the same shape: the magnitudes above the log floor, as the
        training computes them. Empty before version 3.
    phase_advance : tuple of float
        Expected phase advance, (len(positions), 2 * n_guided) row by row; empty without one.
    """

    switches: tuple[float, ...]
    variation: tuple[float, ...]
    positions: tuple[float, ...]
    log_magnitude: tuple[float, ...]
    tolerance: float
    magnitude: tuple[float, ...] = ()
    phase_advance: tuple[float, ...] = ()

    def check(self) -> None:
        """Check that all numbers are finite, and that the tolerance is small.

        Raises
        ------
        ContractError
        """
        if not all(map(math.isfinite, chain(*(getattr(self, name) for name in _PACKED)))):
            raise refusal("golden", "numbers that are not finite", "finite ones")
        if self.tolerance > _MOST_TOLERANCE:
            found = f"{self.tolerance:g}"
            raise refusal("golden tolerance", found, f"at most {_MOST_TOLERANCE}")

    def with_magnitude(self, log_floor: float) -> "Golden":
        """The same, with the magnitudes that lie above a log floor."""
        floor = math.exp(log_floor)
        above = (max(math.exp(number) - floor, 0.0) for number in self.log_magnitude)
        return replace(self, magnitude=tuple(array("f", above)))

    def to_json(self) -> str:
        """Text form: numbers are base64 of little-endian float32."""
        texts = {
            name: pack(getattr(self, name))
            for name in _PACKED
            if name not in _OPTIONAL or getattr(self, name)
        }
        return json.dumps({**texts, "tolerance": self.tolerance})

    @classmethod
    def from_json(cls, text: str) -> "Golden":
        """Read `to_json`'s text.

        Raises
        ------
        ContractError
            If a part is missing, superfluous or not packed numbers.
        """
        raw = parse_object("golden", text)
        names = {f.name for f in fields(cls)}
        if set(raw) | _OPTIONAL != names:
            raise refusal("golden", f"the parts {sorted(raw)}", f"{sorted(names)}")
        tolerance = finite("golden tolerance", raw.pop("tolerance"))
        if tolerance <= 0:
            raise refusal("golden tolerance", str(tolerance), "more than 0")
        return cls(**{k: unpack(v) for k, v in raw.items()}, tolerance=tolerance)


_PACKED = ("switches", "variation", "positions", "log_magnitude", "magnitude", "phase_advance")
_OPTIONAL = {"magnitude", "phase_advance"}
