"""The processes that train together: one by itself, or as many as torchrun started.

A batch does not depend on their number. Every process computes its shard of it, and gradients are
averaged over the group, so that a run of several processes equals the run of one up to rounding,
and may go on with another number of them. Only the leader writes files.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from training.run.config import TrainingError

Result = TypeVar("Result")
Loss = Callable[[Any, float], tuple[Tensor, dict[str, float]]]
# The leader may analyse a corpus, or draw a page, while the others wait; of a process that has
# died torchrun knows without any time limit.
_LONGEST_WAIT = timedelta(hours=2)


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

    def padded_shard(self, n: int) -> slice:
        """As `shard`, and the first item, with a weight of 0, where there is none for this one."""
        own = self.shard(n)
        return own if own.start < own.stop else slice(0, 1)

    def shard_weight(self, n: int) -> float:
        """Factor of a mean over the shard; the group's average is then the mean over all items."""
        n_mine: int = len(range(n)[self.shard(n)])
        return self.size * n_mine / n

    def mean(self, own: Tensor, weight: float) -> Tensor:
        """Mean of a value over the group, in a loss of which every process computes the whole.

        Parameters
        ----------
        own : Tensor
            Of this process; the gradient reaches this one alone, which is right once gradients
            are averaged over the group.
        weight : float
            Its weight, of `shard_weight`.
        """
        part = own * weight
        return self.total_of(part.detach()) / self.size + (part - part.detach())

    def total_of(self, tensor: Tensor) -> Tensor:
        """Sum of a tensor over the group, without gradients."""
        if self.size == 1:
            return tensor
        total = tensor.clone()
        distributed.all_reduce(total)
        return total

    def totals(self, figures: Sequence[float]) -> list[float]:
        """Sum of every figure over the group."""
        total: list[float] = self.total_of(torch.tensor(figures, dtype=torch.float64)).tolist()
        return total

    def fill(self, whole: Tensor, n_at_once: int, compute: Callable[[slice], Tensor]) -> Tensor:
        """Compute items in batches, every process its shard of them; all get all items.

        Parameters
        ----------
        whole : (n_items, ...)
            Filled, and returned.
        n_at_once : int
            Items in a batch. The batches do not depend on the size of the group.
        compute : callable
            Which items → their values.
        """
        n_batches = -(-len(whole) // n_at_once)
        for number in range(n_batches)[self.shard(n_batches)]:
            items = slice(number * n_at_once, (number + 1) * n_at_once)
            whole[items] = compute(items)
        if self.size > 1:
            self.exchange(whole, n_at_once)
        return whole

    def exchange(self, whole: Tensor, n_at_once: int) -> None:
        """Give the batches that this process has computed to all, and take theirs."""
        n_batches = -(-len(whole) // n_at_once)
        for rank in range(self.size):
            batches = replace(self, rank=rank).shard(n_batches)
            part = whole[batches.start * n_at_once : batches.stop * n_at_once]
            if len(part):
                distributed.broadcast(part, rank)

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

    def forward(self, batch: Any, progress: float) -> tuple[Tensor, dict[str, float]]:
        """Compute a loss, and the figures to log."""
        return self.loss(batch, progress)


@contextmanager
def process_group_of_torchrun() -> Iterator[ProcessGroup]:
    """Join the process group of torchrun, if it started this process."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield SINGLE_PROCESS
        return
    accelerated = torch.cuda.is_available()
    backend = "cpu:gloo,cuda:nccl" if accelerated else "gloo"
    distributed.init_process_group(backend, timeout=_LONGEST_WAIT)
    try:
        yield ProcessGroup(distributed.get_rank(), size)
    except RuntimeError as error:
        if isinstance(error, distributed.DistError) or "gloo" in str(error):
            raise TrainingError(
                "found another process of the training gone, expected all of them; the latest "
                "checkpoint is whole: start them again with --resume auto"
            ) from error
        raise
    finally:
        distributed.destroy_process_group()


def local_gpu() -> torch.device:
    """The GPU of this process among those of its machine, by torchrun's count."""
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    torch.cuda.set_device(device)
    return device
