"""The documentation: generated parts are current, links lead somewhere, commands exist."""

import base64
import json
import re
import shlex
from importlib.metadata import entry_points
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from xml.etree import ElementTree

import click
import numpy as np
import pytest
from matplotlib.text import Text

from device import errors
from tests.support import tiny_model as tiny
from training.metrics.mel import hertz_to_mel

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("*/*.md")])
# With or without a prompt, as another user, from a virtual environment.
CALL = re.compile(r"\s*(?:\$ )?(?:sudo (?:-u \S+ )?)?(?:\S*/bin/)?switchboard\s+(.+)")


def script(name):
    """A script of docs/, imported; docs/ is no package."""
    spec = spec_from_file_location(name, ROOT / f"docs/{name}.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


generator = script("generate_reference")


def prose(path):
    """A document without its code blocks."""
    return re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)


def anchors(path):
    """What `#…` may name in a document, as GitHub makes it of headings."""
    text = prose(path)
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    plain = [re.sub(r"[`*]|\[([^]]*)\]\([^)]*\)", r"\1", heading) for heading in headings]
    slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in plain}
    return slugs | set(re.findall(r'<a id="([^"]+)"', text))


def links():
    for path in DOCUMENTS:
        for target in re.findall(r"\]\(([^)\s]+)\)", prose(path)):
            if not re.match(r"[a-z]+:", target):
                yield pytest.param(path, target, id=f"{path.relative_to(ROOT)}: {target}")


@pytest.mark.parametrize(("path", "target"), list(links()))
def test_a_link_leads_to_a_file_and_to_a_heading_in_it(path, target):
    name, _, anchor = target.partition("#")
    file = (path.parent / name).resolve() if name else path
    assert file.exists()
    assert not anchor or anchor in anchors(file)


def calls():
    """Every call of `switchboard` in a document's shell blocks, continued lines joined."""
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        for block in re.findall(r"^```(?:sh|bash|console)\n(.*?)^```", text, re.M | re.S):
            for line in block.replace("\\\n", " ").splitlines():
                call = CALL.match(line.partition(" #")[0])
                if call:
                    yield pytest.param(call[1], id=f"{path.relative_to(ROOT)}: {call[1]}")


@pytest.mark.parametrize("call", list(calls()))
def test_the_documentation_calls_verbs_and_options_that_exist(call):
    command, words = None, shlex.split(re.split(r"[|&;<>]", call)[0])
    points = {point.name: point for point in entry_points(group="switchboard.commands")}
    if words[0] in ("--help", "-h", "--version"):
        return
    assert words[0] in points
    try:
        command = points[words[0]].load()
    except ModuleNotFoundError as error:
        pytest.skip(f"{error.name} is not installed")
    words = words[1:]
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        assert words[0] in command.commands
        command, words = command.commands[words[0]], words[1:]
    known = {name for option in command.params for name in option.opts + option.secondary_opts}
    used = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
    assert used - known - {"--help", "-h"} == set()


def test_make_targets_in_the_documentation_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):(?!=)", makefile, re.M))
    text = "\n".join(path.read_text(encoding="utf-8") for path in DOCUMENTS)
    named = set(re.findall(r"(?:`|^(?:sudo )?)make ([a-z][a-z-]*)", text, re.M))
    assert {"play", "test", "bench"} <= named
    assert named - targets == set()


def test_the_reference_is_what_the_generator_writes():
    text = generator.REFERENCE.read_text(encoding="utf-8")
    assert text == generator.reference(), "run: python docs/generate_reference.py"


def test_the_exit_statuses_of_the_appliance_are_what_the_generator_writes():
    text = generator.APPLIANCE.read_text(encoding="utf-8")
    assert text == generator.appliance(text), "run: python docs/generate_reference.py"


def test_the_reference_has_every_option_key_and_exit_status():
    text = generator.reference()
    for point in entry_points(group="switchboard.commands"):
        commands = [point.load()]
        while commands:
            command = commands.pop()
            commands += getattr(command, "commands", {}).values()
            for option in command.params:
                assert isinstance(option, click.Argument) or f"`{option.opts[0]}`" in text
    keys = text.partition("## Configuration keys")[2].partition("## Exit statuses")[0]
    assert {"pins", "speaker", "volume_limit", "store"} <= set(
        re.findall(r"^\| `(\w+)`", keys, re.M)
    )
    assert not {"config", "seconds", "service"} & set(re.findall(r"^\| `(\w+)`", keys, re.M))
    codes = set(map(int, re.findall(r"^\| (\d+) \|", text, re.M)))
    ours = [
        e for e in vars(errors).values() if isinstance(e, type) and e.__module__ == "device.errors"
    ]
    assert {error.exit_code for error in ours if hasattr(error, "exit_code")} <= codes
    # Of the workstation's packages: corpus, gate, ssh.
    assert {20, 27, 40} <= codes


def test_the_appliance_lists_no_status_of_the_workstation():
    table = generator.appliance(generator.APPLIANCE.read_text(encoding="utf-8"))
    codes = set(map(int, re.findall(r"^\| (\d+) \|", table, re.M)))
    assert {0, 1, 2, 10, 36, 130} <= codes
    assert not {20, 27, 40} & codes


