"""Titles, labels, messages and names from outside, on any terminal: shown, never obeyed."""

import io
import json
import os
import pty
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
import soundfile
from rich.console import Console

from device.audio.wav_file import WavSpeaker
from device.cli import main
from device.store.store import ModelStore
from device.switches.pin_monitor import Watch, table
from device.switches.wiring import Wiring
from device.switches.wiring_diagram import diagram
from device.ui.display import Lines
from device.ui.status_file import status_of
from device.ui.systemd import Heartbeat, SystemdNotifier, status_line
from device.ui.terminal import TerminalDisplay, TerminalView
from export.commands.push import _table
from tests.support import tiny_model as tiny
from tests.support.instrument_state import snapshot
from training.corpus.format import read_json, write_json
from training.evaluation.label_sheet import build as build_sheet
from training.reporting.html import chart, chart_style, render

EVIL = "\x1b]0;owned\x07\x1b[2J\x9b5m[red]\u202eevil\u2066\u200b\ud800\r\nactive"
SEEN = (r"\x1b]0;owned\x07", r"\x1b[2J", r"\x9b5m", "[red]", r"\u202e", r"\u2066", r"\u200b")
# "Béla" in Latin-1, as Python has it.
LATIN = "B\udce9la"


def check_shown(text, *, own=""):
    """Nothing in it but what can be seen, line ends, and a terminal's `own` characters."""
    assert [c for c in text if not c.isprintable() and c not in "\n" + own] == []
    text.encode("utf-8")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("device.config.SEARCHED", ())
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    return tmp_path


@pytest.fixture
def told(folder, capsys):
    """Runs a command; its status and all it said."""

    def told(*words):
        capsys.readouterr()
        status = main(list(words))
        out, err = capsys.readouterr()
        check_shown(out + err)
        return status, out + err

    return told


# -- what the verbs print --------------------------------------------------------------------


def test_a_status_is_shown_and_its_words_are_not_obeyed(told, folder, monkeypatch):
    state = snapshot(title=EVIL, labels=(EVIL, EVIL))
    facts = {
        **status_of(state, origin=EVIL),
        **{"written_at": 1000.0, "pid": 1, "uptime_seconds": 1.0, "temperature_celsius": None},
        "last_refusal": {"digest": "ab" * 32, "reason": EVIL, "at": 1.0},
        "helpers": {EVIL: {"n_faults": 1, "n_restarts": 1, "latest": EVIL}},
    }
    (folder / "status.json").write_text(json.dumps(facts), encoding="utf-8")
    monkeypatch.setattr("time.time", lambda: 1000.0)
    monkeypatch.setenv("COLUMNS", "500")
    status, said = told("status", "--file", "status.json")
    assert status == 0
    assert [words for words in SEEN if said.count(words) < 3] == []


def test_a_watched_status_that_is_missing_is_no_markup(folder):
    from device.commands.status import _table_or_problem

    console = Console(file=io.StringIO(), width=500)
    console.print(_table_or_problem(Path("[red]none\x1b[2J[/red].json")))
    said = console.file.getvalue()
    check_shown(said)
    assert r"[red]none\x1b[2J[/red].json" in said


@pytest.mark.parametrize(
    "words",
    [
        ("models", "show", EVIL),
        ("models", "check", EVIL + ".onnx"),
        ("models", "activate", EVIL, "--store", "store"),
        ("render", "--bits", EVIL, "--out", "a.wav"),
        ("render", "--bits", "1" * 200_000, "--out", "a.wav"),
        ("render", "--bits", "1", "--out", f"{EVIL}/a.wav"),
        ("render", "--share", EVIL, "--out", "a.wav"),
        ("play", "--switches", EVIL),
        ("play", "--switches", f"script:{EVIL}"),
        ("play", "--config", EVIL),
        ("play", "--seconds", EVIL),
        ("status", "--file", EVIL),
        (EVIL,),
        ("corpus", "folder", EVIL, "--out", "corpus"),
        ("train", EVIL, "--out", "run", "--steps", "1"),
        ("study", EVIL, "--out", "a.html"),
        ("audition", EVIL, "--out", "a.html"),
        ("export", EVIL, "--out", "a.onnx"),
        ("push", EVIL, "a.onnx"),
        ("push", "host", EVIL),
    ],
    ids=lambda words: " ".join(words[:3]).encode("unicode_escape").decode()[:60],
)
def test_a_mistake_is_told_in_few_visible_words(words, told):
    # An argument's lone surrogates are bytes that are not UTF-8.
    status, said = told(*(word.replace("\ud800", "\udce9") for word in words))
    assert status not in (0, 1)
    assert 0 < len(said) < 5000


