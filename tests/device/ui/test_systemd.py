"""The notifications of the instrument to its service manager."""

import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from device.ui.systemd import Heartbeat, SystemdNotifier, status_line
from tests.support import tiny_model as tiny
from tests.support.instrument_state import snapshot

STATE = snapshot(n_underruns=2, n_late=1)


class FakeSystemd:
    """The socket of a service manager."""

    def __init__(self, path):
        self.path = str(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.path)

    def messages(self):
        """Everything received so far, a list of lines per message."""
        messages = []
        self._socket.setblocking(False)
        while True:
            try:
                messages.append(self._socket.recv(4096).decode().splitlines())
            except BlockingIOError:
                return messages

    def close(self):
        self._socket.close()


@pytest.fixture
def systemd(tmp_path):
    fake = FakeSystemd(tmp_path / "notify")
    yield fake
    fake.close()


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def test_the_first_block_sends_ready_and_the_watchdog_is_notified_once_a_second(systemd):
    clock = Clock()
    with SystemdNotifier(systemd.path) as manager:
        heartbeat = Heartbeat(manager, lambda state: f"bar {state.bar}", clock=clock)
        for bar in range(25):
            heartbeat(replace(STATE, bar=bar))
            clock.now += 0.125
    assert systemd.messages() == [
        ["READY=1", "WATCHDOG=1", "STATUS=bar 0"],
        ["WATCHDOG=1", "STATUS=bar 8"],
        ["WATCHDOG=1", "STATUS=bar 16"],
        ["WATCHDOG=1", "STATUS=bar 24"],
    ]


def test_without_a_manager_nothing_is_sent():
    with SystemdNotifier.of({}) as manager:
        assert not manager.is_there
        Heartbeat(manager, lambda _: "alone")(STATE)
        manager.notify("READY=1")


def test_a_manager_that_does_not_listen_does_not_stop_the_music(systemd):
    manager = SystemdNotifier.of({"NOTIFY_SOCKET": systemd.path})
    for _ in range(2000):  # more than its queue holds
        manager.notify("WATCHDOG=1")
    systemd.close()
    Path(systemd.path).unlink()
    manager.notify("WATCHDOG=1")
    manager.close()
    manager.close()
    manager.notify("WATCHDOG=1")


def test_an_abstract_address_is_accepted():
    name = f"switchboard-test-{os.getpid()}"
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end,
        SystemdNotifier(f"@{name}") as manager,
    ):
        end.bind(f"\0{name}")
        manager.notify("READY=1")
        assert end.recv(100) == b"READY=1"


def test_the_status_line_has_title_speaker_and_counters():
    class Speaker:
        name, is_there = "Headphones", True

    speaker = Speaker()
    assert status_line(STATE, speaker) == (
        "playing 'Rain' on Headphones; switches 10; 2 underruns, 1 late blocks"
    )
    speaker.is_there = False
    assert "unheard, waiting for Headphones" in status_line(STATE, speaker)


def test_a_service_notifies_when_it_plays_and_when_it_stops(systemd, tmp_path):
    tiny.build(tmp_path / "tiny.onnx")
    done = subprocess.run(
        [
            *(sys.executable, "-c", "import sys; from device.cli import main; sys.exit(main())"),
            *("play", "--service", "--model", "tiny.onnx"),
            *("--switches", "demo", "--speaker", "silent", "--seconds", "1.5"),
        ],
        env={**os.environ, "NOTIFY_SOCKET": systemd.path},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    messages = systemd.messages()
    assert messages[0][0] == "READY=1"
    assert sum("WATCHDOG=1" in lines for lines in messages) >= 2
    assert messages[-1] == ["STOPPING=1"]
