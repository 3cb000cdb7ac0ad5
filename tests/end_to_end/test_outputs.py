"""Every verb that writes an output: into pipes and devices, through links, or not at all.

Existing pipes, devices and links are not replaced, whichever account runs the verb.
"""

import io
import json
import os
import stat
import sys
import threading
import wave
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
import soundfile

from device.cli import main
from device.errors import OutputError
from tests.support import tiny_model as tiny
from tests.support.tiny_run import finished

KINDS = ("pipe", "device", "link", "dangling link", "free name", "older file")
REFUSED = ("folder", "missing folder", "link into nowhere", "link to itself", "unwritable folder")


class OutputPath:
    """An output of one kind, in a folder of its own; a pipe has its reader."""

    def __init__(self, kind, folder):
        self.kind, self.folder = kind, folder
        self.path, self.target = folder / "out", folder / "elsewhere" / "target"
        self.target.parent.mkdir(parents=True)
        self._read = []
        make = getattr(self, f"_{kind.replace(' ', '_')}", None)
        if make:
            make()
        self.before = self._kinds()

    def _pipe(self):
        os.mkfifo(self.path)
        reader = threading.Thread(target=lambda: self._read.append(self.path.read_bytes()))
        reader.daemon = True
        reader.start()
        self._reader = reader

    def _device(self):
        # As root a null device of our own: a verb that replaces it harms no other program.
        if os.geteuid() == 0:
            try:
                os.mknod(self.path, stat.S_IFCHR | 0o666, os.makedev(1, 3))
            except PermissionError:
                self.path.symlink_to(os.devnull)
        else:
            self.path.symlink_to(os.devnull)

    def _link(self):
        self.target.write_bytes(b"older")
        self.path.symlink_to(self.target)

    def _dangling_link(self):
        self.path.symlink_to("elsewhere/target")

    def _older_file(self):
        self.path.write_bytes(b"older")
        self.path.chmod(0o640)

    def _folder(self):
        self.path.mkdir()

    def _missing_folder(self):
        self.path = self.folder / "none" / "out"

    def _link_into_nowhere(self):
        self.path.symlink_to(self.folder / "none" / "out")

    def _link_to_itself(self):
        self.path.symlink_to(self.path)

    def _unwritable_folder(self):
        # Not even root can make files there.
        self.path = Path("/proc/out")

    def _kinds(self):
        return {
            path.relative_to(self.folder): stat.S_IFMT(path.lstat().st_mode)
            for path in self.folder.rglob("*")
        }

    def check_kept(self):
        """Check that no path has become another kind, and that no partial file is left."""
        now = self._kinds()
        assert {path: now.get(path) for path in self.before} == self.before
        new = {Path("out")} if self.kind == "free name" else {Path("elsewhere/target")}
        assert now.keys() - self.before.keys() <= new

    def content(self):
        """The bytes written; None for a device."""
        if self.kind == "device":
            return None
        if self.kind == "pipe":
            self._reader.join(20)
            return self._read[0]
        if "link" in self.kind:
            assert self.path.is_symlink()
            return self.target.read_bytes()
        if self.kind == "older file":
            assert stat.S_IMODE(self.path.stat().st_mode) == 0o640
        return self.path.read_bytes()


def is_sound(content):
    """Check a WAV file; in a pipe its header may have the largest length of WAV."""
    assert content[:4] == b"RIFF"
    with wave.open(io.BytesIO(content)) as wav:
        assert (wav.getnchannels(), wav.getsampwidth(), wav.getframerate()) == (1, 2, 22050)
        n_frames = (len(content) - 44) // 2
        assert n_frames >= 22050 // 4
        assert wav.getnframes() == n_frames or wav.getnframes() > 2**30
        assert any(wav.readframes(n_frames))


def is_drawing(content):
    assert ET.fromstring(content).tag.endswith("svg")


def is_page(content):
    assert content.startswith(b"<!doctype html>") or content.startswith(b"<!DOCTYPE html>")
    assert content.rstrip().endswith(b"</html>")


def is_json(content):
    assert json.loads(content)


RENDER = "render --model tiny.onnx --bits 1 --seconds 0.5 --out {}"
PLAY = "play --model tiny.onnx --switches script:flips.txt --seconds 0.5 --speaker wav:{}"
WIRING = "doctor --wiring {}"
FACEPLATE = "faceplate tiny.onnx --out {}"
QUICK = {
    "render": (RENDER, is_sound),
    "play": (PLAY, is_sound),
    "wiring": (WIRING, is_drawing),
    "faceplate": (FACEPLATE, is_drawing),
}
STUDY = "study song.wav --without-librosa --window 256"
AUDITION = "audition tiny.onnx --takes 2 --passes 8 --workers 1"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder in which the verbs run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("device.config.SEARCHED", ())
    monkeypatch.setattr("device.system.outputs.READER_SECONDS", 0.05)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    tiny.build(tmp_path / "tiny.onnx", n_switches=1)
    (tmp_path / "flips.txt").write_text("0 1\n", encoding="utf-8")
    time = np.arange(22050) / 22050
    soundfile.write(tmp_path / "song.wav", 0.3 * np.sin(2 * np.pi * 330 * time), 22050)
    return tmp_path


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("verb", QUICK)
def test_an_output_is_written_into_its_path_and_keeps_its_kind(verb, kind, folder):
    command, check = QUICK[verb]
    output = OutputPath(kind, folder / "output")
    assert main(command.format(output.path).split()) == 0
    content = output.content()
    output.check_kept()
    if content is not None:
        check(content)


