"""Any damage to a file of a corpus or a run: one line that names it, or the work succeeds.

Exit status 130 is for Ctrl-C alone.
"""

import io
import json
import math
import shutil
from itertools import count

import numpy as np
import pytest
import torch

from device.cli import main
from tests.support.tiny_run import ANALYSIS, CONFIG, N_SLOTS, finished, options, toy_features
from training.corpus.format import BEATS_PER_LOOP, MARGIN, CorpusError
from training.corpus.reader import Corpus
from training.corpus.writer import PreparedLoop, begin, finish, write_shard
from training.features.dataset import open_features
from training.run.config import Config, TrainingError
from training.run.networks import Networks
from training.run.run_folder import open_run
from training.run.trainer import Budget, Trainer

CORPUS, RUN = CorpusError.exit_code, TrainingError.exit_code
BEATS = (np.arange(BEATS_PER_LOOP + 1) * 400.0).tolist()
N_LOOPS = 10


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def pt(content):
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


OF_ANOTHER_TYPE = {
    ".json": b"3",
    ".npy": npy(np.zeros((2, 3))),
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


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory):
    return finished(tmp_path_factory)


@pytest.fixture
def corpus_and_run(trained_once, tmp_path):
    corpus, run = tmp_path / "corpus", tmp_path / "run"
    shutil.copytree(trained_once[0], corpus)
    shutil.copytree(trained_once[1], run)
    return corpus, run


@pytest.fixture
def small_corpus(tmp_path):
    """Loops of noise, all held out but one: enough to audition a model against."""
    rng = np.random.default_rng(0)
    audio = rng.uniform(-0.5, 0.5, (N_LOOPS, 2 * MARGIN + int(BEATS[-1]))).astype(np.float32)
    loops = [
        PreparedLoop(f"noise-{number}", loop, BEATS, number > 0, {}, {})
        for number, loop in enumerate(audio)
    ]
    begin(tmp_path / "small", "studio", {"seed": 1})
    write_shard(tmp_path / "small", 0, loops)
    finish(tmp_path / "small", 1, tempo_bpm=80.0)
    return tmp_path / "small"


CORPUS_FILES = ("corpus.json", "shard-00000.json", "shard-00000.npy")


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


# -- contents of the files ------------------------------------------------------------------

VALUES = (None, True, -1, 0.5, math.nan, math.inf, 10**30, "x", [], {}, [[]], {"a": 1})


def replaced(content, name, value):
    """A copy with another value; without the name for `...`."""
    copy = {**content, name: value}
    if value is ...:
        del copy[name]
    return copy


def rejected_or_valid(work, error, name):
    """Do work; its only valid failure is an error in one line that names a file."""
    try:
        work()
    except error as rejection:
        assert name in str(rejection)
        assert "\n" not in str(rejection)
        return True
    return False


@pytest.mark.parametrize(
    "part", ["config", "n_slots", "tempo_bpm", "networks", "switch_labels", "provenance"]
)
def test_every_part_of_finished_networks_is_checked(trained_once, tmp_path, part):
    content = torch.load(trained_once[1] / "model.pt", weights_only=True)
    for value in (*VALUES, ...):
        (tmp_path / "model.pt").write_bytes(pt(replaced(content, part, value)))
        was_rejected = rejected_or_valid(lambda: open_run(tmp_path), TrainingError, "model.pt")
        assert was_rejected or (part, type(value)) in {
            ("tempo_bpm", float),
            ("provenance", dict),
        }


@pytest.mark.parametrize("network", ["codec", "composer", "reader", "axes", "critic"])
def test_invalid_weights_are_rejected(trained_once, tmp_path, network):
    content = torch.load(trained_once[1] / "model.pt", weights_only=True)
    good = content["networks"]
    name = next(name for name, tensor in good[network].items() if tensor.is_floating_point())
    weights = [replaced(good[network], name, torch.zeros(7)), replaced(good[network], name, ...)]
    weights += [replaced(good[network], name, torch.full_like(good[network][name], math.nan))]
    for value in (*VALUES, ..., *weights):
        networks = replaced(good, network, value)
        (tmp_path / "model.pt").write_bytes(pt({**content, "networks": networks}))
        assert rejected_or_valid(lambda: open_run(tmp_path), TrainingError, "model.pt")


