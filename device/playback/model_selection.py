"""Model selection: which model plays at the start."""

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from device.errors import ModelOutOfReach, PerformanceError, ShareCodeError, SwitchboardError
from device.files import sha256_of
from device.model.bundled import BUNDLED_MODEL, BUNDLED_MODELS, bundled_digests
from device.model.contract import check_file
from device.model.network import Network
from device.plain_text import one_line
from device.playback.share_code import SharedPosition
from device.store.store import DEFAULT_STORE, ModelStore

Report = Callable[[str], None]


def find_store(directory: Path | None) -> ModelStore | None:
    """The store in a directory, or by default the device's own where there is one."""
    # The store itself is made with the first model that is pushed.
    if directory is None and DEFAULT_STORE.parent.is_dir():
        directory = DEFAULT_STORE
    return None if directory is None else ModelStore(directory)


def open_active_model(store: ModelStore, report: Report) -> Network:
    """Open the active model; while that fails, the one before it; the bundled one in the end.

    A model that cannot be read keeps its position in the store: the one before it plays instead.

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
            store.remove_if_damaged(path.stem)
            if store.active() == path:
                store.record_clean_stop()
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
        If its bytes cannot be read or are not those that were stored: no fault of the model.
    SwitchboardError
        If `Network.open` refuses the model.
    """
    store.check_whole(path.stem)
    try:
        return Network.open(path)
    except SwitchboardError:
        # The refusal is valid only for the stored bytes.
        store.check_whole(path.stem)
        raise


def _open_previous(store: ModelStore, report: Report) -> Network:
    """Open the previous model, without a change to the store; else the bundled one."""
    previous = store.previous()
    if previous is not None and store.refusal(previous.stem) is None:
        try:
            return open_stored(store, previous)
        except SwitchboardError as error:
            report(f"model {previous.stem[:12]} is left aside: {error}")
    return Network.open(BUNDLED_MODEL)


def reject_and_roll_back(store: ModelStore, digest: str, reason: str, report: Report) -> bool:
    """Refuse a model and activate the one before it; whether the store recorded it."""
    report(f"model {digest[:12]} is taken back: {reason}")
    try:
        store.roll_back(reason, digest=digest)
    except SwitchboardError as error:
        report(f"the store could not record that: {error}")
        return False
    return True


def open_model_of_share_code(
    position: SharedPosition, model: Path | None, store: ModelStore | None
) -> Network:
    """Open the model that a share code was made with.

    Parameters
    ----------
    model : Path or None
        A file to consider beside the store and the bundled model.

    Raises
    ------
    ShareCodeError
        If this device has no such model, or it has another number of switches.
    """
    paths = dict(_candidates(model, store))
    matching = [path for digest, path in paths.items() if digest.startswith(position.digest)]
    if len(matching) != 1:
        names = ", ".join(sorted(digest[: len(position.digest)] for digest in paths))
        raise ShareCodeError(
            f"share code {position.code}: found the models {names} here, expected one whose "
            f"SHA-256 begins with {position.digest}; push that model to this device, or name its "
            "file with --model"
        )
    network = Network.open(matching[0])
    if network.card.n_switches != len(position.bits):
        raise ShareCodeError(
            f"share code {position.code}: found {len(position.bits)} switches, expected the "
            f"model's {network.card.n_switches}; check the code"
        )
    return network


def open_model_of_log(
    digest: str, title: str, models: Iterable[Path], store: ModelStore | None
) -> Network:
    """Open the model that the log of a performance names.

    Parameters
    ----------
    models : iterable of Path
        Files to consider beside the store and the bundled model.

    Raises
    ------
    PerformanceError
        If there is none with this hash.
    """
    named = [path for path in models if path not in BUNDLED_MODELS.values()]
    for path in named:
        check_file(path)
    paths = {**bundled_digests(), **{sha256_of(path): path for path in named}}
    if digest in paths:
        return Network.open(paths[digest])
    if store is not None and re.fullmatch("[0-9a-f]{64}", digest) and store.path(digest).is_file():
        return open_stored(store, store.path(digest))
    places = [str(path) for path in named] + ([str(store.directory)] if store else [])
    raise PerformanceError(
        f"model {one_line(digest, 80)} {one_line(title)!r}: found it neither here nor in "
        f"{', '.join(places) or 'a store'}, expected the model that was played; name its file with "
        "--model, or its folder with --store"
    )


def _candidates(model: Path | None, store: ModelStore | None) -> Iterator[tuple[str, Path]]:
    yield from bundled_digests().items()
    if store is not None:
        yield from ((stored.digest, store.path(stored.digest)) for stored in store.models())
    if model is not None:
        check_file(model)
        yield sha256_of(model), model


def origin_of(digest: str, store: ModelStore | None) -> str:
    """Where the model that plays comes from: ``bundled``, ``store`` or ``file``."""
    if digest in bundled_digests():
        return "bundled"
    return "store" if store is not None and store.path(digest).is_file() else "file"