def test_an_unknown_key_and_a_long_number_are_told_in_few_visible_words(told, folder):
    for metadata in ({EVIL.replace("\ud800", ""): "1"}, {"log_floor": "9" * 200_000}):
        tiny.build(folder / "odd.onnx", metadata=metadata)
        for verb in (("models", "show"), ("models", "check")):
            status, said = told(*verb, "odd.onnx")
            assert status != 0
            assert said.count("\n") == 1
            assert len(said) < 2500


def test_a_list_of_models_stays_one_line_a_model(told, folder):
    store = ModelStore(folder / "store")
    digest = store.add(tiny.build(folder / "tiny.onnx"))
    store.refuse(digest, EVIL.replace("\ud800", ""))
    status, said = told("models", "list", "--store", "store")
    assert (status, said.count("\n")) == (0, 2)


def test_lines_of_a_playing_box_are_shown(capsys):
    Lines().print_line(EVIL)
    said = capsys.readouterr().err
    check_shown(said)
    assert said.count("\n") == 1


def test_the_panel_shows_titles_labels_and_lines_and_obeys_none(tmp_path):
    console = Console(file=io.StringIO(), force_terminal=True, width=80, height=30)
    view = TerminalView()
    view.update(snapshot(title=EVIL, labels=(EVIL, EVIL)))
    plain = Console(file=io.StringIO(), width=80, height=30)
    plain.print(view)
    check_shown(plain.file.getvalue())
    assert r"\x1b]0;owned\x07" in plain.file.getvalue()
    TerminalDisplay(console).print_line(EVIL)
    check_shown(console.file.getvalue())


def test_tables_of_switches_and_boxes_show_what_they_were_given(capsys):
    console = Console(file=io.StringIO(), width=500)
    seen = Watch(1)
    seen.update((True,), 0.0)
    console.print(table(seen.rows((5,), (EVIL,))))
    check_shown(console.file.getvalue())
    assert r"[red]\u202eevil" in console.file.getvalue()
    _table([(EVIL, "refused", EVIL)])
    check_shown(capsys.readouterr().out)


def test_the_service_manager_is_told_one_line_of_utf_8(tmp_path):
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(tmp_path / "notify"))
        ear.settimeout(5)
        with (
            SystemdNotifier(str(tmp_path / "notify")) as manager,
            WavSpeaker(tmp_path / f"{LATIN}\nMAINPID=1.wav", 22050, paced=False) as speaker,
        ):
            heartbeat = Heartbeat(manager, lambda state: status_line(state, speaker))
            heartbeat(snapshot(title=EVIL))
        lines = ear.recv(10_000).decode("utf-8").split("\n")
    assert [line.partition("=")[0] for line in lines] == ["READY", "WATCHDOG", "STATUS"]
    assert r"B\xe9la\nMAINPID=1.wav" in lines[2]


# -- what the verbs write --------------------------------------------------------------------


def test_drawings_are_xml_whatever_the_labels_are():
    sheet = build_sheet(EVIL, [EVIL, "<b>&", "[red]"], pitch_mm=30.0)
    for svg in (sheet, diagram(Wiring((5, 6), (EVIL, "<b>&")))):
        root = ET.fromstring(svg.encode("utf-8"))
        assert r"\x1b" in "".join(root.itertext())


def test_a_chart_with_such_words_is_xml_and_a_dollar_is_no_formula():
    from matplotlib.figure import Figure

    from device.plain_text import visible

    with chart_style():
        figure = Figure()
        figure.add_subplot().set_xticks([0], [visible(EVIL) + r"$\frac$"])
        svg = render("labels.svg", title=chart(figure, "a", EVIL), strips=[], **_PAGE)
    ET.fromstring(svg.encode("utf-8"))


_PAGE = {"pitch": 20.0, "width": 210, "height": 297, "margin": 12}


