"""Training with several processes: what they tell each other, and who holds which weights.

All that is done by torch.distributed is done here. A run of one process sets up none of it, and every
function returns at once. With several (see `zoo.processes`), all must call them, in the same order.
"""

import atexit
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, nn

from zoo.engine.denoiser import Batch, NetworkDenoiser, repeat
from zoo.engine.noise import NoiseSource
from zoo.engine.sampler import Samples
from zoo.processes import main, rank, size


def join(on: torch.device) -> None:
    """Meets the other processes: gloo carries what is on the CPU, NCCL what is on a GPU."""
    if size() == 1 or torch.distributed.is_initialized():
        return
    if on.type == "cuda":
        torch.cuda.set_device(on)
    torch.distributed.init_process_group(
        "cpu:gloo,cuda:nccl" if on.type == "cuda" else "gloo", timeout=timedelta(minutes=30)
    )
    atexit.register(torch.distributed.destroy_process_group)


def total(*values: float) -> list[float]:
    """The sums over all processes."""
    if size() == 1:
        return list(values)
    sums = torch.tensor(values, dtype=torch.float64)
    torch.distributed.all_reduce(sums)
    return sums.tolist()


class Loss(nn.Module):
    """A denoiser's loss as the forward pass of a module, which is what DDP and FSDP2 wrap."""

    def __init__(self, denoiser: NetworkDenoiser) -> None:
        super().__init__()
        self.denoiser = denoiser

    def forward(self, batch: Batch, generator: torch.Generator) -> Tensor:
        return self.denoiser.loss(batch, generator)


def replicate(denoiser: NetworkDenoiser) -> nn.Module:
    """Its loss; a backward pass averages the gradients over the processes, each of which has all weights."""
    loss = Loss(denoiser)
    if size() == 1:
        return loss
    # A domain may have weights that some or all of its data do not reach; one process trains it all the same.
    return nn.parallel.DistributedDataParallel(
        loss, find_unused_parameters=True, gradient_as_bucket_view=True
    )


def shard(denoiser: NetworkDenoiser, on: torch.device) -> nn.Module:
    """Its loss, where every process keeps a part of each weight: FSDP2. Changes the denoiser.

    The weights of a block (see `blocks`) are gathered when it first runs, and kept until `reshard`. So no
    process waits for another one that passes through the network a different number of times.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    loss, mesh = Loss(denoiser), init_device_mesh(on.type, (size(),))
    for block in blocks(denoiser):
        fully_shard(block, mesh=mesh, reshard_after_forward=False)
    fully_shard(loss, mesh=mesh).set_reshard_after_backward(False)
    return loss


def reshard(loss: nn.Module) -> None:
    """Forgets what was gathered of sharded weights, all of which then stand in its parameters as shards."""
    if size() == 1:
        return
    from torch.distributed.fsdp import FSDPModule

    for module in loss.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


def waiting(loss: nn.Module, last: bool) -> AbstractContextManager[Any]:
    """Around a forward and backward pass: gradients are exchanged in the last one of a step alone."""
    if isinstance(loss, nn.parallel.DistributedDataParallel):
        return nullcontext() if last else loss.no_sync()
    if size() > 1:
        loss.set_requires_gradient_sync(last)  # pyright: ignore[reportCallIssue] (FSDP2 adds it)
    return nullcontext()


def blocks(module: nn.Module) -> list[nn.Module]:
    """The blocks that repeat: what stands in the module's lists and has layers of its own, the outermost."""
    found: list[nn.Module] = []
    for child in module.children():
        if isinstance(module, nn.ModuleList) and not isinstance(child, nn.ModuleList) and [*child.children()]:
            found.append(child)
        else:
            found += blocks(child)
    return found


class Share:
    """The members that this process draws, out of n: as many as every other one draws, or one more or less.

    Args:
        n: members in all, at least one a process.
        leads: the leading sizes of the tensors that they are drawn with: divisors of n.
    """

    def __init__(self, n: int, leads: Iterable[int]) -> None:
        several = {lead for lead in leads if lead > 1}
        # where there are enough conditions, the members of one stay together: it is encoded once
        self.lead = several.pop() if len(several) == 1 and min(several) >= size() else n
        first, last = (self.lead * i // size() for i in (rank(), rank() + 1))
        self.n, self.conditions = n, slice(first, last)
        self.rows = slice(first * n // self.lead, last * n // self.lead)

    def of(self, value: Tensor) -> Tensor:
        """Its part of a tensor that leads with 1 or a divisor of n."""
        return value if len(value) == 1 else repeat(value, self.lead)[self.conditions]

    def noise(self, members: NoiseSource) -> NoiseSource:
        """The noise of its members, which is theirs among all."""
        return _Rows(members, self.rows)

    def gathered(self, own: Samples) -> Samples:
        """The samples of all members, in every process."""
        join(own.x.device)
        x = own.x.new_zeros(self.n, *own.x.shape[1:])
        x[self.rows] = own.x
        torch.distributed.all_reduce(x)  # to what one has drawn, the others add zeros
        return Samples(x, own.evaluations)


class _Rows:
    """Some rows of a source of noise."""

    def __init__(self, members: NoiseSource, rows: slice) -> None:
        self.members, self.rows = members, rows

    def __len__(self) -> int:
        return self.rows.stop - self.rows.start

    def normal(self, shape: Sequence[int]) -> Tensor:
        return self.members.normal(shape)[self.rows]


def whole(tensor: Tensor) -> Tensor:
    """A sharded tensor put together, in every process; any other as it is."""
    if size() == 1:
        return tensor
    from torch.distributed.tensor import DTensor

    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def like(tensor: Tensor, pattern: Tensor) -> Tensor:
    """A whole tensor, the same in every process, on the pattern's device and sharded as it is."""
    tensor = tensor.to(pattern.device)
    if size() == 1:
        return tensor
    from torch.distributed.tensor import DTensor, distribute_tensor

    if not isinstance(pattern, DTensor):
        return tensor
    # None: everyone has the tensor and takes its own part, without a word to the others
    return distribute_tensor(tensor, pattern.device_mesh, pattern.placements, src_data_rank=None)


def collected(tree: Any) -> Any:
    """A tree of dicts, lists and tensors with whole tensors, on the CPU of the main process.

    One after the other is put together, so that no device holds all. The other processes get None for them.
    """
    if size() == 1:
        return tree
    if isinstance(tree, Tensor):
        complete = whole(tree)
        return complete.cpu() if main() else None
    if isinstance(tree, dict):
        return {key: collected(item) for key, item in tree.items()}
    return [collected(item) for item in tree] if isinstance(tree, list | tuple) else tree
