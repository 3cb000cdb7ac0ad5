"""The processes that train together: one by itself, or as many as torchrun started.

Every process computes its shard of every batch, and gradients are averaged over the group, so that
a run of several processes equals the run of one up to rounding. Only the leader writes files.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

Result = TypeVar("Result")
Loss = Callable[[int, float], tuple[Tensor, dict[str, float]]]


@dataclass(frozen=True)
class ProcessGroup:
    """The rank of this process and the size of its group.

    Attributes
    ----------
    rank : int
        0 is the leader.
    size : int
    """

    rank: int = 0
    size: int = 1

    @property
    def is_leader(self) -> bool:
        """Whether this process writes, prints and saves."""
        return self.rank == 0

    def shard(self, n: int) -> slice:
        """Which of `n` items this process computes; shards differ by one item at most."""
        return slice(n * self.rank // self.size, n * (self.rank + 1) // self.size)

    def shard_weight(self, n: int) -> float:
        """Factor of a mean over the shard; the group's average is then the mean over all items."""
        n_mine: int = len(range(n)[self.shard(n)])
        return self.size * n_mine / n

    def wrap_loss(
        self, loss: Loss, parameters: Sequence[nn.Parameter], *, uses_all: bool = True
    ) -> Loss:
        """Make a loss whose gradients are averaged over the group as they are computed.

        `uses_all`: whether every step's loss depends on all parameters.
        """
        if self.size == 1:
            return loss
        joined: Loss = DistributedDataParallel(
            _Step(loss, parameters), find_unused_parameters=not uses_all
        )
        return joined

    def average(self, figures: Mapping[str, float]) -> dict[str, float]:
        """Mean of every figure over the process group."""
        if self.size == 1:
            return dict(figures)
        values = torch.tensor(list(figures.values()), dtype=torch.float64)
        distributed.all_reduce(values)
        return dict(zip(figures, (values / self.size).tolist(), strict=True))

    def broadcast(self, tensors: Iterable[Tensor]) -> None:
        """Copy the leader's values to all processes, to the bit."""
        if self.size > 1:
            for tensor in tensors:
                distributed.broadcast(tensor, 0)

    def broadcast_object(self, compute: Callable[[], Result]) -> Result:
        """Call a function in the leader only, and return its result in all processes."""
        if self.size == 1:
            return compute()
        shared: list[Any] = [compute() if self.is_leader else None]
        distributed.broadcast_object_list(shared, 0)
        result: Result = shared[0]
        return result


SINGLE_PROCESS = ProcessGroup()


class _Step(nn.Module):
    """A loss as the module with parameters that DistributedDataParallel expects."""

    def __init__(self, loss: Loss, parameters: Sequence[nn.Parameter]) -> None:
        super().__init__()
        self.loss = loss
        self.trained = nn.ParameterList(parameters)

    def forward(self, step: int, progress: float) -> tuple[Tensor, dict[str, float]]:
        """Compute a loss, and the figures to log."""
        return self.loss(step, progress)


@contextmanager
def process_group_of_torchrun() -> Iterator[ProcessGroup]:
    """Join the process group of torchrun, if it started this process."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield SINGLE_PROCESS
        return
    accelerated = torch.cuda.is_available()
    distributed.init_process_group("cpu:gloo,cuda:nccl" if accelerated else "gloo")
    try:
        yield ProcessGroup(distributed.get_rank(), size)
    finally:
        distributed.destroy_process_group()


def local_gpu() -> torch.device:
    """The GPU of this process among those of its machine, by torchrun's count."""
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    torch.cuda.set_device(device)
    return device
