"""The casting: which model plays when the music begins."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from device.errors import ModelOutOfReach, ShareCodeError, SwitchboardError
from device.files import sha256_of
from device.model.contract import check_file
from device.model.network import BUNDLED_MODEL, Network
from device.playback.share_code import SharedPosition
from device.store.store import DEFAULT_STORE, ModelStore

Report = Callable[[str], None]


def find_store(directory: Path | None) -> ModelStore | None:
    """The store that was asked for, or the box's own on a machine that is a box."""
    # The store itself comes with the first model that is pushed.
    if directory is None and DEFAULT_STORE.parent.is_dir():
        directory = DEFAULT_STORE
    return None if directory is None else ModelStore(directory)


def open_active_model(store: ModelStore, report: Report) -> Network:
    """Open what the store says is active, going back as long as that fails; at last the bundled.

    A model that cannot be read keeps its place in the store: what played before it plays instead.

    Raises
    ------
    SwitchboardError
        If the bundled model does not open either.
    """
    store.recover()
    while path := store.record_start_attempt():
        try:
            return open_stored(store, path)
        except ModelOutOfReach as error:
            report(f"model {path.stem[:12]} is left aside: {error}")
            store.set_aside(path.stem)
            if store.active() == path:
                store.stopped()
                return _open_previous(store, report)
        except SwitchboardError as error:
            if not reject_and_roll_back(store, path.stem, str(error), report):
                break
    return Network.open(BUNDLED_MODEL)


def open_stored(store: ModelStore, path: Path) -> Network:
    """Open a model of a store.

    Raises
    ------
    ModelOutOfReach
        If its bytes cannot be read or are not those that were stored: no fault of the model's.
    SwitchboardError
        What `Network.open` has against the model.
    """
    store.check_whole(path.stem)
    try:
        return Network.open(path)
    except SwitchboardError:
        # A verdict counts only if it was about the right bytes.
        store.check_whole(path.stem)
        raise


def _open_previous(store: ModelStore, report: Report) -> Network:
    """Open what played before, without a change to the store; else the bundled model."""
    previous = store.previous()
    if previous is not None and store.refusal(previous.stem) is None:
        try:
            return open_stored(store, previous)
        except SwitchboardError as error:
            report(f"model {previous.stem[:12]} is left aside: {error}")
    return Network.open(BUNDLED_MODEL)


def reject_and_roll_back(store: ModelStore, digest: str, reason: str, report: Report) -> bool:
    """Have a model refused, and what played before active again; whether it was written down."""
    report(f"model {digest[:12]} is taken back: {reason}")
    try:
        store.roll_back(reason, digest=digest)
    except SwitchboardError as error:
        report(f"that could not be written down: {error}")
        return False
    return True


def open_model_of_share_code(
    place: SharedPosition, model: Path | None, store: ModelStore | None
) -> Network:
    """Open the model a share code was made with.

    Parameters
    ----------
    model : Path or None
        Another file to look at.

    Raises
    ------
    ShareCodeError
        If it is not here.
    """
    here = dict(_candidates(model, store))
    found = [path for digest, path in here.items() if digest.startswith(place.digest)]
    if len(found) != 1:
        names = ", ".join(sorted(digest[: len(place.digest)] for digest in here))
        raise ShareCodeError(
            f"share code {place.code}: found the models {names} here, expected one whose SHA-256 "
            f"begins with {place.digest}; push that model to this box, or name its file with "
            "--model"
        )
    network = Network.open(found[0])
    if network.card.n_switches != len(place.bits):
        raise ShareCodeError(
            f"share code {place.code}: found {len(place.bits)} switches, expected the model's "
            f"{network.card.n_switches}; ask for it once more"
        )
    return network


def _candidates(model: Path | None, store: ModelStore | None) -> Iterator[tuple[str, Path]]:
    yield bundled_digest(), BUNDLED_MODEL
    if store is not None:
        yield from ((stored.digest, store.path(stored.digest)) for stored in store.models())
    if model is not None:
        check_file(model)
        yield sha256_of(model), model


def origin_of(digest: str, store: ModelStore | None) -> str:
    """Where a model that plays comes from: ``bundled``, ``store`` or ``file``."""
    if digest == bundled_digest():
        return "bundled"
    return "store" if store is not None and store.path(digest).is_file() else "file"


@cache
def bundled_digest() -> str:
    """SHA-256 of the bundled model."""
    return sha256_of(BUNDLED_MODEL)
