"""`switchboard models add`, `models shelf`, `card` and `gallery`. Heavy imports wait."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from device.commands import options
from device.commands.number_types import Finite
from device.console import say, say_json
from device.system.outputs import check_output, is_standard_output

if TYPE_CHECKING:
    from export.shelf.shelf import Shelf

_SHOWN_DIGITS = 12

shelf_folder = click.option(
    "--shelf",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of this workstation's models.  [default: ~/.local/share/switchboard/shelf]",
)
use = click.option(
    "--for",
    "use",
    type=click.Choice(["private", "share", "sell"]),
    default="share",
    show_default=True,
    help="What for: a model whose licences do not allow it is refused.",
)
stated = click.option(
    "--licence",
    "stated",
    metavar="NAME",
    help="Your licence for your own music, such as CC-BY-4.0, where a file names none.",
)


@click.command()
@click.argument("sources", nargs=-1, required=True, metavar="URL|FILE|DIR...")
@shelf_folder
@click.option(
    "--sha256", help="The hash that the one model must have, as its publisher says; 64 digits."
)
@click.option(
    "--for",
    "use",
    type=click.Choice(["private", "share", "sell"]),
    default="private",
    show_default=True,
    help="What for: a model whose licences do not allow it is refused.",
)
@click.option("--again", is_flag=True, help="Validate anew what was accepted or refused before.")
def add(
    sources: tuple[str, ...], directory: Path | None, sha256: str | None, use: str, again: bool
) -> int:
    """Add models to this workstation's shelf, each validated as on a device.

    URL begins with https://; of a DIR all its .onnx files are added. What is kept: the file, 20 s
    of its sound, and its hash, licences, credits and scores in an index. One model that is
    refused does not stop the others.
    """
    from device.errors import SwitchboardError
    from export.shelf.licences import Use
    from export.shelf.sources import expand, read

    sources = tuple(expand(sources))
    if sha256 and len(sources) != 1:
        raise click.UsageError("--sha256 is the hash of one model; add the others in another call.")
    status, shelf = 0, None
    for source in sources:
        try:
            # Read before root becomes another account, which may have no right to read it.
            content = read(source, sha256)
            shelf = shelf or _open(directory)
            entry = shelf.add(content, source, Use(use), again=again)
            say(f"added {entry.sha256[:_SHOWN_DIGITS]} {entry.title!r}: {entry.terms}")
            say(f"      {shelf.path(entry)}  SHA-256 {entry.sha256}")
        except SwitchboardError as error:
            if len(sources) == 1:
                raise
            status = status or error.exit_code
            say(f"not added: {error}", err=True)
    return status


@click.command("shelf")
@shelf_folder
@options.as_json
def list_shelf(directory: Path | None, as_json: bool) -> None:
    """List the models of this workstation's shelf, and what their licences allow."""
    shelf = _open(directory)
    entries = shelf.entries()
    if as_json:
        say_json([{**asdict(entry), "path": str(shelf.path(entry))} for entry in entries])
    elif entries:
        width = max(len(entry.title) for entry in entries)
        for entry in entries:
            name = f"{entry.sha256[:_SHOWN_DIGITS]}  {entry.title:{width}}"
            say(f"{name}  {entry.size_bytes / 2**20:5.1f} MiB  {entry.terms}")
    else:
        say(f"{shelf.directory}: no models yet; `switchboard models add URL|FILE|DIR` adds one")


@click.command()
@click.argument("model", metavar="MODEL")
@click.option(
    "--out", type=click.Path(path_type=Path), help="File to write.  [default: standard output]"
)
@use
@stated
@shelf_folder
def card(
    model: str, out: Path | None, use: str, stated: str | None, directory: Path | None
) -> None:
    """Write the model card of MODEL from what the file says, as the Hugging Face hub reads it.

    MODEL is a file, `bundled`, `bundled:NAME`, or the first digits of a hash on the shelf.
    Nothing of it is run.
    """
    from device.system.outputs import written
    from export.shelf.card import card_of
    from export.shelf.licences import Use

    out = out or Path("/dev/stdout")
    check_output(out)
    text = card_of(_path(model, directory), Use(use), stated)
    with written(out) as file:
        file.write(text.encode())


@click.command()
@click.argument("models", nargs=-1, metavar="[MODEL...]")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="HTML page to write.")
@click.option("--title", default="Models", show_default=True, help="Heading of the page.")
@click.option(
    "--seconds",
    type=Finite(1, 120),
    default=20.0,
    show_default=True,
    help="Length of the sound of each model.",
)
@use
@stated
@shelf_folder
def gallery(
    models: tuple[str, ...],
    out: Path,
    title: str,
    seconds: float,
    use: str,
    stated: str | None,
    directory: Path | None,
) -> None:
    """Write one HTML page that plays several models, with their licences, credits and switches.

    MODEL is a file, `bundled`, `bundled:NAME`, or the first digits of a hash on the shelf; none:
    all of the shelf. Each is validated first.
    """
    from export.shelf.gallery import build, exhibit
    from export.shelf.licences import Use
    from training.reporting.html import write_text
    from training.reporting.progress import shown_progress

    check_output(out)
    paths = [_path(name, directory) for name in models]
    if not models:
        shelf = _open(directory)
        paths = list(map(shelf.path, shelf.entries()))
    if not paths:
        raise click.UsageError("the shelf is empty; give a MODEL, or add one with `models add`.")
    exhibits = []
    with shown_progress("models") as show:
        for number, path in enumerate(paths):
            show(number, len(paths))
            exhibits.append(exhibit(path, seconds, Use(use), stated))
    n_bytes = write_text(out, build(title, exhibits, seconds))
    line = f"{out}: {len(exhibits)} models, {n_bytes / 1e6:.1f} MB"
    say(line, err=is_standard_output(out))


def _open(directory: Path | None) -> "Shelf":
    from export.shelf.shelf import Shelf, default_shelf

    return Shelf(directory or default_shelf())


def _path(name: str, directory: Path | None) -> Path:
    """The file of a model, wherever it is."""
    from device.model.bundled import bundled_model

    if bundled := bundled_model(name):
        return bundled
    if Path(name).suffix or "/" in name:
        return Path(name)
    shelf = _open(directory)
    return shelf.path(shelf.find(name))
