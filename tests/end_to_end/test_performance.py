"""A performance is logged, rendered again and kept, by the command line at its defaults."""

import os
import pty
import random
import select
import signal
import subprocess
import sys
import threading
import time
import wave
from contextlib import suppress

import pytest

from device.cli import main
from device.files import sha256_of
from device.playback.recording.replay import read_log
from tests.support import tiny_model as tiny
from tests.support.held_player import READY, Player, activate
from tests.support.waiting import wait_until

# Bars of one second.
SIZES = {"n_fft": 1024, "hop_length": 256, "n_switches": 8, "metadata": {"tempo_bpm": "240.0"}}
SCRIPT = "0 00000000\n0.7 11000000\n2.31 11100000\n4.6 00100000\n6.05 11100001\n7.85 11000001"
SHAPES = [{}, {"beats_per_loop": 8}, {"sample_rate": 16000}]
N_KILLS = 20


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("XDG_DATA_HOME", "STATE_DIRECTORY"):
        monkeypatch.setenv(name, str(tmp_path / name))


def switchboard(*arguments, status=0):
    assert main(list(map(str, arguments))) == status


def pcm(path):
    with wave.open(str(path)) as wav:
        return wav.getframerate(), wav.readframes(wav.getnframes())


# In a journey the second half is in another key. Both have a break at 7.75 s.
@pytest.mark.parametrize("options", [[], ["--journey"]])
def test_an_evening_with_takeovers_is_rendered_again_bit_for_bit(tmp_path, capsys, options):
    store, models = tmp_path / "models", []
    for number, shape in enumerate(SHAPES):
        models.append(tiny.build(tmp_path / f"{number}.onnx", **{**SIZES, **shape}))
    for model in reversed(models):
        activate(store, model)
    options = [*options, "--performance", "evening.jsonl"]
    player = Player(store, SCRIPT, tmp_path, 9.0, options)
    try:
        for bar, model in enumerate([1, 2, 0, 2, 1]):
            player.record_until(bar + 0.5)
            activate(store, models[model])
            player.wait_for(READY)
        player.finish()
    finally:
        player.close()
    takeovers = [e for e in read_log(tmp_path / "evening.jsonl").events if e.event == "takeover"]
    assert len(takeovers) == 5
    again = ["render", "--performance", "evening.jsonl", "--store", store]
    switchboard(*again, "--out", "again.wav")
    heard = (tmp_path / "heard.wav").read_bytes()
    assert (tmp_path / "again.wav").read_bytes() == heard
    rate, samples = pcm("heard.wav")
    switchboard(*again, "--from", 2.5, "--seconds", 3, "--out", "part.wav")
    assert pcm("part.wav") == (rate, samples[5 * rate : 11 * rate])
    switchboard(*again, "--without", 3, "--out", "without.wav")
    assert pcm("without.wav")[1] != samples
    # Without the store, from files; and with too few of them.
    files = [f"--model={model}" for model in models]
    plain = ["render", "--performance", "evening.jsonl", "--out", "again.wav"]
    switchboard(*plain, *files)
    assert (tmp_path / "again.wav").read_bytes() == heard
    capsys.readouterr()
    switchboard(*plain, *files[:2], status=56)
    error = capsys.readouterr().err
    assert sha256_of(models[2]) in error and "'Tiny test model'" in error and "--model" in error


class TerminalPlayer:
    """`switchboard play` with the keyboard of a pseudo-terminal."""

    def __init__(self, *options):
        self.keys, fd = pty.openpty()
        self.process = subprocess.Popen(
            [
                sys.executable, "-c", "import sys; from device.cli import main; sys.exit(main())",
                "play", *map(str, options),
            ],
            stdin=fd, stdout=fd, stderr=fd, start_new_session=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        )  # fmt: skip
        os.close(fd)
        self.output = b""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def type(self, keys):
        os.write(self.keys, keys)

    def wait_for(self, words):
        wait_until(lambda: words in self.output)

    def end(self, number=None):
        if number is not None:
            self.process.send_signal(number)
        status = self.process.wait(60)
        self._reader.join()
        os.close(self.keys)
        return status

    def _read(self):
        with suppress(OSError):  # what a terminal gives when its other side has gone
            while self.process.poll() is None or select.select([self.keys], [], [], 0)[0]:
                if select.select([self.keys], [], [], 0.1)[0]:
                    self.output += os.read(self.keys, 4096)


