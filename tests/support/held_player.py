"""`switchboard play --store` in a process of its own, held in the middle of the music by a test."""

import json
import os
import subprocess
import sys
import threading
import wave
from queue import Queue

import numpy as np

from tests.support.forked_processes import run_switchboard
from tests.support.stepped_player import RATE

PATIENCE_SECONDS = 60.0
READY = "takes over at the next bar"


class Player:
    """`switchboard play --store`, recording as far as it is allowed."""

    def __init__(self, store, script, folder, seconds, options=()):
        (folder / "flips.txt").write_text(script)
        self.recording = folder / "heard.wav"
        arguments = ["play", "--store", store, "--switches", "script:flips.txt", "--json"]
        arguments += ["--speaker", f"wav:{self.recording}", "--seconds", seconds, *options]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.stepped_player", *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        )
        self.messages = []
        self._lines = {}
        self._readers = []
        for stream in (self._process.stdout, self._process.stderr):
            self._lines[stream] = Queue()
            reader = threading.Thread(target=self._read, args=(stream,))
            reader.start()
            self._readers.append(reader)
        self._wait_until_held()

    def record_until(self, seconds):
        """Let it record up to `seconds`, and wait until it has."""
        self._process.stdin.write(f"{seconds}\n")
        self._process.stdin.flush()
        self._wait_until_held()

    def wait_for(self, words):
        """Wait until standard error has a line with `words`."""
        while words not in self._next(self._process.stderr):
            pass

    def finish(self):
        """Let it play to its end; the report, and what was recorded."""
        self._process.stdin.close()
        line = self._next(self._process.stdout)
        assert self._process.wait(PATIENCE_SECONDS) == 0, self.messages
        with wave.open(str(self.recording)) as recording:
            assert recording.getframerate() == RATE
            pcm = recording.readframes(recording.getnframes())
        return json.loads(line), np.frombuffer(pcm, "<i2").astype(np.float32) / 32767

    def close(self):
        self._process.kill()
        for reader in self._readers:
            reader.join()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            stream.close()

    def _wait_until_held(self):
        assert self._next(self._process.stdout) == "held\n", self.messages

    def _next(self, stream):
        line = self._lines[stream].get(timeout=PATIENCE_SECONDS)
        assert line, f"the player has ended: {self.messages}"
        return line

    def _read(self, stream):
        for line in stream:
            self.messages.append(line)
            self._lines[stream].put(line)
        self._lines[stream].put("")


def activate(store, model):
    run_switchboard("models", "activate", model, "--store", store)
