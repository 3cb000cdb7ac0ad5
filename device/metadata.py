"""How a model file's metadata are written as text, and strictly read again.

Standard library alone, as `device.contract`, which says what they mean.
"""

import base64
import binascii
import json
import math
import sys
from array import array
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from device.errors import ContractError


def refusal(what: str, found: str, expected: str) -> ContractError:
    """The one form that every refusal of the contract has."""
    return ContractError(
        f"model {what}: found {found}, expected {expected}; "
        "export the model again with `switchboard export`"
    )


def parse_int(key: str, text: str) -> int:
    """Digits, and not so many that they cost anything."""
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        raise refusal(key, repr(text[:40]), "a whole number")
    return int(text)


def parse_float(key: str, text: str) -> float:
    """A finite number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise refusal(key, repr(text), "a finite number")
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
    """A JSON number that is one: no NaN, no truth value, nothing beyond a float."""
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
    """What `pack` packed."""
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
