"""The site, built once, served on this machine, and a headless browser that opens it."""

import functools
import http.server
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SITE = ROOT / "docs/site"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
TIMEOUT_MS = 180_000


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="session")
def site_tools():
    """What `make site` installs; without it these tests are skipped."""
    for name in ("mkdocs", "material", "ziglang"):
        pytest.importorskip(name, reason=f"{name} is not installed: make site")
    if not (SITE / "node_modules/onnxruntime-web").is_dir():
        pytest.skip("onnxruntime-web has not been fetched: make site")


@pytest.fixture(scope="session")
def site(site_tools, tmp_path_factory):
    """The built site; any warning has failed the build."""
    done = subprocess.run(
        [sys.executable, SITE / "build_site.py"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return shutil.copytree(ROOT / "build/site", tmp_path_factory.mktemp("site") / "site")


@pytest.fixture(scope="session")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="make site installs it")
    if CHROMIUM is None:
        pytest.skip("found no chromium, expected Debian's package of that name")
    with playwright.sync_playwright() as running:
        # Without a sandbox of its own: it opens nothing but our own pages, perhaps as root.
        opened = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = opened.new_context()
        # A machine that does something else as well is no fault of the page.
        context.set_default_timeout(TIMEOUT_MS)
        yield context
        opened.close()


@pytest.fixture(scope="session")
def serve():
    """Serves a folder on this machine alone, and returns its address."""
    servers = []

    def start(folder):
        handler = functools.partial(QuietHandler, directory=str(folder))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