def written(command, outputs):
    """Run a verb with an output of each kind; returns their contents."""
    words = [word for option, output in outputs.items() for word in (option, str(output.path))]
    assert main([*command.split(), *words]) == 0
    contents = {option: output.content() for option, output in outputs.items()}
    for output in outputs.values():
        output.check_kept()
    return contents


def test_a_study_is_written_into_a_pipe_and_through_a_link(folder):
    kinds = {"--out": "dangling link", "--json": "pipe"}
    outputs = {name: OutputPath(kind, folder / name) for name, kind in kinds.items()}
    contents = written(STUDY, outputs)
    is_page(contents["--out"])
    is_json(contents["--json"])


def test_an_audition_and_its_model_are_written_into_pipe_and_device_and_through_links(folder):
    # In a folder whose name is not UTF-8, as well.
    folder /= "B\udce9la"
    model = OutputPath("dangling link", folder / "model")
    tiny.build(model.target, n_switches=1)
    before = model.target.read_bytes()
    kinds = {"--out": "pipe", "--json": "device", "--labels": "link"}
    command = AUDITION.replace("tiny.onnx", f"{model.path} --name 1=rain --write")
    outputs = {name: OutputPath(kind, folder / name) for name, kind in kinds.items()}
    contents = written(command, outputs)
    is_page(contents["--out"])
    is_drawing(contents["--labels"])
    model.check_kept()
    assert b"rain" in model.content() != before


EVERY = {
    "render": RENDER,
    "play": PLAY,
    "wiring": WIRING,
    "faceplate": FACEPLATE,
    "status": "play --model tiny.onnx --switches demo --seconds 0.5 --speaker silent --status {}",
    "study": STUDY + " --out {}",
    "study JSON": STUDY + " --out page.html --json {}",
    "audition": AUDITION + " --out {}",
    "audition JSON": AUDITION + " --out page.html --json {}",
    "label sheet": AUDITION + " --out page.html --labels {}",
    "export": "export {run} --out {}",
}


@pytest.fixture
def refusal(folder, tmp_path_factory, capsys):
    """Runs a verb that has to refuse its output; returns the error."""

    def refusal(verb, output):
        run = finished(tmp_path_factory)[1] if verb == "export" else None
        before = set(folder.rglob("*"))
        capsys.readouterr()
        assert main(EVERY[verb].format(output.path, run=run).split()) == OutputError.exit_code
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert str(output.path) in err
        assert set(folder.rglob("*")) == before
        output.check_kept()
        return err

    return refusal


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("verb", EVERY)
def test_an_output_that_cannot_be_written_is_refused_with_the_same_status(
    verb, kind, folder, refusal
):
    refusal(verb, OutputPath(kind, folder / "output"))


@pytest.mark.parametrize("kind", ["pipe", "device"])
@pytest.mark.parametrize("verb", ["status", "export"])
def test_an_output_that_is_read_again_is_not_written_into_a_pipe_or_device(
    verb, kind, folder, refusal
):
    assert "choose another" in refusal(verb, OutputPath(kind, folder / "output"))


def test_a_file_that_may_not_be_written_is_not_replaced(folder, monkeypatch, capsys):
    # Root may write everything, and the suite may be run by root: the kernel's result is simulated.
    real, kept = os.access, ("kept.wav", os.W_OK)
    monkeypatch.setattr("os.access", lambda at, how: (Path(at).name, how) != kept and real(at, how))
    (folder / "kept.wav").write_bytes(b"kept")
    assert main(RENDER.format("kept.wav").split()) == OutputError.exit_code
    assert "Permission denied" in capsys.readouterr().err
    assert (folder / "kept.wav").read_bytes() == b"kept"


def test_a_pipe_without_a_reader_is_refused_in_time(folder, capsys):
    os.mkfifo(folder / "pipe")
    assert main(RENDER.format("pipe").split()) == OutputError.exit_code
    assert "a pipe that nothing reads" in capsys.readouterr().err


def test_an_output_may_have_the_longest_possible_name(folder):
    name = "é" * 125 + ".wav"
    assert main(RENDER.format(name).split()) == 0
    is_sound((folder / name).read_bytes())


def test_a_status_is_written_through_a_link_and_removed_without_the_link(folder):
    output = OutputPath("dangling link", folder / "output")
    command = EVERY["status"].format(output.path).replace("0.5", "1.6")
    contents = []
    reader = threading.Timer(1.3, lambda: contents.append(output.target.read_bytes()))
    reader.start()
    assert main(command.split()) == 0
    reader.join()
    is_json(contents[0])
    output.check_kept()
    assert not output.target.exists()