def flips_of(folder):
    """Bits of all flips that are in the newest log of a device."""
    newest = max(folder.glob("*.jsonl"), default=None)
    if newest is None or newest.stat().st_size == 0:
        return []
    return [event.bits for event in read_log(newest).events if event.event == "flip"]


def test_a_device_logs_by_itself_and_a_key_keeps_what_was_heard(tmp_path, capsys):
    state = tmp_path / "STATE_DIRECTORY"
    state.mkdir()
    player = TerminalPlayer("--speaker", "wav:heard.wav")
    player.wait_for(b"random")
    player.type(b"1")
    wait_until(lambda: len(flips_of(state / "performances")) == 2)
    player.type(b"3k")
    wait_until(lambda: list((state / "kept").glob("2*")))
    player.type(b"q")
    assert player.end() == 0
    (log,) = (state / "performances").iterdir()
    switchboard("render", "--performance", log, "--out", "again.wav")
    assert (tmp_path / "again.wav").read_bytes() == (tmp_path / "heard.wav").read_bytes()
    (piece,) = (state / "kept").glob("2*")
    switchboard("render", "--performance", piece / "performance.jsonl", "--out", "kept.wav")
    assert (tmp_path / "kept.wav").read_bytes() == (piece / "sound.wav").read_bytes()
    assert pcm("heard.wav")[1].startswith(pcm(piece / "sound.wav")[1])
    capsys.readouterr()
    switchboard("kept")
    listed = capsys.readouterr().out
    assert piece.name in listed and "Band Two" in listed
    switchboard("kept", "export", piece.name, "--out", "export.wav")
    assert (tmp_path / "export.wav").read_bytes() == (piece / "sound.wav").read_bytes()
    switchboard("kept", "remove", "2")
    assert not piece.exists()
    switchboard("kept", "remove", "2", status=57)


def play_until_killed(model, logs, number, seconds):
    """Flip, keep, flip, and be killed; the flips that were on the disk before."""
    player = TerminalPlayer("--model", model, "--speaker", "silent")
    player.wait_for(b"random")
    player.type(b"1")
    wait_until(lambda: len(list(logs.glob("*"))) == number + 1 and len(flips_of(logs)) > 1)
    on_disk = flips_of(logs)
    player.type(b"2k3")
    time.sleep(seconds)
    assert player.end(signal.SIGKILL) == -signal.SIGKILL
    return on_disk


def test_twenty_kills_while_it_logs_and_keeps_lose_no_older_event_and_leave_nothing_half(tmp_path):
    state = tmp_path / "STATE_DIRECTORY"
    state.mkdir()
    logs, rng = state / "performances", random.Random(0)
    model = tiny.build(tmp_path / "tiny.onnx", n_switches=8)
    for number in range(N_KILLS):
        on_disk = play_until_killed(model, logs, number, rng.uniform(0, 0.15))
        assert flips_of(logs)[: len(on_disk)] == on_disk == ["11110000", "01110000"]
        for piece in (state / "kept").glob("2*"):
            assert {path.name for path in piece.iterdir()} == {
                "sound.wav", "performance.jsonl", "model.json", "about.json",
            }  # fmt: skip
            n_bytes = len(pcm(piece / "sound.wav")[1])
            assert (piece / "sound.wav").stat().st_size == 44 + n_bytes
            first, end = read_log(piece / "performance.jsonl").header.stretch
            assert n_bytes == 2 * (end - first)
