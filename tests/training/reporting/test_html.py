"""A report is one file, and shows its contents."""

import base64
import io
import re

import numpy as np
import pytest
import soundfile
from matplotlib.figure import Figure
from matplotlib.image import imread

from device.errors import OutputError
from device.system.outputs import check_output
from training.reporting import html as report
from training.reporting.html import (
    FIRST,
    INK,
    Column,
    chart,
    chart_style,
    common_gain,
    picture_uri,
    render,
    sound,
    sound_uri,
    write_text,
)
from training.reporting.text import typeset


def drawn(name, alt="a line"):
    with chart_style():
        figure = Figure()
        axes = figure.subplots()
        axes.plot([0, 1], [1, 2], color=FIRST, label="one")
        axes.set_title("title", color=INK)
        axes.legend()
        return str(chart(figure, name, alt))


def content(uri):
    kind, _, text = uri.partition(";base64,")
    return kind, base64.b64decode(text)


def test_a_chart_has_the_colours_of_the_page():
    svg = drawn("a")
    assert "stroke: var(--first)" in svg
    assert "fill: var(--ink)" in svg
    assert not re.search(r"#0[1-7]0", svg)


def test_a_chart_is_as_wide_as_the_page():
    start = drawn("a").partition(">")[0]
    assert start.startswith("<svg")
    assert "viewBox" in start
    assert not re.search(r'\b(width|height)="', start)


def test_charts_of_one_page_share_no_names_and_refer_only_to_their_own():
    names = {}
    for name in ("a", "b"):
        svg = drawn(name)
        names[name] = set(re.findall(r'\bid="([^"]+)"', svg))
        used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg))
        assert used
        assert used <= names[name]
    assert not names["a"] & names["b"]


def test_a_chart_has_an_alternative_text():
    assert 'aria-label="less &lt; more"' in drawn("a", "less < more")


def test_the_same_chart_is_drawn_the_same():
    assert drawn("a") == drawn("a")


def test_an_embedded_sound_decodes_to_its_samples():
    samples = np.random.default_rng(0).uniform(-0.9, 0.9, 3000).astype(np.float32)
    kind, data = content(sound_uri(samples, 22_050))
    decoded, sample_rate = soundfile.read(io.BytesIO(data))
    assert (kind, sample_rate) == ("data:audio/flac", 22_050)
    np.testing.assert_allclose(decoded, samples, atol=1 / 32_000)


def test_samples_beyond_full_scale_are_clipped_and_do_not_wrap_around():
    loud = np.array([2.0, -2.0, 0.5], np.float32)
    decoded, _ = soundfile.read(io.BytesIO(content(sound_uri(loud, 22_050))[1]))
    np.testing.assert_allclose(decoded, [1, -1, 0.5], atol=1e-3)


def test_one_gain_keeps_all_sounds_from_clipping():
    quiet, loud = np.full(9, 0.1, np.float32), np.full(9, -1.96, np.float32)
    assert common_gain([quiet]) == 1
    assert common_gain([quiet, loud]) == pytest.approx(0.5)
    assert common_gain([np.zeros(9, np.float32)]) == common_gain([]) == 1


def test_a_picture_is_bright_at_high_levels_and_has_low_frequencies_at_the_bottom():
    levels = np.full((4, 6), -100.0)
    levels[0, 5] = 0.0
    kind, data = content(picture_uri(levels))
    pixels = imread(io.BytesIO(data))[..., :3].sum(axis=2)
    assert kind == "data:image/png"
    assert pixels.shape == (4, 6)
    assert np.unravel_index(pixels.argmax(), pixels.shape) == (3, 5)
    assert np.count_nonzero(pixels > pixels.min()) == 1


@pytest.mark.parametrize("n_samples", [300, 22_050, 441_000])
def test_a_sound_of_any_length_has_a_picture(n_samples):
    tone = np.sin(0.3 * np.arange(n_samples)).astype(np.float32)
    made = sound("tone", tone, 22_050, note="a note")
    pixels = imread(io.BytesIO(content(made.picture)[1]))
    assert (made.label, made.note) == ("tone", "a note")
    assert pixels.shape[0] == 96
    assert 1 <= pixels.shape[1] <= 562


@pytest.fixture
def page(tmp_path, monkeypatch):
    """Renders the parts of a page from a template of a test's own."""
    for part in report.PAGES.iterdir():
        (tmp_path / part.name).write_bytes(part.read_bytes())
    monkeypatch.setattr(report, "PAGES", tmp_path)

    def build(body, **content):
        head = '{% extends "base.html" %}{% import "parts.html" as parts %}'
        text = f"{head}{{% block content %}}{body}{{% endblock %}}"
        (tmp_path / "test.html").write_text(text, encoding="utf-8")
        return render("test.html", title="a < b", **content)

    return build


def test_a_page_is_one_file_without_requests(page):
    samples = np.zeros(2000, np.float32)
    html = page("{{ parts.sounds(items) }}", items=[sound("s", samples, 22_050)])
    assert html.startswith("<!doctype html>")
    assert "--paper" in html
    assert ".addEventListener" in html
    assert html.count("<audio") == html.count("<img") == 1
    assert set(re.findall(r'(?:src|href)="([a-z]+):', html)) == {"data"}
    assert not re.search(r"<link|@import|url\((?!#)|https?://", html)


def test_text_in_a_page_is_escaped(page):
    html = page("{{ name }}", name="<script>alert(1)</script>")
    assert "<title>a &lt; b</title>" in html
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert(1)" in html


def test_a_typeset_text_keeps_its_spaces_and_its_length(page):
    text = typeset("From -3 dB to 1.5 s, and so on for a whole paragraph that is not shortened.")
    assert "3\N{NO-BREAK SPACE}dB" in text
    assert text in page("{{ text }}", text=text)
    assert "a\\u202eb" in page("{{ text }}", text="a\u202eb")


def test_a_table_has_a_cell_for_every_column(page):
    columns = [Column("name", is_number=False), Column("size", "mm")]
    groups = [[("first", ["a", "1"])], [("second", ["b", "2"]), ("", ["c", "3"])]]
    html = page("{{ parts.table(columns, groups) }}", columns=columns, groups=groups)
    assert html.count("<tbody>") == 2
    assert '<td>b</td><td class="n">2</td>' in html
    assert "size<small>mm</small>" in html


def test_a_missing_value_of_a_template_is_an_error(page):
    with pytest.raises(Exception, match="'nothing' is undefined"):
        page("{{ nothing }}")


def test_a_page_is_written_whole_or_not_at_all(tmp_path):
    write_text(tmp_path / "a.html", "ä")
    assert (tmp_path / "a.html").read_text(encoding="utf-8") == "ä"
    with pytest.raises(OutputError, match=r"none/a\.html: found No such file"):
        write_text(tmp_path / "none" / "a.html", "b")
    assert [path.name for path in tmp_path.iterdir()] == ["a.html"]


def test_a_path_that_cannot_be_written_is_detected_before_the_work(tmp_path):
    check_output(tmp_path / "a.html")
    with pytest.raises(OutputError, match="found a folder, expected a file name"):
        check_output(tmp_path)
    with pytest.raises(OutputError, match=r"found no folder .*none; make it first"):
        check_output(tmp_path / "none" / "a.html")
