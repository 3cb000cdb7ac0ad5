"""Draw the picture of the terminal panel in README.md from a run of the instrument itself.

    make pictures

The bundled model plays in real time, unheard, with the demonstration's flips; the view that
`switchboard play` shows in a terminal is drawn once a second, by the view's own code. The picture
is one SVG file that shows one drawing after the other; a viewer without animation shows the last.
"""

import re
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI

from device.commands.build_instrument import build_instrument
from device.commands.instrument_settings import InstrumentSettings
from device.model.bundled import BUNDLED_MODEL
from device.playback.state import InstrumentState
from device.ui.terminal import MAX_WIDTH, TerminalView

FILE = Path(__file__).with_name("panel.svg")
SECONDS = 15.0
SECONDS_PER_DRAWING = 1.0
HEIGHT = 15
MARGIN = 12
BACKGROUND = "#1d1f21"
# Of rich's export: what belongs to one drawing, and its size.
FORMAT = "{styles}\0{backgrounds}{matrix}\0{terminal_width} {terminal_height}"
# Text that is blank, and clipping: no line is longer than its room.
UNNEEDED = re.compile(r'<text[^>]*>(?:&#160;|\s)*</text>| clip-path="[^"]*"')


def states(seconds: float) -> list[InstrumentState]:
    """What the view was given, once a second, while it played for so long in real time."""
    kept: list[InstrumentState] = []

    def keep(state: InstrumentState) -> None:
        if state.seconds >= len(kept) * SECONDS_PER_DRAWING:
            kept.append(state)

    settings = InstrumentSettings(
        model=BUNDLED_MODEL, switches="demo", speaker="silent", keep_minutes=0
    )
    with build_instrument(settings) as instrument:
        instrument.listeners.append(keep)
        instrument.play(seconds)
    return kept


def drawings(shown: list[InstrumentState]) -> list[list[str]]:
    """Parts of `FORMAT` for every state, as rich exports them."""
    view, parts = TerminalView(), []
    for number, state in enumerate(shown):
        console = Console(
            record=True,
            width=MAX_WIDTH,
            height=HEIGHT,
            file=StringIO(),
            force_terminal=True,
            color_system="truecolor",
            legacy_windows=False,
        )
        view.update(state)
        console.print(view)
        text = console.export_svg(code_format=FORMAT, theme=MONOKAI, unique_id=f"d{number}")
        parts.append(text.split("\0"))
    return parts


def svg(parts: list[list[str]]) -> str:
    """One picture of all drawings, each shown for a second."""
    width, height = (float(size) + 2 * MARGIN for size in parts[-1][2].split())
    duration, n = SECONDS_PER_DRAWING * len(parts), len(parts)
    styles = [
        ".drawing { visibility: hidden; animation: show linear infinite; "
        f"animation-duration: {duration:g}s; }}",
        ".drawing:last-child { visibility: visible; }",
        f"@keyframes show {{ 0% {{ visibility: visible; }} {100 / n:.3f}%, 100% "
        "{ visibility: hidden; } }",
        "text { font: 20px monospace; white-space: pre; }",
        "@media (prefers-reduced-motion) { .drawing { animation: none; } }",
    ]
    groups = []
    for number, (colours, body, _) in enumerate(parts):
        styles.append(colours)
        styles.append(
            f"#s{number} {{ animation-delay: {(number * SECONDS_PER_DRAWING - duration):g}s; }}"
        )
        groups.append(f'<g class="drawing" id="s{number}">{UNNEEDED.sub("", body)}</g>')
    text = re.sub(r"\n\s*", "\n", "\n".join(groups))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}">\n'
        f"<style>{' '.join(styles)}</style>\n"
        f'<rect width="100%" height="100%" rx="8" fill="{BACKGROUND}"/>\n'
        f'<g transform="translate({MARGIN} {MARGIN})">\n{text}\n</g>\n</svg>\n'
    )


def main() -> None:
    """Play, and write the picture."""
    FILE.write_text(svg(drawings(states(SECONDS))), encoding="utf-8")


if __name__ == "__main__":
    main()
