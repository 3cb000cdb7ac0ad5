"""Every part of a file of a corpus or a run is checked when it is read."""

import json
import math
from itertools import count

import numpy as np
import pytest
import torch

from tests.support.corpus_files import changed_arrays, write_format_1
from tests.support.file_contents import pt
from tests.support.tiny_run import CONFIG, N_SLOTS, toy_features
from training.corpus.format import BEATS_PER_LOOP, CorpusError
from training.corpus.reader import Corpus
from training.run.config import Config, TrainingError
from training.run.networks import Networks
from training.run.run_folder import open_run
from training.run.trainer import Budget, Trainer

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
    [
        "sample_rate",
        "beats_per_loop",
        "margin",
        "tempo_bpm",
        "n_shards",
        "n_loops",
        "shards",
        "stems",
    ],
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


@pytest.mark.parametrize(
    "key",
    [
        *("ids", "id_ends", "start", "beats", "held_out"),
        *("floats", "codes", "values", "value_ends", "columns", "more"),
    ],
)
def test_every_array_of_records_is_checked(small_corpus, key):
    path = small_corpus / "records-00000.npz"
    content = path.read_bytes()
    with np.load(path) as arrays:
        good = arrays[key]
    wrong = [..., good[:-1], good[None], good.astype(np.complex64), np.zeros((2, 3)), np.array("x")]
    wrong += [np.full(good.shape, extreme, good.dtype) for extreme in (1, 77)]
    wrong += [np.full(good.shape, np.nan, good.dtype)] if good.dtype.kind == "f" else []
    n_rejected = 0
    for array in wrong:
        changed_arrays(path, **{key: array})
        n_rejected += rejected_or_valid(
            lambda: list(Corpus.open(small_corpus).records), CorpusError, path.name
        )
        path.write_bytes(content)
    assert n_rejected >= 5
    assert len(Corpus.open(small_corpus)) == 10


@pytest.mark.parametrize("key", ["id", "start", "beats", "split", "labels", "provenance"])
def test_every_part_of_every_record_of_format_1_is_checked(small_corpus, tmp_path, key):
    small_corpus = write_format_1(tmp_path / "format-1", Corpus.open(small_corpus))
    path = small_corpus / "shard-00000.json"
    good = json.loads(path.read_text())
    for value in (*VALUES, ..., [0.0] * BEATS_PER_LOOP, [1.0, 0.0]):
        path.write_text(json.dumps([*good[:-1], replaced(good[-1], key, value)]))
        was_rejected = rejected_or_valid(lambda: Corpus.open(small_corpus), CorpusError, path.name)
        fits = {"id": str, "labels": dict, "provenance": dict}.get(key)
        assert was_rejected or (fits and isinstance(value, fits)), value
