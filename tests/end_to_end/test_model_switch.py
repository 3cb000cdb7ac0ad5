"""Take-overs through the command line, at the defaults: `play --store` and `models activate`."""

import json
import os
import pty
import subprocess
import sys
import time
from contextlib import suppress
from itertools import cycle, islice

import numpy as np
import pytest
from click.testing import CliRunner

from device.commands.models import models
from tests.support import faulty_models as unruly
from tests.support import tiny_model as tiny
from tests.support.recording import read_wav

SWITCHBOARD = [sys.executable, "-c", "import sys; from device.cli import main; sys.exit(main())"]
PATIENCE_SECONDS = 60.0
N_TAKE_OVERS = 40
# Bars of 1 s, so that forty of them do not take long.
FAST = ("--tempo", "240")
SILENT_MS = 30


def command(*arguments):
    """Run `switchboard models` in this process: a process of its own takes longer than a bar."""
    result = CliRunner().invoke(models, list(map(str, arguments)), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


class Playing:
    """`switchboard play --store` at a terminal, recording in real time, tape and all."""

    def __init__(self, folder, store, *more):
        self.recording, self._status = folder / "heard.wav", folder / "status.json"
        self._terminal, slave = pty.openpty()
        arguments = ["--store", store, "--speaker", f"wav:{self.recording}", "--json"]
        arguments += ["--switches", "keyboard", "--status", self._status, *more]
        self.process = subprocess.Popen(
            [*SWITCHBOARD, "play", *map(str, arguments)],
            stdin=slave,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder,
            start_new_session=True,
            env={**os.environ, "TERM": "dumb"},
        )
        os.close(slave)

    def status(self):
        with suppress(OSError, ValueError):
            return json.loads(self._status.read_text())
        return {}

    def until(self, condition):
        give_up = time.monotonic() + PATIENCE_SECONDS
        while not condition(self.status()):
            assert self.process.poll() is None, self.process.stderr.read().decode()
            assert time.monotonic() < give_up, self.status()
            time.sleep(0.02)

    def plays(self, digest):
        self.until(lambda status: status.get("model", {}).get("digest") == digest)

    def press(self, keys):
        os.write(self._terminal, keys.encode())

    def finish(self):
        self.press("q")
        out, err = self.process.communicate(timeout=PATIENCE_SECONDS)
        assert self.process.returncode == 0, err
        return json.loads(out), read_wav(self.recording)

    def close(self):
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdout, self.process.stderr):
            pipe.close()
        os.close(self._terminal)


@pytest.fixture
def play(tmp_path):
    playing = []

    def play(*more):
        playing.append(Playing(tmp_path, tmp_path / "models", *more))
        return playing[-1]

    yield play
    for one in playing:
        one.close()


def listed(store):
    return {row["digest"]: row for row in json.loads(command("list", "--store", store, "--json"))}


def active(store):
    return next(digest for digest, row in listed(store).items() if row["is_active"])


def longest_gap_ms(recording):
    """The longest time with nothing louder than several times the hiss of the default tape."""
    loud = np.flatnonzero(np.abs(recording.inner()) > 5e-3)
    return 1e3 * np.diff(loud).max() / recording.rate


def test_forty_take_overs_in_a_row_and_the_music_goes_on(play, tmp_path):
    store = tmp_path / "models"
    digests = []
    for name, sizes in (("one", {}), ("two", {"beats_per_loop": 8}), ("three", {"n_fft": 512})):
        file = tiny.build(tmp_path / f"{name}.onnx", **sizes)
        command("activate", file, "--store", store)
        digests.append(active(store))
    playing = play(*FAST)
    playing.plays(digests[-1])
    for digest in islice(cycle(digests), N_TAKE_OVERS):
        command("activate", digest, "--store", store)
        playing.plays(digest)
    report, recording = playing.finish()
    assert report["seconds"] == pytest.approx(len(recording.samples) / recording.rate, abs=0.1)
    assert longest_gap_ms(recording) < SILENT_MS


def test_a_model_with_a_nan_in_one_state_is_sent_back_and_the_music_goes_on(play, tmp_path):
    store = tmp_path / "models"
    command("activate", tiny.build(tmp_path / "good.onnx", n_switches=8), "--store", store)
    good = active(store)
    playing = play(*FAST)
    playing.plays(good)
    command("activate", unruly.nan_in_one_state(tmp_path / "bad.onnx"), "--store", store)
    bad = active(store)
    assert bad != good
    playing.plays(bad)
    playing.press("".join(str(1 + i) for i, bit in enumerate(unruly.UNRULY) if bit))
    playing.plays(good)
    assert active(store) == good
    time.sleep(1.0)  # of music, after the return
    _, recording = playing.finish()
    assert longest_gap_ms(recording) < SILENT_MS
    assert "not finite" in listed(store)[bad]["refused"]
