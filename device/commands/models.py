"""`switchboard models`: lists, validates, activates and removes the models of the store."""

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from device.commands import options
from device.console import say, say_json
from device.files import sha256_of
from device.model.bundled import BUNDLED, BUNDLED_MODEL, BUNDLED_MODELS, bundled_model

if TYPE_CHECKING:
    from device.store.store import ModelStore
    from device.updates.validation import ValidationResult

_SHOWN_DIGITS = 12

again = click.option(
    "--again", is_flag=True, help="Validate it anew, even if it was refused or accepted before."
)


@click.group()
def models() -> None:
    """Models on this device: list, show, check, activate, roll back, remove.

    And on the shelf of a workstation: add, shelf.

    NAME is the first digits of a model's hash, `active`, `previous`, `bundled` or `bundled:NAME`.
    """


@models.command("list")
@options.store
@options.as_json
def list_models(store: Path, as_json: bool) -> None:
    """All models, newest first; the bundled ones last, of which the first is the last resort."""
    from device.store.store import open_store

    rows = list(_rows(open_store(store)))
    if as_json:
        say_json(rows)
    else:
        say(*_table(rows))


@models.command()
@click.argument("name", metavar="NAME|FILE")
@options.store
@options.as_json
def show(name: str, store: Path, as_json: bool) -> None:
    """Print the metadata of a model, or of any model FILE."""
    from device.model.summary import describe, to_lines

    summary = describe(_path(name, store))
    if as_json:
        say_json(summary)
    else:
        say(*to_lines(summary))


@models.command()
@click.argument("file", type=click.Path(path_type=Path))
@options.as_json
def check(file: Path, as_json: bool) -> None:
    """Validate a model FILE as this device would on its arrival; nothing changes."""
    from device.updates.validation import validate

    verdict = validate(file)
    verdict.check_accepted(str(file))
    if as_json:
        say_json(asdict(verdict))
    else:
        say(_accepted(verdict))


@models.command()
@click.argument("name", metavar="NAME|FILE")
@again
@options.store
def activate(name: str, again: bool, store: Path) -> None:
    """Make a model the one that plays, after it was validated; a FILE is added first."""
    from device.store.store import open_store

    bundled = bundled_model(name)
    file = bundled or Path(name)
    # Read before root becomes another account, which may have no right to read it.
    content = _content(file) if file != BUNDLED_MODEL and _is(Path.is_file, file) else None
    models = open_store(store)
    is_default = bundled == BUNDLED_MODEL
    models.activate(None if is_default else _admitted(name, content, models, again))
    say(f"active: {_name(models.active())}")


@models.command()
@options.store
def rollback(store: Path) -> None:
    """Go back to the model that played before, else to the bundled one; again to return."""
    from device.store.store import open_store

    models = open_store(store)
    previous = models.previous()
    models.activate(previous.stem if previous else None)
    say(f"active: {_name(models.active())}")


@models.command()
@click.argument("name")
@options.store
def remove(name: str, store: Path) -> None:
    """Delete a model that is neither active nor previous."""
    from device.store.store import open_store

    models = open_store(store)
    digest = models.find(name)
    models.remove(digest)
    say(f"removed: {digest[:_SHOWN_DIGITS]}")


def _content(file: Path) -> bytes:
    """All bytes of a file that may be a model."""
    from device.files import read_regular
    from device.model.contract import MAX_MODEL_BYTES, check_file

    check_file(file)
    return read_regular(file, MAX_MODEL_BYTES)


def _admitted(name: str, content: bytes | None, store: "ModelStore", again: bool) -> str:
    """The hash of a model that may be activated, validated if it has not been.

    Parameters
    ----------
    content : bytes or None
        Of the file; None: the model is in the store.
    """
    from device.updates.install import install, known_verdict

    if content is None:
        stored = store.find(name)
        store.check_whole(stored)
        content = _content(store.path(stored))
    digest = hashlib.sha256(content).hexdigest()
    verdict = None if again else known_verdict(store, digest)
    if verdict is None:
        with store.incoming(len(content)) as incoming:
            incoming.write(content)
            verdict = install(store, incoming, lambda check: None)
        verdict.check_accepted(name)
        say(_accepted(verdict))
    verdict.check_accepted(name)
    return digest


def _rows(store: "ModelStore") -> Iterator[dict[str, Any]]:
    from device.model.summary import title_of

    for model in store.models():
        path = store.path(model.digest)
        yield {**asdict(model), "path": str(path), "title": title_of(path)}
    for name, path in BUNDLED_MODELS.items():
        is_default = path == BUNDLED_MODEL
        if not is_default and store.path(sha256_of(path)).is_file():
            continue
        yield {
            "digest": BUNDLED if is_default else f"{BUNDLED}:{name}",
            "size_bytes": path.stat().st_size,
            "added": None,
            "is_active": is_default and store.active() is None,
            "is_previous": False,
            "refused": None,
            "path": str(path),
            "title": title_of(path),
        }


def _table(rows: list[dict[str, Any]]) -> Iterator[str]:
    width = max(len(row["title"]) for row in rows)
    longest = max(len(BUNDLED) + 1 + len(name) for name in BUNDLED_MODELS)
    for row in rows:
        mark = "*" if row["is_active"] else " "
        size = f"{row['size_bytes'] / 2**20:5.1f} MiB"
        title = f"{row['title']:{width}}"
        added = " " * 16
        if row["added"] is not None:
            added = time.strftime("%Y-%m-%d %H:%M", time.localtime(row["added"]))
        digest = row["digest"]
        shown = digest if digest.startswith(BUNDLED) else digest[:_SHOWN_DIGITS]
        parts = [shown.ljust(longest), size, added]
        yield f"{mark} {'  '.join(parts)}  {title}  {_state(row)}".rstrip()


def _state(row: dict[str, Any]) -> str:
    if row["refused"]:
        return f"refused: {row['refused']}"
    if row["is_active"]:
        return "active"
    if row["is_previous"]:
        return "previous"
    return "last resort" if row["digest"] == BUNDLED else ""


def _path(name: str, directory: Path) -> Path:
    from device.store.store import open_store

    if bundled := bundled_model(name):
        return bundled
    file = Path(name)
    if _is(Path.exists, file) or file.suffix:
        return file
    store = open_store(directory)
    return store.path(store.find(name))


def _is(test: Callable[[Path], bool], file: Path) -> bool:
    try:
        return test(file)
    except OSError:  # such as a name that is too long
        return False


def _name(path: Path | None) -> str:
    from device.model.summary import title_of

    digits = path.stem[:_SHOWN_DIGITS] if path else BUNDLED
    return f"{digits} {title_of(path or BUNDLED_MODEL)!r}"


def _accepted(verdict: "ValidationResult") -> str:
    return (
        "accepted in {seconds:.1f} s: {title!r}, {n_states} states at {quietest_db:.0f} to "
        "{loudest_db:.0f} dB, compose {compose_ms:.1f} ms, block {block_ms:.1f} ms of "
        "{deadline_ms:.0f} ms"
    ).format(seconds=verdict.seconds, **verdict.figures)


# Of the workstation; a device may lack their packages.
for _point in entry_points(group="switchboard.commands.models"):
    with suppress(ModuleNotFoundError):
        models.add_command(_point.load())
