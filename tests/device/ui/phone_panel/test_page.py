"""The page's files: whole, small, nothing from elsewhere, and what the service worker keeps."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from device.ui.phone_panel import app

PAGE = Path(app.__file__).with_name("page")
HTML = (PAGE / "index.html").read_text(encoding="utf-8")
SCRIPT = (PAGE / "app.js").read_text(encoding="utf-8")


class Elements(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))


ELEMENTS = Elements(HTML).found


def test_every_file_that_the_page_names_is_there_and_nothing_is_elsewhere():
    named = [
        value for _, attributes in ELEMENTS for key, value in attributes.items()
        if key in ("src", "href")
    ]  # fmt: skip
    named += [
        icon["src"] for icon in json.loads((PAGE / "manifest.webmanifest").read_text())["icons"]
    ]
    assert named
    for name in named:
        assert re.fullmatch(r"/[\w.-]+", name)
        assert (PAGE / name[1:]).is_file()
    for file in PAGE.iterdir():
        addresses = set(re.findall(rb"https?://[\w.]+", file.read_bytes()))
        assert addresses <= {b"http://www.w3.org"}, file


def test_no_script_or_style_is_inline_and_no_text_becomes_markup():
    for tag, attributes in ELEMENTS:
        assert tag != "style"
        assert tag != "script" or attributes.get("src")
        assert not [key for key in attributes if key.startswith("on") or key == "style"]
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", SCRIPT)


def test_the_service_worker_keeps_the_page_and_only_files_that_exist():
    text = (PAGE / "service-worker.js").read_text(encoding="utf-8")
    kept = json.loads(re.search(r"PAGE = (\[.*?\])", text)[1])
    files = {f"/{file.name}" for file in PAGE.iterdir()}
    assert set(kept) - {"/"} <= files
    assert files - set(kept) == {"/index.html", "/service-worker.js"}


def test_every_control_has_a_name_for_screen_readers():
    ids = {attributes["id"] for _, attributes in ELEMENTS if "id" in attributes}
    labelled = {attributes["for"] for tag, attributes in ELEMENTS if tag == "label"}
    inputs = {attributes["id"] for tag, attributes in ELEMENTS if tag == "input"}
    assert inputs <= labelled
    for _, attributes in ELEMENTS:
        assert attributes.get("aria-labelledby", next(iter(ids))) in ids
    assert dict(ELEMENTS[0][1])["lang"] == "en"
    used = set(re.findall(r"\$\(\"([\w-]+)\"\)", SCRIPT))
    assert used <= ids


def test_the_page_is_small():
    assert sum(file.stat().st_size for file in PAGE.iterdir()) < 64_000


@pytest.mark.parametrize(
    "path", ["/../app.py", "/%2e%2e/app.py", "//etc/passwd", "/page/", "/.git"]
)
def test_a_path_is_compared_with_the_names_of_the_page_and_never_opened(path):
    with pytest.raises(app.Refused) as refused:
        app._page("GET", path)
    assert refused.value.status == 404
