"""Take the pictures of docs/ that are a page or plain text: the study and the doctor.

    make pictures

Each is what the command wrote a moment ago: `switchboard doctor` as an SVG of its lines,
`switchboard study` as a headless Chromium shows its page. `make site` installs what opens it.
"""

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


def main() -> None:
    """Write all of them."""
    (HERE / "doctor.svg").write_text(doctor(), encoding="utf-8")
    with tempfile.TemporaryDirectory() as name, sync_playwright() as running:
        # Without a sandbox of its own: it opens our own pages alone, perhaps as root.
        browser = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.goto(study(Path(name)).as_uri())
        page.screenshot(path=HERE / "study.png")
        browser.close()


if __name__ == "__main__":
    main()
