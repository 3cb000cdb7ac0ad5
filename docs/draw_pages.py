"""Take the pictures of docs/ that are a page or plain text: the study, the audition, the doctor.

    make pictures
    .venv/bin/python docs/draw_pages.py --audition audition.html

Each is what a command wrote a moment ago: `switchboard doctor` as an SVG of its lines, the pages of
`switchboard study` and, where it is given, `switchboard audition` as a headless Chromium shows
them. `make site` installs what opens them.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from io import StringIO
from pathlib import Path

from playwright.sync_api import sync_playwright
from rich.console import Console
from rich.terminal_theme import MONOKAI

HERE = Path(__file__).parent
PROGRAM = [sys.executable, "-c", "import device.cli as c; raise SystemExit(c.main())"]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
WIDTH, HEIGHT = 1000, 720
COLUMNS = 110


def doctor() -> str:
    """What the doctor says of this machine."""
    run = [*PROGRAM, "doctor"]
    done = subprocess.run(run, capture_output=True, text=True, check=False, cwd=HERE)
    console = Console(record=True, width=COLUMNS, file=StringIO())
    console.print(done.stdout.rstrip(), markup=False, highlight=False)
    text = console.export_svg(title="switchboard doctor", theme=MONOKAI, unique_id="doctor")
    # Fonts of the viewer: rich names some of another host.
    start, end = text.index("@font-face"), text.rindex("@font-face")
    return text[:start] + text[text.index("}", end) + 1 :]


def study(folder: Path) -> Path:
    """The page of a study of one of the README's sounds."""
    page = folder / "study.html"
    options = ["--seconds", "8", "--without-librosa", "--out", str(page)]
    sound = HERE / "sounds/three.mp3"
    subprocess.run([*PROGRAM, "study", str(sound), *options], check=True)
    return page


def photograph(page: Path, picture: Path) -> None:
    """Save the first screen of a page."""
    with sync_playwright() as running:
        # Without a sandbox of its own: it opens our own pages alone, perhaps as root.
        browser = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        screen = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        screen.goto(page.resolve().as_uri())
        screen.screenshot(path=picture)
        browser.close()


def main() -> None:
    """Write all of them, or the picture of the audition alone, which takes minutes to make."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--audition", type=Path, help="page that `switchboard audition` wrote")
    audition = parser.parse_args().audition
    if audition:
        return photograph(audition, HERE / "audition.png")
    (HERE / "doctor.svg").write_text(doctor(), encoding="utf-8")
    with tempfile.TemporaryDirectory() as name:
        photograph(study(Path(name)), HERE / "study.png")


if __name__ == "__main__":
    main()
