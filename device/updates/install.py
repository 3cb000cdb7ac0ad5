"""How a model gets into the store: recognised by its hash or validated; the result is recorded."""

from collections.abc import Callable
from pathlib import Path

from device.errors import ModelOutOfReach, ModelRefused
from device.store.store import ModelStore
from device.store.upload import Upload
from device.updates import validation
from device.updates.validation import Report, ValidationResult

Validate = Callable[[Path, Report], ValidationResult]


def validate_in_process(path: Path, report: Report) -> ValidationResult:
    """Validate a file in a process of its own; see `device.updates.validation`."""
    return validation.validate(path, report)


def known_verdict(store: ModelStore, digest: str) -> ValidationResult | None:
    """The recorded result for a hash that was validated before.

    Returns
    -------
    None if it has not been validated, or if its file is missing or damaged: validating an upload
    of it then repairs the store.
    """
    refusal = store.refusal(digest)
    if refusal is not None:
        return ValidationResult(False, 0.0, "history", refusal, ModelRefused.exit_code)
    if store.is_accepted(digest) and _is_whole(store, digest):
        return ValidationResult(accepted=True, seconds=0.0)
    return None


def _is_whole(store: ModelStore, digest: str) -> bool:
    try:
        return store.is_whole(digest)
    except ModelOutOfReach:
        return False


def install(
    store: ModelStore, incoming: Upload, report: Report, validate: Validate = validate_in_process
) -> ValidationResult:
    """Validate an upload; keep it if it is accepted, roll back if it is active and is refused.

    Raises
    ------
    StoreError, StoreFull, OutputError
    """
    incoming.flush()
    with store.validation_lock():
        result = validate(incoming.path, report)
    if result.accepted:
        store.accept(incoming.keep())
    elif result.is_final and incoming.is_whole():
        store.roll_back(result.line, digest=incoming.digest)
    return result
