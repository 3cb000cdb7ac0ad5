"""Untrusted titles, labels, messages and names, on any terminal: printed escaped."""

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
from device.model.bundled import BUNDLED_MODELS
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
from training.drawings.shapes import Drawing
from training.evaluation.label_sheet import build as build_sheet
from training.reporting.html import chart, chart_style, render

UNTRUSTED = "\x1b]0;owned\x07\x1b[2J\x9b5m[red]\u202eevil\u2066\u200b\ud800\r\nactive"
ESCAPED = (r"\x1b]0;owned\x07", r"\x1b[2J", r"\x9b5m", "[red]", r"\u202e", r"\u2066", r"\u200b")
# "Béla" in Latin-1, as Python has it.
LATIN = "B\udce9la"


def check_visible(text, *, own=""):
    """Check that it has only visible characters, line ends, and a terminal's `own` characters."""
    assert [c for c in text if not c.isprintable() and c not in "\n" + own] == []
    text.encode("utf-8")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("device.config.SEARCHED", ())
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    return tmp_path


@pytest.fixture
def run(folder, capsys):
    """Runs a command; returns its status and all its output."""

    def run(*words):
        capsys.readouterr()
        status = main(list(words))
        out, err = capsys.readouterr()
        check_visible(out + err)
        return status, out + err

    return run


# -- what the verbs print --------------------------------------------------------------------


def test_a_status_is_printed_escaped(run, folder, monkeypatch):
    state = snapshot(title=UNTRUSTED, labels=(UNTRUSTED, UNTRUSTED))
    content = {
        **status_of(state, origin=UNTRUSTED),
        **{"written_at": 1000.0, "pid": 1, "uptime_seconds": 1.0, "temperature_celsius": None},
        "last_refusal": {"digest": "ab" * 32, "reason": UNTRUSTED, "at": 1.0},
        "helpers": {UNTRUSTED: {"n_faults": 1, "n_restarts": 1, "latest": UNTRUSTED}},
    }
    (folder / "status.json").write_text(json.dumps(content), encoding="utf-8")
    monkeypatch.setattr("time.time", lambda: 1000.0)
    monkeypatch.setenv("COLUMNS", "500")
    status, output = run("status", "--file", "status.json")
    assert status == 0
    assert [words for words in ESCAPED if output.count(words) < 3] == []


def test_the_path_of_a_missing_status_is_not_printed_as_markup(folder):
    from device.commands.status import _table_or_problem

    console = Console(file=io.StringIO(), width=500)
    console.print(_table_or_problem(Path("[red]none\x1b[2J[/red].json")))
    output = console.file.getvalue()
    check_visible(output)
    assert r"[red]none\x1b[2J[/red].json" in output


@pytest.mark.parametrize(
    "words",
    [
        ("models", "show", UNTRUSTED),
        ("models", "check", UNTRUSTED + ".onnx"),
        ("models", "activate", UNTRUSTED, "--store", "store"),
        ("render", "--bits", UNTRUSTED, "--out", "a.wav"),
        ("render", "--bits", "1" * 200_000, "--out", "a.wav"),
        ("render", "--bits", "1", "--out", f"{UNTRUSTED}/a.wav"),
        ("render", "--share", UNTRUSTED, "--out", "a.wav"),
        ("play", "--switches", UNTRUSTED),
        ("play", "--switches", f"script:{UNTRUSTED}"),
        ("play", "--config", UNTRUSTED),
        ("play", "--seconds", UNTRUSTED),
        ("status", "--file", UNTRUSTED),
        (UNTRUSTED,),
        ("corpus", "folder", UNTRUSTED, "--out", "corpus"),
        ("train", UNTRUSTED, "--out", "run", "--steps", "1"),
        ("study", UNTRUSTED, "--out", "a.html"),
        ("audition", UNTRUSTED, "--out", "a.html"),
        ("faceplate", UNTRUSTED),
        ("faceplate", "a.onnx", "--out", UNTRUSTED + ".png"),
        ("export", UNTRUSTED, "--out", "a.onnx"),
        ("push", UNTRUSTED, "a.onnx"),
        ("push", "host", UNTRUSTED),
    ],
    ids=lambda words: " ".join(words[:3]).encode("unicode_escape").decode()[:60],
)
def test_an_error_is_short_and_visible(words, run):
    # An argument's lone surrogates are bytes that are not UTF-8.
    status, output = run(*(word.replace("\ud800", "\udce9") for word in words))
    assert status not in (0, 1)
    assert 0 < len(output) < 5000


def test_the_errors_of_an_unknown_key_and_a_long_number_are_short_and_visible(run, folder):
    for metadata in ({UNTRUSTED.replace("\ud800", ""): "1"}, {"log_floor": "9" * 200_000}):
        tiny.build(folder / "odd.onnx", metadata=metadata)
        for verb in (("models", "show"), ("models", "check")):
            status, output = run(*verb, "odd.onnx")
            assert status != 0
            assert output.count("\n") == 1
            assert len(output) < 2500


