"""The gallery: one page that plays several models and loads nothing from anywhere."""

import base64
import io
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
import soundfile

from device import errors
from device.cli import main
from export.shelf.licences import LicenceRefused
from tests.support.licensed_models import BY, BY_NC, CC0, licensed

HOSTILE = "<script>alert(1)</script>"


class Elements(HTMLParser):
    """The tags of a page with their attributes."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def of(self, tag):
        return [attributes for name, attributes in self.found if name == tag]


def sounds_of(text):
    for audio in Elements(text).of("audio"):
        kind, _, data = audio["src"].partition(";base64,")
        assert kind == "data:audio/flac"
        yield soundfile.info(io.BytesIO(base64.b64decode(data)))


def test_a_page_of_two_models_as_a_user_makes_it(tmp_path):
    night = licensed(tmp_path / "night.onnx", BY, title="Night", credits=["A: B (CC BY 4.0)"])
    page = tmp_path / "page.html"
    command = [Path(sys.executable).parent / "switchboard", "gallery", "bundled", str(night)]
    subprocess.run([*command, "--out", str(page)], check=True, cwd=tmp_path, capture_output=True)
    text = page.read_text(encoding="utf-8")
    assert [sound.duration for sound in sounds_of(text)] == pytest.approx([20.0, 20.0], abs=0.1)
    assert "Band Two" in text and "Night" in text
    assert "CC BY 4.0: may be shared and sold, name the artists" in text
    assert "A: B (CC BY 4.0)" in text
    # Nothing is loaded: every address is data in the page.
    assert not re.findall(r"(?:src|href)=\"(?!data:|#)", text)


def test_text_of_a_model_stays_text(tmp_path):
    model = licensed(
        tmp_path / "m.onnx",
        CC0,
        title=HOSTILE,
        labels=[HOSTILE, '" onmouseover="x', "third"],
        credits=[HOSTILE],
        source=HOSTILE,
    )
    page = tmp_path / "page.html"
    words = ["--title", HOSTILE, "--seconds", "1", "--out", str(page)]
    assert main(["gallery", str(model), *words]) == 0
    elements = Elements(page.read_text(encoding="utf-8"))
    # That of the players.
    assert len(elements.of("script")) == 1
    assert not [name for _, attributes in elements.found for name in attributes if name[:2] == "on"]


def test_a_model_that_may_not_be_shared_is_not_shown(tmp_path, capsys):
    model = licensed(tmp_path / "m.onnx", BY_NC)
    page = tmp_path / "page.html"
    words = ["gallery", str(model), "--out", str(page), "--seconds", "1"]
    assert main([*words, "--for", "sell"]) == LicenceRefused.exit_code
    assert "may be shared, not sold" in capsys.readouterr().err
    assert not page.exists()
    assert main(words) == 0
    assert page.exists()


def test_a_file_that_no_device_would_play_is_refused(tmp_path, build_model, capsys):
    bad = build_model(golden_offset=1.0)
    page = tmp_path / "page.html"
    assert main(["gallery", str(bad), "--out", str(page)]) == errors.GoldenMismatch.exit_code
    assert "golden vector" in capsys.readouterr().err
    assert not page.exists()


def test_without_models_it_shows_the_shelf(tmp_path, capsys):
    shelf = ["--shelf", str(tmp_path / "shelf")]
    page = tmp_path / "page.html"
    words = ["gallery", "--out", str(page), "--seconds", "1", *shelf]
    assert main(words) == 2
    assert "the shelf is empty" in capsys.readouterr().err
    model = licensed(tmp_path / "m.onnx", CC0, title="Night")
    assert main(["models", "add", str(model), *shelf]) == 0
    assert main(words) == 0
    assert "Night" in page.read_text(encoding="utf-8")
