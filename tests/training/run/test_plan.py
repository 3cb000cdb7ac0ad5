"""What `--plan` says, against what a run then needs."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.support.tiny_run import CONFIG, finished, invoke, toy_features
from tests.support.toy_trainer import make
from training.commands.train_plan import hours, size
from training.corpus.reader import Corpus
from training.features.dataset import analysis_files
from training.run.networks import Networks
from training.run.plan import _Rehearsal, _Trial, make_plan
from training.run.trainer import Budget

N_STEPS = 10


@pytest.fixture(scope="module")
def corpus_and_run(tmp_path_factory):
    return finished(tmp_path_factory)


@pytest.fixture(scope="module")
def plan(corpus_and_run):
    corpus = Corpus.open(corpus_and_run[0])
    budget, cpu = Budget(N_STEPS, None), torch.device("cpu")
    return make_plan(corpus, budget, cpu, lambda n: CONFIG, most=8)


def test_the_corpus_is_counted_and_its_analysis_measured(plan, corpus_and_run):
    corpus = Corpus.open(corpus_and_run[0])
    ((features, _),) = analysis_files(corpus, CONFIG.analysis)
    assert (plan.n_loops, plan.n_train) == (21, 20)
    assert plan.features_bytes == pytest.approx(features.stat().st_size, abs=1024)
    assert plan.missing_bytes == 0


def test_the_analysis_is_missing_before_it_is_made(corpus_and_run):
    corpus = Corpus.open(corpus_and_run[0])
    other = replace(CONFIG, analysis=replace(CONFIG.analysis, floor=0.5))
    budget, cpu = Budget(N_STEPS, None), torch.device("cpu")
    plan = make_plan(corpus, budget, cpu, lambda n: other, most=1)
    assert plan.missing_bytes == plan.features_bytes > 0


def test_the_disk_that_a_run_takes_is_the_planned_one(plan, corpus_and_run):
    _, run = corpus_and_run
    taken = sum(path.stat().st_size for path in run.rglob("*") if path.is_file())
    page = (run / "page.html").stat().st_size
    assert plan.finished_bytes == pytest.approx(taken - page, rel=0.1)


def test_a_checkpoint_is_as_large_as_planned(tmp_path):
    sizes = []
    trainer = make(tmp_path, CONFIG)
    trainer.checkpoint_seconds = 1e-9
    path = tmp_path / "checkpoint.pt"
    trainer.report = lambda *_: sizes.append(path.stat().st_size if path.exists() else 0)
    trainer.train()

    trial = _Trial(CONFIG, toy_features(), torch.device("cpu"), 1)
    assert trial.checkpoint_bytes == pytest.approx(max(sizes), rel=0.05)


def test_versions_are_planned_with_the_network_and_the_stage_that_they_need():
    config = replace(CONFIG, switches="versions", labels="low,high,both")
    # Each of the few loops stands for many.
    features = replace(toy_features(), train=np.arange(400) % 12)
    trial = _Trial(config, features, torch.device("cpu"), 2)
    parts = vars(Networks.build(config, toy_features().n_slots)).values()
    assert trial.n_weights == sum(w.numel() for part in parts for w in part.parameters())
    assert trial.n_weights > _Trial(CONFIG, toy_features(), torch.device("cpu"), 1).n_weights


def test_steps_are_those_of_the_budget_and_processes_those_that_a_batch_has_parts_for(plan):
    assert plan.most_processes == 3
    assert [cost.n_processes for cost in plan.costs] == [1, 2]
    assert {cost.n_steps for cost in plan.costs} == {(4, 6)}
    for cost in plan.costs:
        assert min(*cost.step_seconds, cost.seconds, cost.memory) > 0


def test_a_rehearsed_process_computes_its_own_shard_alone():
    whole = torch.zeros(10)
    _Rehearsal(0, 3).fill(whole, 2, lambda items: torch.ones(10)[items])
    assert whole.tolist() == [1, 1] + 8 * [0]


def test_the_verb_prints_a_plan_and_writes_nothing(corpus_and_run, tmp_path):
    corpus, _ = corpus_and_run
    before = sorted(corpus.iterdir())
    result = invoke(corpus, tmp_path / "run", "--steps", "10", "--batch", "auto", "--plan")
    assert result.exit_code == 0, result.output
    for words in ("21 loops, 20 to train on", "there already", "processes: 3 at most", "4 + 6"):
        assert words in result.output
    assert not (tmp_path / "run").exists()
    assert sorted(corpus.iterdir()) == before


def test_sizes_and_times_have_the_unit_that_fits():
    assert [size(n) for n in (2**19, 3 * 2**20, 5 * 2**30)] == ["0.5 MiB", "3.0 MiB", "5.0 GiB"]
    assert [hours(s) for s in (5, 600, 9000)] == ["5 s", "10 min", "2.5 h"]
