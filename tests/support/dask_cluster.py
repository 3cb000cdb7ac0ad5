"""A Dask scheduler and workers in processes of their own, on loopback."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
MODULES = {"scheduler": "distributed.cli.dask_scheduler", "worker": "distributed.cli.dask_worker"}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def certificates(folder):
    """Make a folder for --scheduler-tls: one certificate, which is its own authority."""
    folder.mkdir()
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=switchboard"
    files = ["-keyout", folder / "key.pem", "-out", folder / "cert.pem"]
    subprocess.run([*command.split(), *files], check=True, capture_output=True)
    (folder / "ca.pem").write_bytes((folder / "cert.pem").read_bytes())
    return folder


class DaskCluster:
    """Processes that are started and killed one by one; all of them at the end."""

    def __init__(self, folder, tls=None):
        self.folder, self.tls = folder, tls
        self.port = free_port()
        self.address = f"{'tls' if tls else 'tcp'}://127.0.0.1:{self.port}"
        self.processes = {}
        self.log = folder / "dask.log"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for name in list(self.processes):
            self.kill(name)

    def start_scheduler(self):
        self._start("scheduler", "scheduler", "--host", "127.0.0.1", "--port", str(self.port))
        wait_until(self._answers, limit_seconds=300.0)

    def start_worker(self, name):
        local = self.folder / f"local-{name}"
        self._start(
            name, "worker", self.address, "--nthreads", "1", "--local-directory", str(local)
        )

    def _start(self, name, kind, *arguments):
        options = [*arguments, "--no-dashboard"]
        if self.tls:
            options += ["--tls-ca-file", str(self.tls / "ca.pem")]
            options += ["--tls-cert", str(self.tls / "cert.pem")]
            options += ["--tls-key", str(self.tls / "key.pem")]
        with self.log.open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", MODULES[kind], *options],
                cwd=ROOT,
                stdout=log,
                stderr=log,
                # A job that ends its worker is tried once more, not three times.
                env={**os.environ, "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1"},
                start_new_session=True,
            )

    def _answers(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def kill(self, name):
        """Kill a scheduler, or a worker with its nanny, as a power cut would."""
        process = self.processes.pop(name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def run_job(job):
    """Fail in the way that the job names."""
    if job == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    if job == "raises":
        raise ValueError("of the job itself")
    return job.upper()