def test_a_list_of_models_has_one_line_per_model(run, folder):
    store = ModelStore(folder / "store")
    digest = store.add(tiny.build(folder / "tiny.onnx"))
    store.refuse(digest, UNTRUSTED.replace("\ud800", ""))
    status, output = run("models", "list", "--store", "store")
    assert (status, output.count("\n")) == (0, 1 + len(BUNDLED_MODELS))


def test_a_line_of_the_plain_display_is_printed_escaped(capsys):
    Lines().print_line(UNTRUSTED)
    output = capsys.readouterr().err
    check_visible(output)
    assert output.count("\n") == 1


def test_the_terminal_view_prints_titles_labels_and_lines_escaped(tmp_path):
    console = Console(file=io.StringIO(), force_terminal=True, width=80, height=30)
    view = TerminalView()
    view.update(snapshot(title=UNTRUSTED, labels=(UNTRUSTED, UNTRUSTED)))
    plain = Console(file=io.StringIO(), width=80, height=30)
    plain.print(view)
    check_visible(plain.file.getvalue())
    assert r"\x1b]0;owned\x07" in plain.file.getvalue()
    TerminalDisplay(console).print_line(UNTRUSTED)
    check_visible(console.file.getvalue())


def test_tables_of_switches_and_devices_are_printed_escaped(capsys):
    console = Console(file=io.StringIO(), width=500)
    contacts = Watch(1)
    contacts.update((True,), 0.0)
    console.print(table(contacts.rows((5,), (UNTRUSTED,))))
    check_visible(console.file.getvalue())
    assert r"[red]\u202eevil" in console.file.getvalue()
    _table([(UNTRUSTED, "refused", UNTRUSTED)])
    check_visible(capsys.readouterr().out)


def test_the_status_for_the_service_manager_is_one_line_of_utf_8(tmp_path):
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        receiver.settimeout(5)
        with (
            SystemdNotifier(str(tmp_path / "notify")) as manager,
            WavSpeaker(tmp_path / f"{LATIN}\nMAINPID=1.wav", 22050, paced=False) as speaker,
        ):
            heartbeat = Heartbeat(manager, lambda state: status_line(state, speaker))
            heartbeat(snapshot(title=UNTRUSTED))
        lines = receiver.recv(10_000).decode("utf-8").split("\n")
    assert [line.partition("=")[0] for line in lines] == ["READY", "WATCHDOG", "STATUS"]
    assert r"B\xe9la\nMAINPID=1.wav" in lines[2]


# -- what the verbs write --------------------------------------------------------------------


def test_drawings_are_xml_whatever_the_labels_are():
    sheet = build_sheet(UNTRUSTED, [UNTRUSTED, "<b>&", "[red]"], pitch_mm=30.0)
    for svg in (sheet, diagram(Wiring((5, 6), (UNTRUSTED, "<b>&")))):
        root = ET.fromstring(svg.encode("utf-8"))
        assert r"\x1b" in "".join(root.itertext())


def test_a_chart_with_untrusted_labels_is_xml_and_a_dollar_is_no_formula():
    from matplotlib.figure import Figure

    from device.plain_text import visible

    with chart_style():
        figure = Figure()
        figure.add_subplot().set_xticks([0], [visible(UNTRUSTED) + r"$\frac$"])
        title = chart(figure, "a", UNTRUSTED)
        svg = render("drawing.svg", title=title, drawing=Drawing("", 210, 297, ()))
    ET.fromstring(svg.encode("utf-8"))


def test_names_that_are_not_utf_8_are_written_as_json_and_read(tmp_path):
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
def test_every_verb_accepts_names_that_are_not_utf_8(command, latin, run):
    words = [word.format(*[f"{latin}/{LATIN}"] * word.count("{}")) for word in command.split()]
    status, output = run(*words)
    assert (status, output) == (0, output)
    # Standard output of a pipe in another encoding accepts them as well.
    output.encode("ascii", "backslashreplace")


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_the_terminal_view_fits_terminals_that_are_not_utf_8(encoding):
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding, errors="strict")
    console = Console(file=file, force_terminal=True, width=60, height=30, color_system=None)
    view = TerminalView()
    view.update(snapshot(title="Café 日本", labels=("wärmth", "tränen")))
    console.print(view)
    file.flush()
    drawn = raw.getvalue().decode(encoding)
    # The corners, the switches and the meter in this encoding.
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
def test_the_terminal_view_appears_on_a_terminal_that_is_not_utf_8(environment, latin):
    controller, terminal = pty.openpty()
    os.write(controller, b"q")
    model = os.fsencode(latin / f"{LATIN}.onnx")
    words = ("play", "--model", model, "--switches", "keyboard", "--speaker", "silent")
    done = _python(
        VERB, *words, "--seconds", "0.6", environment={**environment, "TERM": "xterm"},
        stdin=terminal, stdout=terminal, stderr=subprocess.PIPE,
    )  # fmt: skip
    os.close(terminal)
    output = os.read(controller, 100_000)
    os.close(controller)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"Tiny test model" in output
    assert b"partials 0" in output


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
