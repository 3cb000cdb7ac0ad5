"""Several processes train the same weights as one."""

import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Barrier

import pytest
import torch

from tests.support.tiny_run import CONFIG, networks, same_bits, toy_features, trained, weights
from training.run.codec_stage import CodecStage
from training.run.config import TrainingError
from training.run.distributed import SINGLE_PROCESS, ProcessGroup
from training.run.stages import ComposerStage, encode_corpus
from training.run.trainer import Budget, Trainer

ROOT = Path(__file__).parents[3]
HALF_EACH = replace(CONFIG, codec_share=0.5)
N_STEPS = 6


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("n", [1, 7, 24])
def test_shards_cover_all_items_once_and_their_weighted_means_average_to_the_mean(size, n):
    process_group = [ProcessGroup(rank, size) for rank in range(size)]
    values = torch.arange(n).double().square()
    parts = [values[member.shard(n)] for member in process_group]
    pairs = list(zip(process_group, parts, strict=True))
    assert torch.equal(torch.cat(parts), values)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    weighted = [member.shard_weight(n) * part.nanmean().nan_to_num() for member, part in pairs]
    torch.testing.assert_close(sum(weighted) / size, values.mean())


def gradients(stage, parameters):
    loss, _ = stage.loss(stage.read(3), 0.9)
    return torch.cat(
        [g.flatten() for g in torch.autograd.grad(loss, parameters, materialize_grads=True)]
    )


@dataclass(frozen=True)
class Member(ProcessGroup):
    """One of a group whose processes are threads."""

    meeting: Barrier = None
    brought: dict = field(default_factory=dict)

    def total_of(self, tensor):
        self.brought[self.rank] = tensor
        self.meeting.wait(60)
        total = sum(self.brought[rank] for rank in range(self.size))
        self.meeting.wait(60)
        return total

    def fill(self, whole, n_at_once, compute):
        return SINGLE_PROCESS.fill(whole, n_at_once, compute)


# Fewer variations than processes, as many, and a number that they do not divide.
@pytest.mark.parametrize(("size", "n_variations"), [(2, 1), (2, 3), (3, 3)])
@pytest.mark.parametrize("switches", ["discovered", "components"])
def test_gradients_of_a_group_average_to_those_of_one(size, n_variations, switches):
    config = replace(CONFIG, switches=switches, panel_variations=n_variations)
    features, made = toy_features(), networks(config)
    code_indices = encode_corpus(made, features, config)

    def stages(own, process_group):
        yield CodecStage(own, features, config, process_group)
        yield ComposerStage(own, code_indices, features, config, process_group)

    for stage in stages(made, SINGLE_PROCESS):
        stage.begin()
    expected = [gradients(stage, stage.parameters) for stage in stages(made, SINGLE_PROCESS)]
    meeting, brought = Barrier(size), {}

    def of_member(rank):
        group = Member(rank, size, meeting, brought)
        return [gradients(s, s.parameters) for s in stages(deepcopy(made), group)]

    with ThreadPoolExecutor(size) as pool:
        members = list(pool.map(of_member, range(size)))
    for alone, *parts in zip(expected, *members, strict=True):
        assert not torch.equal(parts[0], parts[1])
        together, largest = sum(parts) / size, alone.abs().max().item()
        torch.testing.assert_close(together, alone, atol=1e-5 * largest, rtol=1e-3)


def test_a_group_with_more_processes_than_a_batch_has_parts_is_rejected(tmp_path):
    with pytest.raises(TrainingError, match=r"found 9 processes, expected 3 at most"):
        trained(tmp_path, HALF_EACH, N_STEPS, process_group=ProcessGroup(0, 9))


def member(directory):
    """One of two processes: train, then resume the checkpoint of the leader."""
    from training.run.distributed import process_group_of_torchrun

    torch.set_num_threads(1)
    with process_group_of_torchrun() as process_group:
        first = trained(directory, HALF_EACH, N_STEPS, process_group=process_group)
        again = Trainer(
            # Only the leader's disk has the checkpoint.
            directory if process_group.is_leader else directory / "elsewhere",
            networks(HALF_EACH),
            toy_features(),
            HALF_EACH,
            budget=Budget(N_STEPS, None),
            report=lambda *_: None,
            process_group=process_group,
        )
        again.resume()
    assert same_bits(weights(again.networks), weights(first.networks))
    torch.save(weights(first.networks), directory / f"rank-{process_group.rank}.pt")


def test_two_processes_train_what_one_trains(tmp_path):
    alone = weights(trained(tmp_path / "alone", HALF_EACH, N_STEPS).networks)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    group_environment = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    processes = [
        subprocess.Popen(
            [sys.executable, __file__, str(tmp_path)],
            env={**os.environ, **group_environment, "RANK": rank, "PYTHONPATH": str(ROOT)},
        )
        for rank in ("0", "1")
    ]
    try:
        assert [process.wait(300) for process in processes] == [0, 0]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    leader, other = (torch.load(tmp_path / f"rank-{rank}.pt") for rank in (0, 1))
    assert same_bits(leader, other)
    for name, tensor in alone.items():
        # Axes are rotated components of descriptors of the weights: rounding errors grow.
        near = 1e-3 if name.startswith("axes.") else 1e-4
        torch.testing.assert_close(leader[name], tensor, atol=near, rtol=1e-3, msg=name)
    curves = [(tmp_path / part / "curves.csv") for part in ("", "alone")]
    first, second = (path.read_text().count("\n") for path in curves)
    assert first == second > 4


if __name__ == "__main__":
    member(Path(sys.argv[1]))
