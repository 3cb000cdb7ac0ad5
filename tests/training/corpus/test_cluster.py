"""A corpus made on a Dask cluster: the bytes of one machine, whoever dies."""

from __future__ import annotations

import gc
import os
import pickle
import shutil
import time
import warnings

import pytest
import soundfile
from click.testing import CliRunner

from tests.support.command_output import run_in_subprocess
from tests.support.corpus_files import contents
from tests.support.dask_cluster import DaskCluster, certificates, free_port, run_job
from tests.support.synthetic_music import song
from training.commands.corpus import corpus as command
from training.corpus import cluster as clusters
from training.corpus.cluster import Cluster, ClusterError
from training.corpus.format import SAMPLE_RATE
from training.corpus.generator import corpus_writer as studio
from training.corpus.generator.corpus_writer import write_studio_corpus
from training.corpus.reader import Corpus
from training.corpus.recordings.folder import write_folder_corpus

# Five loops of 12 s, a job each.
MINUTES = 1.0
needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
pytestmark = [
    # Inside distributed, whose threads may outlive a scheduler that was killed.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:distributed.*"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(studio, "LOOPS_PER_PART", 1)


@pytest.fixture(autouse=True)
def collected():
    """Collect what distributed leaves behind here, where its warnings are ignored."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()


@pytest.fixture(scope="module")
def on_one_machine(tmp_path_factory):
    directory = tmp_path_factory.mktemp("one") / "corpus"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(studio, "LOOPS_PER_PART", 1)
        write_studio_corpus(directory, seed=3, minutes=MINUTES)
    return directory


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory):
    """A scheduler and two workers with certificates."""
    folder = tmp_path_factory.mktemp("dask")
    with DaskCluster(folder, certificates(folder / "tls")) as cluster:
        cluster.start_scheduler()
        for name in ("first", "second"):
            cluster.start_worker(name)
        yield cluster


def when(n_done, act):
    """A report of progress that acts once, when so much is done."""
    acts = [act]

    def on_progress(n, _total):
        if n >= n_done and acts:
            acts.pop()()

    return on_progress


# -- who dies -------------------------------------------------------------------------------


@needs_openssl
def test_two_workers_of_whom_one_is_killed_make_the_bytes_of_one_machine(
    encrypted, on_one_machine, tmp_path
):
    write_studio_corpus(
        tmp_path / "corpus",
        seed=3,
        minutes=MINUTES,
        workers=Cluster(encrypted.address, encrypted.tls),
        on_progress=when(2, lambda: encrypted.kill("second")),
    )
    assert contents(tmp_path / "corpus") == contents(on_one_machine)


@needs_openssl
def test_a_job_that_ends_its_workers_is_lost_and_no_other(encrypted):
    workers = Cluster(encrypted.address, encrypted.tls)
    results = workers.run(
        run_job, ["a", "dies", "b"], lost=lambda job, reason: f"{job}: its worker {reason}"
    )
    assert sorted(results) == ["A", "B", "dies: its worker died, the last of 2 that tried it"]


@needs_openssl
def test_the_error_of_a_job_is_raised_here(encrypted):
    workers = Cluster(encrypted.address, encrypted.tls)
    with pytest.raises(ValueError, match="of the job itself"):
        list(workers.run(run_job, ["raises"], lost=None))


def test_a_scheduler_that_is_started_again_gets_what_is_missing(on_one_machine, tmp_path):
    told = []
    with DaskCluster(tmp_path) as cluster:

        def restart():
            for name in list(cluster.processes):
                cluster.kill(name)
            cluster.start_scheduler()
            cluster.start_worker("again")

        cluster.start_scheduler()
        cluster.start_worker("first")
        write_studio_corpus(
            tmp_path / "corpus",
            seed=3,
            minutes=MINUTES,
            workers=Cluster(cluster.address, tell=told.append),
            on_progress=when(2, restart),
        )
    assert contents(tmp_path / "corpus") == contents(on_one_machine)
    assert any("was lost; waiting for it" in line for line in told)


@needs_openssl
def test_recordings_cut_on_a_cluster_give_the_bytes_of_one_machine(encrypted, tmp_path):
    music = tmp_path / "music"
    music.mkdir()
    soundfile.write(music / "a.wav", song(8, 90.0), SAMPLE_RATE)
    (music / "broken.ogg").write_bytes(b"this is no music")
    write_folder_corpus(tmp_path / "one", music)
    workers = Cluster(encrypted.address, encrypted.tls)
    write_folder_corpus(tmp_path / "many", music, workers=workers)
    assert len(Corpus.open(tmp_path / "one")) > 0
    assert contents(tmp_path / "many") == contents(tmp_path / "one")


# -- the command ----------------------------------------------------------------------------


@needs_openssl
def test_the_command_makes_a_corpus_on_a_cluster(encrypted, tmp_path):
    done = run_in_subprocess(
        f"corpus studio --minutes 0.4 --out {tmp_path / 'c'} --scheduler {encrypted.address} "
        f"--scheduler-tls {encrypted.tls}"
    )
    assert done.returncode == 0, done.stderr
    assert "2 loops, 0.01 hours" in done.stdout
    assert len(Corpus.open(tmp_path / "c")) == 2


def test_without_a_scheduler_there_is_one_line_and_a_status_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(clusters, "_CONNECT_SECONDS", 1.0)
    address = f"tcp://127.0.0.1:{free_port()}"
    options = ["studio", "--minutes", "0.4", "--out", str(tmp_path / "c"), "--scheduler", address]
    result = CliRunner().invoke(command, options)
    assert isinstance(result.exception, ClusterError)
    assert "does not answer" in str(result.exception)
    assert "start it and run the command again, it goes on where it was" in str(result.exception)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--scheduler", "tcp://127.0.0.1:1", "--workers", "2"], "give --workers or --scheduler"),
        (["--scheduler-tls", "."], "--scheduler-tls is for a --scheduler"),
    ],
)
def test_options_that_contradict_each_other_are_refused(tmp_path, options, message):
    result = CliRunner().invoke(command, ["studio", "--out", str(tmp_path / "c"), *options])
    assert result.exit_code == 2
    assert message in result.output
    assert not (tmp_path / "c").exists()


def test_a_scheduler_that_others_reach_without_certificates_is_pointed_out():
    assert Cluster("tcp://10.0.0.1:8786").is_open
    assert not Cluster("tcp://127.0.0.1:8786").is_open


@pytest.mark.parametrize(
    ("address", "with_tls", "message"),
    [
        ("10.0.0.1:8786", False, "expected tcp://HOST:PORT"),
        ("http://10.0.0.1:8786", False, "expected tcp://HOST:PORT"),
        ("tcp://10.0.0.1", False, "expected tcp://HOST:PORT"),
        ("tcp://10.0.0.1:x", False, "expected tcp://HOST:PORT"),
        ("tls://10.0.0.1:8786", False, "without a folder of certificates"),
        ("tcp://10.0.0.1:8786", True, "expected tls://: give both or neither"),
        ("tls://10.0.0.1:8786", True, r"ca\.pem is missing"),
    ],
)
def test_an_address_that_cannot_be_meant_is_refused(tmp_path, address, with_tls, message):
    with pytest.raises(ClusterError, match=message):
        Cluster(address, tmp_path if with_tls else None)


# -- a worker that would give something else ------------------------------------------------


def task(job="a", seconds=None, file=None, **differences):
    same = {**clusters.fingerprint(), **differences}
    return pickle.dumps((run_job, job, seconds, file, same))


def test_a_worker_with_the_same_versions_and_files_computes(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"123")
    assert pickle.loads(clusters._compute(task(file=(tmp_path / "a.wav", 3)))) == "A"


def test_a_worker_with_other_versions_is_refused():
    with pytest.raises(ClusterError, match=r"has numpy .*, expected 1\.0: install the same there"):
        clusters._compute(task(numpy="1.0"))


def test_a_worker_that_does_not_see_the_music_is_refused(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"12")
    for name in ("a.wav", "b.wav"):
        with pytest.raises(ClusterError, match=r"does not see .*\.wav with 3 bytes: mount"):
            clusters._compute(task(file=(tmp_path / name, 3)))


def test_a_worker_ends_when_a_job_takes_too_long(monkeypatch):
    ended = []
    monkeypatch.setattr(os, "_exit", ended.append)
    with clusters._limited(0.01):
        while not ended:
            time.sleep(0.01)
    with clusters._limited(600.0):
        pass
    assert ended == [1]