def test_every_setting_of_every_type_is_rejected_or_can_work():
    good = Config().to_dict()
    n_rejected = 0
    for name in good:
        for value in (*VALUES, ...):
            raw = replaced(good, name, value)
            n_rejected += rejected_or_valid(
                lambda raw=raw: Config.from_dict(raw), TrainingError, ""
            )
    for name in good["analysis"]:
        for value in VALUES:
            raw = {**good, "analysis": replaced(good["analysis"], name, value)}
            n_rejected += rejected_or_valid(
                lambda raw=raw: Config.from_dict(raw), TrainingError, ""
            )
    assert n_rejected > 300
    with pytest.raises(TrainingError, match=r"width: found 16\.5, expected a whole number"):
        Config.from_dict({**good, "width": 16.5})


@pytest.mark.parametrize("part", ["config", "networks", "progress", "optimiser"])
def test_every_part_of_a_checkpoint_is_checked(checkpoint, tmp_path, part):
    content = checkpoint
    for value in (*VALUES[::3], ...):
        fits = part == "optimiser" and value is None
        assert (
            rejected_or_valid(
                lambda value=value: resume(tmp_path, replaced(content, part, value)),
                TrainingError,
                "checkpoint.pt",
            )
            or fits
        )


@pytest.mark.parametrize("part", ["stage", "step", "seconds"])
def test_progress_of_a_checkpoint_must_be_numbers(checkpoint, tmp_path, part):
    content = checkpoint
    for value in (..., None, -1, math.nan, "x", [], True):
        progress = replaced(content["progress"], part, value)
        with pytest.raises(TrainingError, match=r"checkpoint\.pt: found progress"):
            resume(tmp_path, {**content, "progress": progress})


def test_an_optimiser_of_other_networks_is_rejected(checkpoint, tmp_path):
    content = checkpoint
    good = content["optimiser"]
    state, (group,) = good["state"], good["param_groups"]
    misfits = [
        {},
        {"state": state},
        {"state": {}, "param_groups": []},
        {"state": state, "param_groups": [{**group, "params": group["params"][1:]}]},
        {"state": state, "param_groups": [{**group, "betas": "x"}]},
        {"state": {**state, 0: {**state[0], "exp_avg": torch.zeros(7)}}, "param_groups": [group]},
        {"state": {**state, 0: {"step": torch.ones(1)}}, "param_groups": [group]},
        {"state": {**state, 0: 3}, "param_groups": [group]},
    ]
    for optimiser in misfits:
        with pytest.raises(TrainingError, match=r"checkpoint\.pt: found an optimiser that does"):
            resume(tmp_path, {**content, "optimiser": optimiser})
    resume(tmp_path, content)


def toy_trainer(directory, report=lambda *_: None):
    return Trainer(
        directory,
        Networks.build(CONFIG, N_SLOTS),
        toy_features(),
        CONFIG,
        budget=Budget(4, None),
        report=report,
        clock=count(step=100).__next__,
    )


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Contents of a checkpoint in the middle of the codec stage."""

    def stop(stage, done, figures):
        if trainer.progress.step == 2:
            raise KeyboardInterrupt

    trainer = toy_trainer(tmp_path_factory.mktemp("stopped"), stop)
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    return torch.load(trainer.checkpoint_path, weights_only=True)


def resume(directory, content):
    """Resume a training of toy loops."""
    (directory / "checkpoint.pt").write_bytes(pt(content))
    trainer = toy_trainer(directory)
    trainer.resume()
    trainer.train()


@pytest.mark.parametrize(
    "key",
    ["sample_rate", "beats_per_loop", "margin", "tempo_bpm", "n_shards", "n_loops", "stems"],
)
def test_every_number_of_a_corpus_is_checked(small_corpus, key):
    path = small_corpus / "corpus.json"
    good = json.loads(path.read_text())
    for value in VALUES:
        path.write_text(json.dumps({**good, key: value}))
        was_rejected = rejected_or_valid(
            lambda: Corpus.open(small_corpus), CorpusError, str(small_corpus)
        )
        fits = (key == "tempo_bpm" and value == 0.5) or (key == "stems" and not value)
        assert was_rejected or fits, value


@pytest.mark.parametrize("key", ["id", "start", "beats", "split", "labels", "provenance"])
def test_every_part_of_every_record_is_checked(small_corpus, key):
    path = small_corpus / "shard-00000.json"
    good = json.loads(path.read_text())
    for value in (*VALUES, ..., [0.0] * BEATS_PER_LOOP, [1.0, 0.0]):
        path.write_text(json.dumps([*good[:-1], replaced(good[-1], key, value)]))
        was_rejected = rejected_or_valid(lambda: Corpus.open(small_corpus), CorpusError, path.name)
        fits = {"id": str, "labels": dict, "provenance": dict}.get(key)
        assert was_rejected or (fits and isinstance(value, fits)), value


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
