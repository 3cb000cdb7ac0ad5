"""`switchboard play` with a control socket, and `switchboard panel` beside it."""

import http.client
import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

from tests.support.waiting import wait_until

SWITCHBOARD = str(Path(sys.executable).with_name("switchboard"))
SCENE = "verse=9AC7-A1V5-1HS0-0N"


def _ended(process):
    process.send_signal(signal.SIGTERM)
    try:
        return process.wait(30)
    finally:
        process.kill()


class Player:
    """An instrument in real time, with the keys as switches, recording to a WAV file."""

    def __init__(self, folder, *options):
        self.folder = folder
        self.control, self.status_file = folder / "control.sock", folder / "status.json"
        self.wav = folder / "out.wav"
        self.keys, terminal = pty.openpty()
        command = [SWITCHBOARD, "play", "--switches", "keyboard", "--speaker", f"wav:{self.wav}"]
        files = ["--control", self.control, "--status", self.status_file]
        files += ["--keep-folder", folder / "kept"]
        # What it draws is not read, and must not wait for that.
        with (folder / "play.log").open("w") as log:
            self.process = subprocess.Popen(
                [*command, *map(str, files), "--scenes", SCENE, *options],
                stdin=terminal, stdout=log, stderr=log, cwd=folder,
            )  # fmt: skip
        os.close(terminal)
        wait_until(self.status)

    def status(self):
        try:
            return json.loads(self.status_file.read_text())
        except OSError:
            assert self.process.poll() is None, (self.folder / "play.log").read_text()
            return {}

    def end(self):
        """Ask for the end, as the key q does."""
        os.write(self.keys, b"q")
        assert self.process.wait(60) == 0

    def close(self):
        if self.process.poll() is None:
            _ended(self.process)
        os.close(self.keys)


class Panel:
    """The panel's process, listening on loopback at a port of its own."""

    def __init__(self, folder, *options):
        command = [SWITCHBOARD, "panel", "--control", str(folder / "control.sock")]
        token_file = folder / "token"
        self.process = subprocess.Popen(
            [*command, "--listen", "127.0.0.1", "--port", "0", "--token-file", str(token_file),
             *options],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
        self.printed = ""
        while "whoever has the link" not in self.printed:
            line = self.process.stdout.readline()
            assert line, self.printed
            self.printed += line
        self.port = int(re.search(r"^http://127.0.0.1:(\d+)/#", self.printed, re.M)[1])
        self.token = token_file.read_text().strip()
        self.address = f"http://127.0.0.1:{self.port}"

    def request(self, path, *, method="GET", body=None, token=None, **headers):
        """Status, headers and content of one request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        fields = {"Authorization": f"Bearer {self.token if token is None else token}"}
        fields |= {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method, path, body, fields)
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def command(self, **command):
        """Send one; its status."""
        body = json.dumps(command)
        return self.request(
            "/api/command", method="POST", body=body, Content_Type="application/json"
        )[0]

    def connect(self):
        """A bare connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def resident_mb(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024

    def close(self):
        if self.process.poll() is None:
            _ended(self.process)
            # Whatever was sent to it, it has nothing to say.
            self.printed += self.process.stdout.read()
        self.process.stdout.close()
