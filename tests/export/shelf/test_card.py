"""The model card: front matter that YAML reads, and text of a file that stays text."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from device.cli import main
from device.model.metadata import is_plain
from export.shelf import card as cards
from export.shelf.card import card_of, markdown
from export.shelf.licences import LicenceRefused, Use
from tests.support.licensed_models import BY, BY_NC, CC0, licensed
from tests.support.model_cards import CARD

TAIL = "\n---\n"


def front_matter(text):
    assert text.startswith("---\n")
    return yaml.safe_load(text[4:].partition(TAIL)[0])


def test_the_card_of_a_bundled_model_as_a_user_writes_it(tmp_path):
    command = [Path(sys.executable).parent / "switchboard", "card", "bundled"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert front_matter(done.stdout) == {
        "license": "cc0-1.0",
        "library_name": "lofi-switchboard",
        "pipeline_tag": "other",
        "tags": [
            "audio",
            "music",
            "lo-fi",
            "music-generation",
            "unconditional-audio-generation",
            "onnx",
        ],
        "model_name": "Band Two",
    }
    assert "CC0-1.0: may be shared and sold." in done.stdout
    assert "| 4 | melody |" in done.stdout
    assert re.search(r"\| `audition_timbre_sd` \| 0\.\d+ \|", done.stdout)


def test_credits_that_the_licence_requires_are_in_the_card(tmp_path):
    credits = ["A. Artist: A *piece* (CC BY 4.0)"]
    text = card_of(licensed(tmp_path / "m.onnx", BY, credits=credits))
    assert r"- A. Artist: A \*piece\* (CC BY 4.0)" in text.splitlines()
    assert front_matter(text)["license"] == "cc-by-4.0"
    without = card_of(licensed(tmp_path / "m.onnx", BY))
    assert "the file does not name them" in without


def test_a_licence_without_version_is_named_and_linked(tmp_path):
    entries = front_matter(card_of(licensed(tmp_path / "m.onnx", BY, BY_NC)))
    assert entries["license"] == "other"
    assert entries["license_name"] == "cc-by-nc"
    assert entries["license_link"].startswith("https://creativecommons.org/")


def test_a_card_is_refused_where_the_licence_does_not_allow_to_share(tmp_path, capsys):
    model = licensed(tmp_path / "m.onnx", "unknown")
    out = tmp_path / "card.md"
    assert main(["card", str(model), "--out", str(out)]) == LicenceRefused.exit_code
    assert not out.exists()
    assert "private use alone" in capsys.readouterr().err
    assert main(["card", str(model), "--out", str(out), "--licence", "CC-BY-4.0"]) == 0
    assert front_matter(out.read_text(encoding="utf-8"))["license"] == "cc-by-4.0"
    assert main(["card", str(model), "--out", str(out), "--for", "private"]) == 0
    assert front_matter(out.read_text(encoding="utf-8"))["license"] == "unknown"


def test_a_file_that_is_no_model_has_no_card(tmp_path, capsys):
    (tmp_path / "m.onnx").write_bytes(b"no model")
    assert main(["card", str(tmp_path / "m.onnx")]) == 11
    assert capsys.readouterr().out == ""


titles = st.text(min_size=1, max_size=60).filter(lambda text: text.strip() and is_plain(text))


@given(title=titles)
def test_any_title_is_read_back_by_yaml(title):
    with pytest.MonkeyPatch.context() as patch:
        card = replace(CARD, title=title, provenance={"corpus": {"licences": [CC0]}})
        patch.setattr(cards, "read_card", lambda path: card)
        text = card_of(Path(__file__), Use.SHARE)
    assert front_matter(text)["model_name"] == title


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("<img src=x onerror=alert(1)>", r"\<img src=x onerror=alert(1)\>"),
        ("[here](https://example.com)", r"\[here\](https\://example.com)"),
        ("www.example.com", r"www\.example.com"),
        ("me@example.com", r"me\@example.com"),
        ("a | b", r"a \| b"),
        ("a\nb", "a b"),
        ("- item", r"\- item"),
        ("`code` &amp; ~~x~~", r"\`code\` \&amp; \~\~x\~\~"),
    ],
)
def test_text_of_a_file_is_shown_and_does_nothing(text, written):
    assert markdown(text) == written
