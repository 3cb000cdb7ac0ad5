"""Take `docs/panel.png`: the phone panel of a playing instrument, in a headless browser.

    .venv/bin/python docs/photograph_panel.py              # as a phone, 390 x 844
    .venv/bin/python docs/photograph_panel.py --wide out.png

It starts `switchboard play` and `switchboard panel` in a temporary folder, flips three switches on
the page, and needs chromium (Debian's package) and playwright.
"""

import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

PICTURE = ROOT / "docs/panel.png"
PHONE, WIDE = (390, 844), (1280, 800)
FLIPPED = (2, 5, 7)
# Some bars, so that the beats and the level show something.
PLAYED_MS = 9000


def photograph(path: Path, size: tuple[int, int]) -> None:
    """Write the picture.

    Parameters
    ----------
    size : (width, height)
        Of the browser's window, in its pixels.
    """
    from playwright.sync_api import sync_playwright

    from tests.support.panel_process import Panel, Player

    program = shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        player = Player(Path(folder))
        panel = Panel(Path(folder))
        try:
            browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": size[0], "height": size[1]})
            page.goto(f"{panel.address}/#{panel.token}")
            for number in FLIPPED:
                page.get_by_role("switch").nth(number - 1).click()
            page.mouse.move(0, 0)
            page.evaluate("document.activeElement.blur()")
            page.wait_for_timeout(PLAYED_MS)
            page.screenshot(path=path)
            browser.close()
        finally:
            panel.close()
            player.close()


if __name__ == "__main__":
    words = [word for word in sys.argv[1:] if word != "--wide"]
    photograph(Path(words[0]) if words else PICTURE, WIDE if "--wide" in sys.argv else PHONE)
