"""Every verb that writes where it is told to: into pipes and devices, through links, or not at all.

What is there already and is no file stays what it is, whoever runs the verb.
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
REFUSED = ("folder", "missing folder", "link into nowhere", "link to itself", "no place to write")


class Place:
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
        # As root a null device of our own: a verb that replaces it costs the test alone.
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

    def _no_place_to_write(self):
        # Not even root makes files there.
        self.path = Path("/proc/out")

    def _kinds(self):
        return {
            path.relative_to(self.folder): stat.S_IFMT(path.lstat().st_mode)
            for path in self.folder.rglob("*")
        }

    def check_kept(self):
        """Nothing has become something else, and nothing is left half-written."""
        now = self._kinds()
        assert {path: now.get(path) for path in self.before} == self.before
        free = {Path("out")} if self.kind == "free name" else {Path("elsewhere/target")}
        assert now.keys() - self.before.keys() <= free

    def content(self):
        """What was written; None where it goes nowhere."""
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
    """A WAV file; what goes into a pipe says that it may be as long as WAV allows."""
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
QUICK = {"render": (RENDER, is_sound), "play": (PLAY, is_sound), "wiring": (WIRING, is_drawing)}
STUDY = "study song.wav --without-librosa --window 256"
AUDITION = "audition tiny.onnx --takes 2 --workers 1"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where the verbs run."""
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
def test_an_output_is_written_into_or_through_and_stays_what_it_is(verb, kind, folder):
    command, check = QUICK[verb]
    place = Place(kind, folder / "place")
    assert main(command.format(place.path).split()) == 0
    content = place.content()
    place.check_kept()
    if content is not None:
        check(content)


def written(command, places):
    """Run a verb with an output of each kind; what went there."""
    words = [word for option, place in places.items() for word in (option, str(place.path))]
    assert main([*command.split(), *words]) == 0
    found = {option: place.content() for option, place in places.items()}
    for place in places.values():
        place.check_kept()
    return found


def test_a_study_is_written_into_a_pipe_and_through_a_link(folder):
    kinds = {"--out": "dangling link", "--json": "pipe"}
    found = written(STUDY, {name: Place(kind, folder / name) for name, kind in kinds.items()})
    is_page(found["--out"])
    is_json(found["--json"])


def test_an_audition_is_written_into_pipe_and_device_and_through_links_and_so_is_its_model(folder):
    # In a folder whose name is not UTF-8, as well.
    folder /= "B\udce9la"
    model = Place("dangling link", folder / "place")
    tiny.build(model.target, n_switches=1)
    before = model.target.read_bytes()
    kinds = {"--out": "pipe", "--json": "device", "--labels": "link"}
    command = AUDITION.replace("tiny.onnx", f"{model.path} --name 1=rain --write")
    found = written(command, {name: Place(kind, folder / name) for name, kind in kinds.items()})
    is_page(found["--out"])
    is_drawing(found["--labels"])
    model.check_kept()
    assert b"rain" in model.content() != before


EVERY = {
    "render": RENDER,
    "play": PLAY,
    "wiring": WIRING,
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
    """Runs a verb that has to refuse its output; what it says."""

    def refusal(verb, place):
        run = finished(tmp_path_factory)[1] if verb == "export" else None
        before = set(folder.rglob("*"))
        capsys.readouterr()
        assert main(EVERY[verb].format(place.path, run=run).split()) == OutputError.exit_code
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert str(place.path) in err
        assert set(folder.rglob("*")) == before
        place.check_kept()
        return err

    return refusal


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("verb", EVERY)
def test_an_output_that_cannot_be_written_is_refused_with_the_same_status(
    verb, kind, folder, refusal
):
    refusal(verb, Place(kind, folder / "place"))


@pytest.mark.parametrize("kind", ["pipe", "device"])
@pytest.mark.parametrize("verb", ["status", "export"])
def test_what_is_read_again_goes_into_no_pipe_and_no_device(verb, kind, folder, refusal):
    assert "choose another" in refusal(verb, Place(kind, folder / "place"))


def test_a_file_that_may_not_be_written_is_not_replaced(folder, monkeypatch, capsys):
    # Root may write everything, and the suite may be run by root: the kernel's answer is given.
    real, kept = os.access, ("kept.wav", os.W_OK)
    monkeypatch.setattr("os.access", lambda at, how: (Path(at).name, how) != kept and real(at, how))
    (folder / "kept.wav").write_bytes(b"kept")
    assert main(RENDER.format("kept.wav").split()) == OutputError.exit_code
    assert "Permission denied" in capsys.readouterr().err
    assert (folder / "kept.wav").read_bytes() == b"kept"


def test_a_pipe_that_nothing_reads_is_refused_in_time(folder, capsys):
    os.mkfifo(folder / "pipe")
    assert main(RENDER.format("pipe").split()) == OutputError.exit_code
    assert "a pipe that nothing reads" in capsys.readouterr().err


def test_a_name_may_be_as_long_as_names_can_be(folder):
    name = "é" * 125 + ".wav"
    assert main(RENDER.format(name).split()) == 0
    is_sound((folder / name).read_bytes())


def test_a_status_goes_through_a_link_and_goes_away_alone(folder):
    place = Place("dangling link", folder / "place")
    command = EVERY["status"].format(place.path).replace("0.5", "1.6")
    seen = []
    watcher = threading.Timer(1.3, lambda: seen.append(place.target.read_bytes()))
    watcher.start()
    assert main(command.split()) == 0
    watcher.join()
    is_json(seen[0])
    place.check_kept()
    assert not place.target.exists()
