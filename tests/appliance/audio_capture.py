"""A simulated sound card: a private PulseAudio whose only sink is recorded while it plays."""

import os
import signal
import subprocess
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from device.closeable import Closeable
from tests.appliance.shell import PREFERRED, running, wait_until

SAMPLE_RATE = 44_100
SINK = "appliance"
# The null sink's zeros are below, the quietest music is far above.
AUDIBLE = 1e-4
KEPT_SECONDS = 120
CHUNK_SAMPLES = SAMPLE_RATE // 50


class AudioCapture(Closeable):
    """Records what is played on the sink.

    Parameters
    ----------
    folder : Path
        Where the daemon's socket is made, as ``pulse.sock``; every account may connect.
    """

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "pulse.sock"
        self._lock = threading.Lock()
        self._chunks: list[tuple[float, NDArray[np.float32]]] = []
        home = {**os.environ, "HOME": str(folder), "XDG_RUNTIME_DIR": str(folder)}
        with ExitStack() as stack:
            self._server = stack.enter_context(
                running(*_daemon(self.socket), log=folder / "pulseaudio.log", env=home)
            )
            wait_until(self.socket.exists, "PulseAudio's socket", timeout_seconds=20)
            self.socket.chmod(0o777)
            recorder = stack.enter_context(
                running(
                    *_recorder(self.socket),
                    log=folder / "parec.log",
                    env=home,
                    stdout=subprocess.PIPE,
                )
            )
            self._thread = threading.Thread(target=self._listen, args=(recorder,))
            self._thread.start()
            self._stack = stack.pop_all()

    def chunks(self) -> list[tuple[float, NDArray[np.float32]]]:
        """The moments at which samples arrived, and those samples."""
        with self._lock:
            return list(self._chunks)

    def since(self, moment: float) -> NDArray[np.float32]:
        """What was recorded since a moment of `time.monotonic`, mono."""
        with self._lock:
            chunks = [samples for when, samples in self._chunks if when >= moment]
        return np.concatenate([np.zeros(0, np.float32), *chunks])

    def listen(self, seconds: float) -> NDArray[np.float32]:
        """Record from now on."""
        begin = time.monotonic()
        n_samples = int(seconds * SAMPLE_RATE)
        wait_until(
            lambda: len(self.since(begin)) >= n_samples,
            "the sink's own time",
            timeout_seconds=seconds + 20,
            every_seconds=0.2,
        )
        return self.since(begin)[:n_samples]

    def sounding(self, *, after: float, timeout_seconds: float) -> float:
        """Wait for a sound later than a moment; return when it was recorded."""
        return wait_until(lambda: self._first(after), "a sound", timeout_seconds=timeout_seconds)

    def stall(self) -> None:
        """Let the sound card hang: writes to it block."""
        self._server.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let the card play again."""
        self._server.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """End recorder and daemon; may be called again."""
        self._stack.close()
        self._thread.join(5)

    def _first(self, after: float) -> float | None:
        with self._lock:
            chunks = [chunk for chunk in self._chunks if chunk[0] >= after]
        return next((when for when, samples in chunks if np.abs(samples).max() > AUDIBLE), None)

    def _listen(self, recorder: "subprocess.Popen[bytes]") -> None:
        assert recorder.stdout is not None
        with recorder.stdout as stream:
            while data := stream.read(2 * CHUNK_SAMPLES):
                samples = np.frombuffer(data, np.int16).astype(np.float32) / 32768
                now = time.monotonic()
                with self._lock:
                    self._chunks.append((now, samples))
                    while self._chunks[0][0] < now - KEPT_SECONDS:
                        del self._chunks[0]


def _daemon(socket: Path) -> list[str]:
    return [
        *PREFERRED,
        "pulseaudio",
        "-n",
        "--daemonize=no",
        "--exit-idle-time=-1",
        "--use-pid-file=no",
        "--log-level=error",
        "--high-priority=no",
        "--realtime=no",
        f"--load=module-native-protocol-unix auth-anonymous=1 socket={socket}",
        f"--load=module-null-sink sink_name={SINK} rate={SAMPLE_RATE} channels=2 format=s16le",
    ]


def _recorder(socket: Path) -> list[str]:
    return [
        *PREFERRED,
        "parec",
        f"--server=unix:{socket}",
        f"--device={SINK}.monitor",
        f"--rate={SAMPLE_RATE}",
        "--format=s16le",
        "--channels=1",
        "--latency-msec=20",
        "--raw",
    ]