def test_json_holds_names_that_are_not_utf_8(tmp_path):
    write_json(tmp_path / "a.json", {LATIN: [LATIN, "é"]})
    assert read_json(tmp_path / "a.json") == {LATIN: [LATIN, "é"]}


# -- names and terminals that are not UTF-8 --------------------------------------------------


@pytest.fixture
def latin(folder):
    """A folder whose name is not UTF-8, with a model and a song in it whose names are not."""
    inside = folder / LATIN
    inside.mkdir()
    tiny.build(inside / f"{LATIN}.onnx", n_switches=1)
    (inside / f"{LATIN}.txt").write_text("0 1\n", encoding="utf-8")
    sound = np.sin(np.arange(22050) / 10).astype(np.float32)
    with (inside / f"{LATIN}.wav").open("wb") as file:
        soundfile.write(file, sound, 22050, format="WAV")
    return inside


@pytest.mark.parametrize(
    "command",
    [
        "render --model {}.onnx --bits 1 --seconds 0.2 --out {}-2.wav",
        "play --model {}.onnx --switches script:{}.txt --seconds 0.2 --speaker wav:{}-2.wav",
        "sweep --model {}.onnx --seconds 1 --out {}",
        "bench --model {}.onnx --seconds 1",
        "models show {}.onnx",
        "models show --json {}.onnx",
        "models check {}.onnx",
        "models activate {}.onnx --store {}",
        "doctor --model {}.onnx --wiring {}.svg",
    ],
    ids=lambda command: command.partition(" {")[0][:30],
)
def test_every_verb_takes_names_that_are_not_utf_8(command, latin, told):
    words = [word.format(*[f"{latin}/{LATIN}"] * word.count("{}")) for word in command.split()]
    status, said = told(*words)
    assert (status, said) == (0, said)
    # Standard output of a pipe in another encoding takes them as well.
    said.encode("ascii", "backslashreplace")


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_the_panel_fits_terminals_that_are_not_utf_8(encoding):
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding, errors="strict")
    console = Console(file=file, force_terminal=True, width=60, height=30, color_system=None)
    view = TerminalView()
    view.update(snapshot(title="Café 日本", labels=("wärmth", "tränen")))
    console.print(view)
    file.flush()
    drawn = raw.getvalue().decode(encoding)
    # What terminals call its corners, the lamps and the meter.
    assert "+- 1 ---" in drawn
    assert "| * w" in drawn
    assert "====" in drawn
    assert max(map(len, drawn.splitlines())) <= 60
    assert "\\u" not in drawn


def _python(code, *arguments, environment, **how):
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, **environment},
        cwd=Path(__file__).parents[2],
        check=False,
        timeout=60,
        **how,
    )


VERB = "import sys; from device.cli import main; sys.exit(main(sys.argv[1:]))"


@pytest.mark.parametrize(
    "environment",
    [{"PYTHONIOENCODING": "latin-1"}, {"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C"}],
    ids=str,
)
def test_the_panel_appears_on_a_terminal_that_is_not_utf_8(environment, latin):
    ours, theirs = pty.openpty()
    os.write(ours, b"q")
    model = os.fsencode(latin / f"{LATIN}.onnx")
    words = ("play", "--model", model, "--switches", "keyboard", "--speaker", "silent")
    done = _python(
        VERB, *words, "--seconds", "0.6", environment={**environment, "TERM": "xterm"},
        stdin=theirs, stdout=theirs, stderr=subprocess.PIPE,
    )  # fmt: skip
    os.close(theirs)
    seen = os.read(ours, 100_000)
    os.close(ours)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"Tiny test model" in seen
    assert b"partials 0" in seen


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_a_bar_of_progress_is_drawn_on_any_terminal(encoding):
    code = (
        "from device.console import take_any_text; take_any_text()\n"
        "from training.reporting.progress import TrainingProgress, shown_training\n"
        "with shown_training(hidden=False) as shown:\n"
        "    shown.report(TrainingProgress('codec', 1, 0.5, 0.25, {'loss': 1.0}))\n"
        "print('\\u25cf')"
    )
    environment = {"PYTHONIOENCODING": encoding, "TERM": "xterm", "FORCE_COLOR": "1"}
    done = _python(code, environment=environment, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"codec" in done.stdout
