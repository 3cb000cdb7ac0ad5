"""Jobs on worker processes that end with their parent; a worker that dies loses its job only."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import Any, Protocol, TypeVar

from training.corpus.format import CorpusError

_LEAST_MEMORY = 6 * 2**30  # address space of a worker [bytes]; torch alone reserves much of it


Job = TypeVar("Job")
Result = TypeVar("Result")


class Workers(Protocol):
    """What computes jobs: processes of this machine, or a cluster (`training.corpus.cluster`)."""

    def run(
        self,
        function: Callable[[Job], Result],
        jobs: Sequence[Job],
        *,
        lost: Callable[[Job, str], Result],
        seconds: Callable[[Job], float | None] = lambda _job: None,
        reads: Callable[[Job], Path | None] = lambda _job: None,
    ) -> Iterator[Result]:
        """Yield the results of all jobs as they come, about in the order of the jobs.

        Parameters
        ----------
        function
            Of a module, not a lambda: it runs elsewhere.
        lost, seconds
            See `run_guarded`.
        reads
            The file that a job reads, if it reads one.
        """
        ...


@dataclass(frozen=True, slots=True)
class Processes:
    """Worker processes of this machine."""

    n_workers: int
    """0: none, jobs run in this process, which ends with a job that crashes."""

    def run(
        self,
        function: Callable[[Job], Result],
        jobs: Sequence[Job],
        *,
        lost: Callable[[Job, str], Result],
        seconds: Callable[[Job], float | None] = lambda _job: None,
        reads: Callable[[Job], Path | None] = lambda _job: None,
    ) -> Iterator[Result]:
        """Yield the results of all jobs as they come; see `Workers`."""
        del reads  # this machine listed the files
        if self.n_workers == 0:
            return map(function, jobs)
        return run_guarded(function, jobs, self.n_workers, lost=lost, seconds=seconds)


IN_THIS_PROCESS = Processes(0)


def refuse_lost(_job: object, reason: str) -> Any:
    """Raise the error of a job without which the work is not complete."""
    raise CorpusError(
        f"a worker was lost (it {reason}), expected a result: run the command again, with "
        "fewer --workers if memory is short"
    )


def run_in_workers(
    function: Callable[[Job], Result], jobs: Sequence[Job], n_workers: int
) -> Iterator[Result]:
    """Yield the results of all jobs as they come; with one worker, in this process.

    Raises
    ------
    CorpusError
        If a worker died.
    """
    if n_workers <= 1 or len(jobs) <= 1:
        yield from map(function, jobs)
        return
    yield from run_guarded(function, jobs, n_workers, lost=refuse_lost)


def run_guarded(
    function: Callable[[Job], Result],
    jobs: Sequence[Job],
    n_workers: int,
    *,
    lost: Callable[[Job, str], Result],
    seconds: Callable[[Job], float | None] = lambda _job: None,
) -> Iterator[Result]:
    """Yield the results of all jobs as they come, computed in other processes.

    A worker that dies or takes too long loses its own job and no other.

    Parameters
    ----------
    n_workers
        Processes beside this one, 1 at least. Each may use its share of the machine's memory.
    lost
        Called with a job without a result and how its worker ended, such as "was killed by
        signal 11"; returns the result in its place.
    seconds
        Longest time for a job, its worker's start included; None: no limit.
    """
    if not jobs:
        return
    n_workers = min(n_workers, len(jobs))
    with _single_threaded_children(), _pool(n_workers) as pool:
        futures = {pool.schedule(function, args=(job,), timeout=seconds(job)): job for job in jobs}
        for future in as_completed(futures):
            # Its result is some MB of audio, which this must not keep.
            yield _result(future, futures.pop(future), lost)
            del future


def _result(future: Any, job: Job, lost: Callable[[Job, str], Result]) -> Result:
    from pebble import ProcessExpired

    try:
        result: Result = future.result()
    except ProcessExpired as error:
        code = error.exitcode or 0
        return lost(job, f"was killed by signal {-code}" if code < 0 else f"ended with {code}")
    except TimeoutError as error:
        # Pebble's own time limit has (message, seconds); a function's TimeoutError has not.
        if len(error.args) != 2 or not isinstance(error.args[1], (int, float)):
            raise
        return lost(job, f"took longer than {error.args[1]:.0f} s")
    return result


@contextmanager
def _pool(n_workers: int) -> Iterator[Any]:
    from pebble import ProcessPool

    pool: Any = ProcessPool(
        n_workers,
        context=get_context("spawn"),
        initializer=_prepare_worker,
        initargs=(_memory_share(n_workers),),
    )
    try:
        yield pool
    finally:
        pool.stop()
        pool.join()


def _memory_share(n_workers: int) -> int:
    """Return how much memory a worker may address [bytes]."""
    n_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(n_bytes // n_workers, _LEAST_MEMORY)


def _prepare_worker(n_bytes: int) -> None:
    """Limit the memory of a worker, and let it end with its parent."""
    import resource

    _end_with_parent()
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = n_bytes if hard == resource.RLIM_INFINITY else min(n_bytes, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


def _end_with_parent() -> None:
    """Let a worker end when its parent is killed: the pool's workers would wait for ever."""

    def watch() -> None:
        parent = parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    Thread(target=watch, daemon=True).start()


@contextmanager
def _single_threaded_children() -> Iterator[None]:
    """Let the children's numeric libraries use one thread each: the workers are the threads."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
