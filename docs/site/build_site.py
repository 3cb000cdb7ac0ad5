"""Build the static site in build/site: the documentation and the browser instrument.

    make site

The pages are the Markdown files of the repository: README.md, and what it links to, directly or by
way of other pages, at the same paths. So one link serves readers here and in the repository.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from build_instrument import build as build_instrument

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / "docs/site"
PAGES = ROOT / "build/site-pages"
FIRST = ROOT / "README.md"
LINK = re.compile(r"""\]\(([^)\s]+)\)|\b(?:src|href)="([^"]+)\"""")
NEEDED = "node_modules/onnxruntime-web"


def linked(page: Path) -> list[Path]:
    """The files of the repository that a page links to."""
    prose = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    targets = [first or second for first, second in LINK.findall(prose)]
    local = [target.partition("#")[0] for target in targets if not re.match(r"[a-z]+:", target)]
    return [(page.parent / target).resolve() for target in local if target]


def reachable(first: Path) -> set[Path]:
    """A page and all files that it leads to."""
    found, waiting = {first}, [first]
    while waiting:
        page = waiting.pop()
        new = set(linked(page)) - found
        found |= new
        waiting += [path for path in new if path.suffix == ".md"]
    return found


def lay_out(folder: Path) -> None:
    """Copy all pages, and what they show, to the paths that they have in the repository."""
    shutil.rmtree(folder, ignore_errors=True)
    for path in sorted(reachable(FIRST)):
        copy = folder / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    shutil.copy(HERE / "site.js", folder)
    build_instrument(folder / "instrument")


def main() -> int:
    """Build the site; any warning is an error."""
    if not (HERE / NEEDED).is_dir():
        sys.stderr.write(f"docs/site: found no {NEEDED}, expected it there; run `make site`\n")
        return 1
    lay_out(PAGES)
    # The theme advertises on standard error that a later version of mkdocs will not suit it.
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--clean", "--quiet"]
    done = subprocess.run(
        [*command, "--config-file", str(HERE / "mkdocs.yml")], env=environment, check=False
    )
    if done.returncode == 0:
        shown = "python3 -m http.server --directory build/site 8000"
        sys.stdout.write(f"build/site; to see it: {shown}\n")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