def test_the_appliance_without_its_marks_is_refused():
    with pytest.raises(ValueError, match="put them back"):
        generator.appliance("# systemd\n")


def test_check_says_which_file_is_out_of_date(tmp_path, monkeypatch, capsys):
    reference, appliance = tmp_path / "reference.md", tmp_path / "README.md"
    appliance.write_text(f"a\n{generator.BEGIN}\n{generator.END}\nb\n", encoding="utf-8")
    monkeypatch.setattr(generator, "REFERENCE", reference)
    monkeypatch.setattr(generator, "APPLIANCE", appliance)
    assert generator.main(["--check"]) == 1
    assert not reference.exists()
    assert str(reference) in capsys.readouterr().err
    assert generator.main([]) == 0
    assert appliance.read_text(encoding="utf-8").endswith("\nb\n")
    assert generator.main(["--check"]) == 0


def test_the_root_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


@pytest.mark.parametrize("walk", ["From `receive` to being heard", "From pin to speaker"])
def test_a_walk_enters_every_room_once_in_at_most_eight_steps(walk):
    text = (ROOT / "device/README.md").read_text(encoding="utf-8")
    section = text.partition(f"## {walk}\n")[2].partition("\n## ")[0]
    rooms = re.findall(r"^\d\. `(\w+)/`", section, re.M)
    assert len(rooms) == len(re.findall(r"^\d+\. ", section, re.M))
    assert 3 <= len(rooms) <= 8
    assert len(set(rooms)) == len(rooms)
    assert set(rooms) <= set(re.findall(r"^\| `(\w+)/` \|", text, re.M))


def test_the_picture_shows_a_tone_at_its_frequency_and_every_flip():
    drawer = script("draw_spectrogram")
    rate = 44100
    tone = np.sin(2 * np.pi * 1000 * np.arange(2 * rate) / rate) * np.linspace(0, 1, 2 * rate)
    image = drawer.shades(tone, rate)
    assert image.shape == (drawer.HEIGHT, drawer.WIDTH)
    loudest = drawer.HEIGHT - 1 - image[:, -1].argmax()
    octaves = np.log2(drawer.HIGHEST_HZ / drawer.LOWEST_HZ)
    hertz = drawer.LOWEST_HZ * 2 ** (octaves * (loudest + 0.5) / drawer.HEIGHT)
    assert hertz == pytest.approx(1000, rel=0.06)
    root = ElementTree.fromstring(drawer.svg(image))
    words = [element.text for element in root.iter() if element.text and element.text.strip()]
    assert {bits for _, bits in drawer.FLIPS} <= set(words)


def test_the_committed_picture_is_whole_and_small():
    text = (ROOT / "docs/spectrogram.svg").read_text(encoding="utf-8")
    ElementTree.fromstring(text)
    assert len(text) < 40_000
    data = base64.b64decode(re.search(r"base64,([^\"]+)", text)[1])
    assert data.startswith(b"\x89PNG") and data.endswith(b"IEND\xaeB`\x82")


def test_the_picture_of_flips_has_every_switch_off_for_one_bar():
    drawer, card = script("draw_flips"), tiny.describe(tiny.Sizes())
    bars = drawer.states(3)
    assert bars == ["111", "011", "111", "101", "111", "110", "111"]
    rate, n_columns = card.sample_rate, 7 * drawer.COLUMNS_PER_BAR
    tone = 0.1 * np.sin(2 * np.pi * 1000 * np.arange(2 * rate) / rate)
    image = drawer.shades(tone, rate, n_columns)
    assert image.shape == (drawer.N_MELS, n_columns)
    row = (image[:, n_columns // 2].argmax() + 0.5) / drawer.N_MELS
    assert 1 - row == pytest.approx(hertz_to_mel(1000) / hertz_to_mel(rate / 2), abs=0.02)
    figure = drawer.draw(image, card, bars)
    texts = {text.get_text() for text in figure.findobj(Text)}
    assert {"1 off", "2 off", "3 off", "partials 1  2"} <= texts
    content = drawer.png(figure)
    assert content.startswith(b"\x89PNG")
    assert len(content) < 200_000


def test_the_picture_of_flips_is_of_a_model_that_learnt_from_versions_where_there_is_one(tmp_path):
    drawer, training = script("draw_flips"), {"switches": "versions", "labels": "drums,bass,pad"}
    default = tiny.build(tmp_path / "lofi.onnx")
    assert drawer.chosen_model(tmp_path) == default
    provenance = json.dumps({"training": training})
    band = tiny.build(tmp_path / "other.onnx", metadata={"provenance": provenance})
    assert drawer.chosen_model(tmp_path) == band


def test_the_committed_picture_of_flips_is_whole_and_small():
    data = (ROOT / "docs/flips.png").read_bytes()
    assert data.startswith(b"\x89PNG")
    assert data.endswith(b"IEND\xaeB`\x82")
    assert len(data) <= 200_000


@pytest.mark.parametrize("package", ["device", "training", "export"])
def test_a_readme_lists_the_packages_that_exist_and_no_others(package):
    text = (ROOT / package / "README.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `(\w+)/` \|", text, re.M))
    assert listed == {path.parent.name for path in (ROOT / package).glob("*/__init__.py")}
