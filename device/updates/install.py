"""How a model gets into the store: known by its hash, or examined, and remembered either way."""

from collections.abc import Callable
from pathlib import Path

from device.errors import ModelOutOfReach, ModelRefused
from device.store.store import ModelStore
from device.store.upload import Upload
from device.updates.validation import Report, ValidationResult
from device.updates.validation import examine as examine_apart

Examine = Callable[[Path, Report], ValidationResult]


def examine(path: Path, report: Report) -> ValidationResult:
    """Examine a file in a process of its own; see `device.updates.validation`."""
    return examine_apart(path, report=report)


def known_verdict(store: ModelStore, digest: str) -> ValidationResult | None:
    """The verdict on a hash that was examined before.

    None: it has not been examined, or its bytes are gone or are not what they were; what comes of
    it then mends the store.
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
    store: ModelStore, incoming: Upload, report: Report, examine: Examine = examine
) -> ValidationResult:
    """Examine what came; keep it if it is good, and go back if it is active and is not.

    Raises
    ------
    StoreError, StoreFull, OutputError
    """
    incoming.flush()
    with store.examining():
        verdict = examine(incoming.path, report)
    if verdict.accepted:
        store.accept(incoming.keep())
    elif verdict.is_final and incoming.is_whole():
        store.roll_back(verdict.line, digest=incoming.digest)
    return verdict
