"""Jobs on a Dask cluster: any worker, or the scheduler, may die meanwhile.

Results come back to this process, which alone writes the corpus, so a worker needs no access to it.
It needs the files that jobs read, under the same paths.
"""

from __future__ import annotations

import hashlib
import logging
import os
import pickle
import platform
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from threading import Lock, Timer
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from device.errors import SwitchboardError
from training.corpus.parallel import Job, Result

if TYPE_CHECKING:
    from distributed import Client, Future, Security

PATIENCE_SECONDS = 600.0
"""How long a scheduler that answered before may be away."""
_CONNECT_SECONDS = 10.0
_LOOK_SECONDS = 5.0  # between looks at whether there are workers
_JOBS_PER_THREAD = 3  # of which one runs, so that none waits for this process
_DECISIVE = ("lofi-switchboard", "numpy", "scipy", "librosa", "numba", "soundfile", "soxr")
"""Packages whose versions may decide samples."""
_TLS_FILES = ("ca.pem", "cert.pem", "key.pem")
_ONE_AT_A_TIME = Lock()  # of jobs in a worker: they are made for a process of their own


class ClusterError(SwitchboardError, RuntimeError):
    """A Dask scheduler that does not answer, or workers that cannot do the work."""

    exit_code = 71


class _Away(Exception):
    """The scheduler was lost, and with it what it knew of the jobs."""


@dataclass(frozen=True)
class Cluster:
    """The workers of a Dask scheduler.

    Attributes
    ----------
    address
        Such as ``tcp://10.0.0.1:8786``; ``tls://`` with `tls`.
    tls
        Folder with ``ca.pem``, ``cert.pem`` and ``key.pem``: who may take part.
    tell
        Called with a line about what is waited for.
    """

    address: str
    tls: Path | None = None
    tell: Callable[[str], None] = lambda _line: None

    def __post_init__(self) -> None:
        parts = urlsplit(self.address)
        expected = "tcp" if self.tls is None else "tls"
        if parts.scheme not in ("tcp", "tls") or not parts.hostname or not _port(self.address):
            raise ClusterError(
                f"found scheduler {self.address!r}, expected tcp://HOST:PORT, or tls://HOST:PORT"
            )
        if parts.scheme != expected:
            raise ClusterError(
                f"found scheduler {self.address!r} with{'out' if self.tls is None else ''} a "
                f"folder of certificates, expected {expected}://: give both or neither"
            )
        for path in (self.tls / name for name in _TLS_FILES) if self.tls else ():
            if not path.is_file():
                raise ClusterError(f"{path} is missing, expected {', '.join(_TLS_FILES)} there")

    @property
    def is_open(self) -> bool:
        """Whether others may take part: no certificates, and not on this machine alone."""
        host = urlsplit(self.address).hostname
        return self.tls is None and host not in ("localhost", "127.0.0.1", "::1")

    def run(
        self,
        function: Callable[[Job], Result],
        jobs: Sequence[Job],
        *,
        lost: Callable[[Job, str], Result],
        seconds: Callable[[Job], float | None] = lambda _job: None,
        reads: Callable[[Job], Path | None] = lambda _job: None,
    ) -> Iterator[Result]:
        """Yield the results of all jobs as they come; see `training.corpus.parallel.Workers`.

        A job whose worker dies is given to another, until some have died of it.

        Raises
        ------
        ClusterError
            If the scheduler does not answer, or a worker cannot do the work.
        """
        logging.getLogger("distributed").setLevel(logging.CRITICAL)
        tasks = {
            number: pickle.dumps((function, job, seconds(job), _file(reads(job)), fingerprint()))
            for number, job in enumerate(jobs)
        }
        patience = 0.0
        while tasks:
            with self._connected(patience) as client:
                patience = PATIENCE_SECONDS
                try:
                    for number, result in self._results(client, tasks):
                        del tasks[number]
                        yield (
                            lost(jobs[number], result)
                            if isinstance(result, str)
                            else (pickle.loads(result))
                        )
                except _Away:
                    self.tell(f"the scheduler at {self.address} was lost; waiting for it")

    @contextmanager
    def _connected(self, patience: float) -> Iterator[Client]:
        from distributed import Client

        deadline = time.monotonic() + patience
        while True:
            try:
                client = Client(
                    self.address,
                    security=self._security(),
                    timeout=_CONNECT_SECONDS,
                )
                break
            except (OSError, ValueError) as error:
                if time.monotonic() >= deadline:
                    raise ClusterError(
                        f"the scheduler at {self.address} does not answer ({error}), expected a "
                        "`dask scheduler` there: start it and run the command again, it goes on "
                        "where it was"
                    ) from error
                time.sleep(1.0)
        try:
            yield client
        finally:
            client.close(timeout=2)

    def _security(self) -> Security | None:
        from distributed import Security

        if self.tls is None:
            return None
        authority, certificate, key = (str(self.tls / name) for name in _TLS_FILES)
        return Security(
            require_encryption=True,
            tls_ca_file=authority,
            tls_client_cert=certificate,
            tls_client_key=key,
        )

    def _results(
        self, client: Client, tasks: Mapping[int, bytes]
    ) -> Iterator[tuple[int, bytes | str]]:
        """Yield results, pickled, or how workers ended, by the numbers of their jobs."""
        suspects: list[int] = []
        for number, result in self._some_results(client, tasks, sorted(tasks)):
            if isinstance(result, str):
                suspects.append(number)
            else:
                yield number, result
        for number in suspects:
            # Alone: what else a worker had at hand is not to blame for its end.
            yield from self._some_results(client, tasks, [number])

    def _some_results(
        self, client: Client, tasks: Mapping[int, bytes], numbers: Sequence[int]
    ) -> Iterator[tuple[int, bytes | str]]:
        """Give out only some jobs at a time: the results that wait for this process are few."""
        running: dict[Any, int] = {}
        waiting = list(reversed(numbers))
        while waiting or running:
            n_wanted = max(_JOBS_PER_THREAD * sum(_threads(client)), 1)
            while waiting and len(running) < n_wanted:
                number = waiting.pop()
                running[client.submit(_compute, tasks[number], pure=False)] = number
            for future in self._finished(client, list(running)):
                yield running.pop(future), _result(future)
                future.release()

    def _finished(self, client: Client, futures: Sequence[Future]) -> list[Future]:
        """Wait for some to finish, as long as it takes; say if there are no workers."""
        from distributed import wait

        told = False
        while True:
            try:
                return list(wait(futures, _LOOK_SECONDS, return_when="FIRST_COMPLETED").done)
            except TimeoutError:
                if not _threads(client) and not told:
                    told = True
                    self.tell(f"no workers yet: start some with `dask worker {self.address}`")
            except CancelledError as error:
                raise _Away from error


