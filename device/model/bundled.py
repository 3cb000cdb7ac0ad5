"""The models that come with the package, and what they are called in options."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from device.errors import ModelNotFound
from device.files import sha256_of

BUNDLED = "bundled"
_FOLDER = Path(__file__).parent
# The first one plays where no other is chosen.
BUNDLED_MODELS: Mapping[str, Path] = {
    "band": _FOLDER / "band.onnx",
    "studio": _FOLDER / "lofi.onnx",
}
BUNDLED_MODEL = next(iter(BUNDLED_MODELS.values()))


def bundled_model(word: str) -> Path | None:
    """The file of ``bundled`` or ``bundled:NAME``; None if the word is neither.

    Raises
    ------
    ModelNotFound
        If no bundled model has that name.
    """
    first, colon, name = word.partition(":")
    if first != BUNDLED:
        return None
    if not colon:
        return BUNDLED_MODEL
    if name not in BUNDLED_MODELS:
        names = ", ".join(f"{BUNDLED}:{known}" for known in BUNDLED_MODELS)
        raise ModelNotFound(f"{word!r}: no model of the package has that name; expected {names}")
    return BUNDLED_MODELS[name]


@cache
def bundled_digests() -> Mapping[str, Path]:
    """SHA-256 → file of each bundled model, in their order."""
    return {sha256_of(path): path for path in BUNDLED_MODELS.values()}


def bundled_digest() -> str:
    """SHA-256 of the model that plays where no other is chosen."""
    return next(iter(bundled_digests()))
