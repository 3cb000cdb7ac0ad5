"""`switchboard kept` and sound files of other kinds than WAV."""

import json
import sys
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile

from device.audio.encoded_file import EncodedFile
from device.audio.wav_file import to_pcm, wav_header
from device.cli import main
from device.errors import OutputError
from device.playback.recording.kept_folder import KeptFolder
from tests.support.command_output import RATE, samples_of

pytestmark = pytest.mark.usefixtures("own_folder")
NAME = "2026-11-26_20-00-00_rain"
PCM = to_pcm(np.sin(np.arange(RATE) / 7).astype(np.float32) * 0.5)


@pytest.fixture
def kept(capsys):
    """Runs the verb on a folder with one piece whose texts are those of a stranger."""
    about = {"title": "Rain\x1b[2J", "share_code": "ABCD", "seconds": 1.0}
    files = {
        "sound.wav": lambda file: file.write(wav_header(RATE, 2 * len(PCM)) + PCM.tobytes()),
        "about.json": lambda file: file.write(json.dumps(about).encode()),
    }
    KeptFolder(Path("kept")).add(NAME, files, 1)

    def run(*arguments, status=0):
        assert main(["kept", *map(str, arguments), "--folder", "kept"]) == status
        output = capsys.readouterr()
        return output.err if status else output.out

    return run


def test_the_list_has_a_line_for_each_piece_and_shows_what_a_terminal_would_obey(kept):
    assert kept("list").rstrip() == rf"{NAME}  0:01    0.0 MB  Rain\x1b[2J  ABCD"
    (row,) = json.loads(kept("list", "--json"))
    assert (row["name"], row["seconds"], row["title"]) == (NAME, 1.0, "Rain\x1b[2J")


def test_an_empty_folder_says_what_keeps_music(capsys):
    assert main(["kept", "list", "--folder", "nothing"]) == 0
    assert "nothing is kept in" in capsys.readouterr().out


def test_the_folder_is_that_of_the_configuration(kept, capsys):
    Path("switchboard.toml").write_text('keep_folder = "kept"\n', encoding="utf-8")
    assert main(["kept"]) == 0
    assert NAME in capsys.readouterr().out


def test_a_piece_is_exported_with_its_samples(kept):
    kept("export", "2026", "--out", "x.wav")
    assert np.array_equal(samples_of("x.wav") * 32767, PCM)
    kept("export", "2026", "--out", "x.flac")
    pcm, rate = soundfile.read("x.flac", dtype="int16")
    assert rate == RATE and np.array_equal(pcm, PCM)


def test_a_piece_is_played(kept):
    assert kept("play", "2026", "--speaker", "silent") == ""


@pytest.mark.parametrize("content", [b"", b"RIFF", wav_header(RATE, 0)[:30], b"\0" * 100])
def test_a_damaged_piece_is_refused_and_can_be_removed(kept, content):
    Path("kept", NAME, "sound.wav").write_bytes(content)
    assert "expected a WAV file" in kept("export", "2026", "--out", "x.wav", status=57)
    assert not Path("x.wav").exists()
    assert kept("remove", "2026") == f"removed: {NAME}\n"


def test_a_stereo_file_is_no_piece(kept):
    with wave.open(f"kept/{NAME}/sound.wav", "wb") as wav:
        wav.setparams((2, 2, RATE, 0, "NONE", ""))
        wav.writeframes(b"\0" * 400)
    assert "expected mono" in kept("export", "2026", "--out", "x.wav", status=57)


@pytest.mark.parametrize("suffix", ["flac", "ogg", "MP3"])
def test_a_state_is_rendered_in_the_format_of_its_name(run, suffix):
    run("render", "--bits", "101", "--seconds", 1.5, "--out", "plain.wav")
    run("render", "--bits", "101", "--seconds", 1.5, "--out", f"x.{suffix}")
    samples, rate = soundfile.read(f"x.{suffix}")
    assert rate == RATE
    assert len(samples) == pytest.approx(1.5 * RATE, abs=RATE / 5)
    assert samples.std() == pytest.approx(samples_of("plain.wav").std(), rel=0.1)


def test_without_soundfile_a_line_says_what_to_install(run, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "soundfile", None)
    run("render", "--bits", "101", "--out", "x.wav")
    assert main(["render", "--bits", "10101010", "--out", "x.flac"]) == 24
    assert "pip install soundfile" in capsys.readouterr().err


def test_an_encoded_file_is_whole_or_absent():
    with pytest.raises(RuntimeError), EncodedFile(Path("x.flac"), RATE) as file:
        file.write(np.zeros(100, np.float32))
        raise RuntimeError
    assert list(Path().iterdir()) == []


def test_a_pipe_or_a_device_takes_no_encoded_file():
    Path("x.flac").symlink_to("/dev/null")
    with pytest.raises(OutputError, match="expected a file"):
        EncodedFile(Path("x.flac"), RATE)


@pytest.mark.parametrize(
    "options",
    [
        ["--performance", "x", "--bits", "101"],
        ["--performance", "x", "--seed", "1"],
        ["--bits", "101", "--from", "1"],
        ["--bits", "101", "--without", "1"],
        ["--bits", "101", "--model", "a", "--model", "b"],
        [],
    ],
)
def test_options_that_do_not_go_together_are_refused(options):
    assert main(["render", *options, "--out", "x.wav"]) == 2