def _port(address: str) -> int | None:
    try:
        return urlsplit(address).port
    except ValueError:
        return None


def _threads(client: Client) -> list[int]:
    """Return the number of threads of every worker."""
    try:
        return list(client.nthreads().values())
    except (OSError, CancelledError, RuntimeError, ValueError, TimeoutError) as error:
        raise _Away from error


def _result(future: Future) -> bytes | str:
    from distributed import KilledWorker

    try:
        result: bytes = future.result()
    except KilledWorker as error:
        return f"died, the last of {error.allowed_failures + 1} that tried it"
    except CancelledError as error:
        raise _Away from error
    return result


# -- in a worker ----------------------------------------------------------------------------


def _compute(task: bytes) -> bytes:
    """Run a job in a worker, if it would give here what it gives there."""
    function, job, seconds, file, expected = pickle.loads(task)
    _check_same(expected)
    if file is not None and _file(file[0]) != file:
        raise ClusterError(
            f"worker {socket.gethostname()} does not see {file[0]} with {file[1]} bytes: mount the "
            "same folder there, under the same path"
        )
    with _ONE_AT_A_TIME, _limited(seconds):
        return pickle.dumps(function(job))


def _file(path: Path | None) -> tuple[Path, int] | None:
    """Return a file and its size in bytes; -1: it cannot be found."""
    if path is None:
        return None
    try:
        return path, path.stat().st_size
    except OSError:
        return path, -1


@contextmanager
def _limited(seconds: float | None) -> Iterator[None]:
    """End the worker if a job takes longer; its nanny starts another."""
    timer = None if seconds is None else Timer(seconds, os._exit, (1,))
    if timer is not None:
        timer.daemon = True
        timer.start()
    try:
        yield
    finally:
        if timer is not None:
            timer.cancel()


@cache
def fingerprint() -> dict[str, str]:
    """Return what decides the samples of a job besides the job: versions, and the code itself."""
    found = {"Python": platform.python_version(), "processor": platform.machine()}
    for name in _DECISIVE:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "none"
    code = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        code.update(path.read_bytes())
    return {**found, "training/corpus": code.hexdigest()[:12]}


def _check_same(expected: Mapping[str, str]) -> None:
    found = fingerprint()
    for name, here in found.items():
        if here != expected.get(name):
            raise ClusterError(
                f"worker {socket.gethostname()} has {name} {here}, expected "
                f"{expected.get(name)}: install the same there, so that every worker makes the "
                "same samples"
            )
