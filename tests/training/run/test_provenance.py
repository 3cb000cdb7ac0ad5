"""Provenance of a run: commit, machine and scores."""

import subprocess

import pytest
import torch

from training.run.config import TrainingError
from training.run.provenance import commit, machine
from training.run.run_folder import held_out_scores


@pytest.fixture
def repository(tmp_path):
    """A repository that looks like ours, with one commit."""
    (tmp_path / "training" / "run").mkdir(parents=True)
    (tmp_path / "training" / "run" / "provenance.py").write_text("# ours\n")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "first")
    return tmp_path


def git(folder, *arguments):
    author = ["-c", "user.name=tester", "-c", "user.email=tester@example.org"]
    done = subprocess.run(
        ["git", "-C", folder, *author, *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_a_run_names_the_commit_of_the_code_that_trained_it(repository):
    assert commit(repository) == git(repository, "rev-parse", "HEAD")


def test_changed_code_is_marked_as_dirty(repository):
    (repository / "training" / "run" / "provenance.py").write_text("# changed\n")
    assert commit(repository) == git(repository, "rev-parse", "HEAD") + "-dirty"


def test_a_tag_does_not_stand_in_for_the_commit(repository):
    git(repository, "tag", "--annotate", "v1", "--message", "v1")
    assert commit(repository) == git(repository, "rev-parse", "HEAD")


def test_a_repository_around_an_installed_package_is_ignored(repository):
    git(repository, "rm", "--quiet", "--cached", "training/run/provenance.py")
    assert commit(repository) is None


def test_without_a_repository_there_is_no_commit(tmp_path):
    assert commit(tmp_path) is None


def test_without_git_there_is_no_commit(repository, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert commit(repository) is None


def test_a_processor_is_named_as_the_kernel_names_it(tmp_path):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: Abacus 9000\nmodel name\t: Abacus 9000\n")
    assert machine(torch.device("cpu"), cpuinfo) == "cpu: Abacus 9000"


def test_a_processor_without_a_name_has_an_architecture(tmp_path):
    assert machine(torch.device("cpu"), tmp_path / "none").startswith("cpu: ")


def test_the_scores_of_a_run_are_the_latest_held_out_figures(tmp_path):
    curves = tmp_path / "curves.csv"
    curves.write_text(
        "stage,step,seconds,figure,value\n"
        "codec,50,1.0,loss,0.9\n"
        "codec,50,1.0,held_out_db,2.5\n"
        "codec,100,2.0,held_out_db,1.75\n"
        "composer,50,1.0,held_out_right,0.5\n"
    )
    assert held_out_scores(curves) == {"codec_held_out_db": 1.75, "composer_held_out_right": 0.5}


def test_a_run_without_curves_has_no_scores(tmp_path):
    assert held_out_scores(tmp_path / "curves.csv") == {}


@pytest.mark.parametrize("row", ["codec,50,1.0", "codec,50,1.0,held_out_db,many", "\xff"])
def test_damaged_curves_are_rejected(tmp_path, row):
    curves = tmp_path / "curves.csv"
    curves.write_bytes(f"stage,step,seconds,figure,value\n{row}\n".encode("latin-1"))
    with pytest.raises(TrainingError, match=r"curves\.csv: found a damaged row, expected stage"):
        held_out_scores(curves)
