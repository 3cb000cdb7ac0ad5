"""`switchboard faceplate`. Heavy imports wait until the verb runs."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from device.commands.number_types import Finite
from device.console import say
from device.errors import OutputError
from device.system.outputs import check_output, is_standard_output, written

if TYPE_CHECKING:
    from training.drawings.shapes import Drawing

_SUFFIXES = (".svg", ".pdf", "")


def _output(_context: click.Context, _parameter: click.Parameter, path: Path | None) -> Path | None:
    """Refuse a name whose suffix stands for another kind of file."""
    if path is not None and path.suffix.lower() not in _SUFFIXES:
        raise click.BadParameter(
            f"{path}: found the suffix {path.suffix!r}, expected .svg or .pdf; choose another name"
        )
    return path


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("faceplate.svg"),
    show_default=True,
    callback=_output,
    help="File to write; its suffix, .svg or .pdf, says which kind. Without a suffix it is SVG.",
)
@click.option(
    "--switch-diameter",
    type=Finite(2, 40),
    default=6.5,
    show_default=True,
    help="Millimetres of the switches' holes.",
)
@click.option(
    "--pitch",
    type=Finite(8, 186),
    default=20.0,
    show_default=True,
    help="Millimetres from the middle of one switch to the middle of the next.",
)
@click.option(
    "--led-diameter",
    type=Finite(0, 20),
    default=5.0,
    show_default=True,
    help="Millimetres of the holes of the three status LEDs; 0: none.",
)
@click.option(
    "--knob-diameter",
    type=Finite(0, 40),
    default=7.0,
    show_default=True,
    help="Millimetres of the hole of the volume knob; 0: none.",
)
@click.option(
    "--width",
    type=Finite(20, 2000),
    help="Millimetres of the panel.  [default: as narrow as what is on it allows]",
)
@click.option(
    "--height",
    type=Finite(20, 2000),
    help="Millimetres of the panel.  [default: as low as what is on it allows]",
)
@click.option(
    "--rows",
    "n_rows",
    type=click.IntRange(1, 16),
    help="Rows of switches.  [default: one for every eight switches]",
)
@click.option(
    "--box",
    type=click.Path(path_type=Path),
    callback=_output,
    help="Also write the box behind the panel: parts with finger joints, to cut from a sheet.",
)
@click.option(
    "--depth",
    type=Finite(20, 500),
    default=50.0,
    show_default=True,
    help="With --box: millimetres from its bottom to the panel, the length of four M3 standoffs.",
)
@click.option(
    "--thickness",
    type=Finite(1, 3),
    default=3.0,
    show_default=True,
    help="With --box: millimetres of the sheet.",
)
@click.option("--title", help="Title of the panel.  [default: the model's]")
@click.option("--no-qr", "with_qr", flag_value=False, default=True, help="Leave out the QR code.")
def faceplate(
    model: Path,
    out: Path,
    box: Path | None,
    depth: float,
    thickness: float,
    title: str | None,
    **sizes: Any,
) -> None:
    """Draw the box's front panel from the labels of MODEL, to print, drill and cut.

    MODEL is a file, `bundled`, or `bundled:NAME`. Nothing of it is run.
    """
    from device.model.bundled import bundled_model
    from training.drawings import box as box_parts
    from training.drawings.card_code import read_plate_text
    from training.drawings.faceplate import DoesNotFit, Sizes, build, panel_size

    _check_outputs(model, out, box)
    text = read_plate_text(bundled_model(str(model)) or model, title)
    try:
        drawing = build(text, Sizes(**sizes))
        parts = box_parts.build(*panel_size(drawing), depth, thickness) if box else None
    except DoesNotFit as error:
        raise click.UsageError(str(error)) from error
    _write(out, drawing, f"{len(text.labels)} switches")
    if box and parts:
        _write(box, parts, "a box of five parts")


def _check_outputs(model: Path, out: Path, box: Path | None) -> None:
    others = [("the model itself", model)]
    for option, path in (("--out", out), ("--box", box)):
        if path is None:
            continue
        check_output(path)
        for what, other in others:
            if path.resolve() == other.resolve():
                raise OutputError(f"{path}: found {what}, expected another file for {option}")
        others.append((f"the file of {option}", path))


def _write(path: Path, drawing: "Drawing", what: str) -> None:
    """Write a drawing as its file's suffix says, and report it."""
    from training.drawings.pdf import characters_without_font, to_pdf
    from training.drawings.svg import to_svg

    is_pdf = path.suffix.lower() == ".pdf"
    content = to_pdf(drawing) if is_pdf else to_svg(drawing).encode()
    with written(path) as file:
        file.write(content)
    page = f"page {drawing.width:g} x {drawing.height:g} mm"
    say(f"{path}: {what}, {page}", err=is_standard_output(path))
    missing = characters_without_font(drawing) if is_pdf else ""
    if missing:
        say(
            f"{path}: found no installed font with {missing}, expected one; the PDF has squares "
            "there: install a font of that script, or write SVG",
            err=True,
        )
