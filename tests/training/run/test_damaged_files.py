"""Any damage to a file of a corpus or a run: one line that names it, or the work succeeds.

Exit status 130 is for Ctrl-C alone.
"""

import shutil

import numpy as np
import pytest

from device.cli import main
from tests.support.file_contents import npy, pt
from tests.support.tiny_run import ANALYSIS, options
from training.corpus.format import CorpusError
from training.corpus.reader import Corpus
from training.features.dataset import open_features
from training.run.config import TrainingError
from training.run.trainer import Trainer

CORPUS, RUN = CorpusError.exit_code, TrainingError.exit_code


OF_ANOTHER_TYPE = {
    ".json": b"3",
    ".npy": npy(np.zeros((2, 3))),
    ".npz": npy(np.zeros((2, 3))),
    ".pt": pt([1]),
    ".csv": b"a,b\n1,2\n",
}
DAMAGES = {
    "empty": lambda content, suffix: b"",
    "cut": lambda content, suffix: content[: len(content) * 2 // 3 - 3],
    "garbage": lambda content, suffix: np.random.default_rng(1).bytes(len(content)),
    "of another type": lambda content, suffix: OF_ANOTHER_TYPE[suffix],
    "deeply nested": lambda content, suffix: b"[" * 100_000,
    "a folder": None,
}


def damage(path, kind):
    content = path.read_bytes()
    path.unlink()
    if DAMAGES[kind] is None:
        path.mkdir()
    else:
        path.write_bytes(DAMAGES[kind](content, path.suffix))


def status_and_line(capsys, arguments):
    """Run a command; its standard error must be one line."""
    capsys.readouterr()
    status = main([str(argument) for argument in arguments])
    line = capsys.readouterr().err
    assert line.count("\n") == 1, line
    assert len(line) < 1_000
    return status, line


@pytest.fixture
def corpus_and_run(trained_once, tmp_path):
    corpus, run = tmp_path / "corpus", tmp_path / "run"
    shutil.copytree(trained_once[0], corpus)
    shutil.copytree(trained_once[1], run)
    return corpus, run


CORPUS_FILES = ("corpus.json", "records-00000.npz", "shard-00000.npy")


@pytest.mark.parametrize("kind", DAMAGES)
@pytest.mark.parametrize("name", CORPUS_FILES)
def test_a_damaged_file_of_a_corpus_is_named_and_no_work_starts(
    small_corpus, tiny_model, tmp_path, capsys, name, kind
):
    damage(small_corpus / name, kind)
    out = tmp_path / "out"
    train = ["train", small_corpus, "--out", out / "run", "--steps", "4", "--device", "cpu"]
    train += options()
    audition = ["audition", tiny_model, "--against", small_corpus, "--out", tmp_path / "page.html"]
    for arguments in ([*train, "--threads", "1"], [*audition, "--workers", "1"]):
        status, line = status_and_line(capsys, arguments)
        assert status == CORPUS
        assert name in line or (name == "corpus.json" and "holds no corpus" in line)
    assert not (out / "run" / "checkpoint.pt").exists()
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize("kind", DAMAGES)
@pytest.mark.parametrize(
    ("name", "verbs"),
    [
        ("checkpoint.pt", ["--resume"]),
        ("curves.csv", ["--resume"]),
        ("curves.csv", ["--from", "export"]),
        ("codec.json", ["--resume"]),
        ("start.json", ["--resume"]),
        ("model.pt", ["--from", "--codec", "export"]),
    ],
)
def test_a_damaged_file_of_a_run_is_named(corpus_and_run, tmp_path, capsys, name, verbs, kind):
    corpus, run = corpus_and_run
    path = run / name
    if not path.exists():
        path.write_text('{"commit": null, "torch": "2.5"}')
    damage(path, kind)
    if (name, kind) == ("curves.csv", "cut") and "--resume" in verbs:
        return  # a killed run leaves half a row, which is dropped
    if "--resume" in verbs:
        (run / "model.pt").unlink(missing_ok=True)
    before = {each: each.read_bytes() for each in run.iterdir() if each.is_file()}
    train = ["train", corpus, "--steps", "10", "--device", "cpu", "--threads", "1"]
    for verb in verbs:
        arguments = {
            "--resume": [*train, *options(), "--out", run, "--resume"],
            "--from": [*train, "--out", tmp_path / "new", "--from", run],
            "--codec": [*train, "--out", tmp_path / "new", "--codec", run],
            "export": ["export", run, "--out", tmp_path / "model.onnx"],
        }[verb]
        status, line = status_and_line(capsys, arguments)
        assert status == RUN, line
        assert name in line
        assert not list((tmp_path / "new").glob("*.pt"))
    assert before == {each: each.read_bytes() for each in run.iterdir() if each.is_file()}
    assert not (tmp_path / "model.onnx").exists()


# -- damaged features are computed again ------------------------------------------------------


def flipped(content):
    """Numbers of half precision that no analysis gives, among good ones."""
    middle = len(content) // 2 // 2 * 2
    return content[:middle] + np.random.default_rng(2).bytes(400) + content[middle + 400 :]


@pytest.mark.parametrize("kind", [*DAMAGES, "of another shape", "damaged inside"])
def test_damaged_features_are_computed_again(small_corpus, kind):
    corpus = Corpus.open(small_corpus)
    expected = np.array(open_features(corpus, ANALYSIS).log_bands)
    (path,) = small_corpus.glob("features-*.npy")
    if kind == "of another shape":
        path.write_bytes(npy(expected[:-1]))
    elif kind == "damaged inside":
        path.write_bytes(flipped(path.read_bytes()))
    elif kind != "a folder":
        damage(path, kind)
    np.testing.assert_array_equal(open_features(corpus, ANALYSIS).log_bands, expected)
    assert [each.name for each in small_corpus.glob("*features*")] == [path.name]


def test_a_full_disk_leaves_no_half_analysis_and_names_the_file(small_corpus, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    # A write to a memory map on a full disk would end the process: space is allocated first.
    monkeypatch.setattr("training.features.dataset.os.posix_fallocate", full)
    with pytest.raises(OSError, match=r"features-.*No space left.*make room") as raised:
        open_features(Corpus.open(small_corpus), ANALYSIS)
    assert raised.value.exit_code == 18
    assert not list(small_corpus.glob("features-*"))


# -- interruptions ------------------------------------------------------------------------------


def test_a_file_that_ends_too_early_is_no_interruption(tmp_path, monkeypatch):
    def ends_early(*_, **__):
        raise EOFError("No data left in file")

    monkeypatch.setattr("training.corpus.reader.Corpus.open", ends_early)
    with pytest.raises(EOFError):
        main(["train", "corpus", "--out", str(tmp_path / "run"), "--steps", "4"])


def test_ctrl_c_ends_with_130_and_prints_how_to_resume(small_corpus, tmp_path, monkeypatch, capsys):
    def interrupted(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "train", interrupted)
    run = tmp_path / "run"
    train = ["train", small_corpus, "--out", run, "--steps", "4", "--device", "cpu", *options()]
    assert main([*map(str, train), "--threads", "1"]) == 130
    assert "interrupted; there was no checkpoint yet: start again" in capsys.readouterr().err
    (run / "checkpoint.pt").write_bytes(b"")
    monkeypatch.setattr(Trainer, "resume", lambda self: None)
    assert main([*map(str, train), "--threads", "1", "--resume"]) == 130
    assert "checkpoint.pt is whole: go on with --resume" in capsys.readouterr().err
