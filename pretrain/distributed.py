"""Process groups: start from the environment, gather tensors, and synchronise batch normalisation."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

if TYPE_CHECKING:
    from torch._C._distributed_c10d import Store

_BUCKET_NUMBERS = 8_000_000
"""Number of values per all-reduce of gradients: 32 MB of float32."""
_TIME_TO_MEET = timedelta(minutes=10)
"""How long the first process of a group waits for the last: processes of a job may start minutes apart."""
_SECONDS_TO_READ = 10.0
"""How long rank 0 waits for the others to see that one is foreign; they may have been killed already."""
_GLOO_PHRASES = ("gloo/transport", "Connection closed by peer", "Connection reset by peer")


def get_rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def get_world_size() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


class ForeignProcessError(RuntimeError):
    """A process of another run, job or attempt connected to this group's meeting point."""


@contextmanager
def process_group(device: torch.device, name: str = "") -> Iterator[None]:
    """Join the process group that the environment describes (RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT), if any.

    Uses NCCL on GPUs and gloo on CPUs.

    Parameters
    ----------
    name
        Identifies the group's work and attempt; equal in all its processes.

    Raises
    ------
    ForeignProcessError
        A process of the group has another name.
    TimeoutError
        Some process did not connect in time.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or dist.is_initialized():
        yield
        return
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    address = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
    try:
        store = _open_store(rank)
        require_same_name(store, rank, size, name, address)
    except dist.DistError as error:
        reason = str(error).partition("\n")[0]
        raise TimeoutError(f"process {rank} of {size} did not meet all others at {address}: {reason}") from error
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", store=store, rank=rank, world_size=size)
    try:
        yield
    finally:
        dist.destroy_process_group()


def _open_store(rank: int) -> Store:
    """Return the store in which the processes find each other; rank 0 hosts it, unless torchrun does."""
    from torch._C._distributed_c10d import PrefixStore, TCPStore

    is_hosted = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    descriptor = os.environ.pop("MASTER_LISTEN_FD", None)
    store = TCPStore(
        os.environ["MASTER_ADDR"],
        int(os.environ["MASTER_PORT"]),
        is_master=rank == 0 and not is_hosted,
        timeout=_TIME_TO_MEET,
        wait_for_workers=False,
        master_listen_fd=None if descriptor is None else int(descriptor),
    )
    # torchrun's store outlives the processes that torchrun restarts.
    return PrefixStore(f"attempt_{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)


def require_same_name(store: Store, rank: int, size: int, name: str, address: str) -> None:
    """Return once all processes of a group have connected with the same name.

    Each process claims its rank in the store before it joins the group, so two processes of one rank are found too: the
    group itself would accept either.

    Raises
    ------
    ForeignProcessError
        Another name was given. Every process that sees the difference raises this.
    """
    mine = f"{name}, {size} processes"
    # Check this process's rank first: a foreign process may have claimed it and left, and the other reads would wait.
    for other in sorted(range(size), key=lambda other: other != rank):
        key = f"name/{other}"
        theirs = (store.compare_set(key, "", mine) if other == rank else store.get(key)).decode()
        if theirs != mine:
            _await_readers(store, rank, size)
            raise ForeignProcessError(
                f"process {rank} of [{mine}] met process {other} of [{theirs}] at {address}; they must not train"
                " together, so nothing was computed: start both again"
            )


def _await_readers(store: Store, rank: int, size: int) -> None:
    """Keep rank 0's process, and so the store, alive until the others have seen the difference too."""
    give_up = time.monotonic() + _SECONDS_TO_READ
    left = store.add("left", 1)
    while rank == 0 and left < size and time.monotonic() < give_up:
        time.sleep(0.05)
        left = store.add("left", 0)


def is_loss_of_a_peer(error: BaseException) -> bool:
    """Return whether a collective failed because another process is gone. gloo shows this only in its message."""
    if get_world_size() == 1:
        return False
    is_gloos = isinstance(error, RuntimeError) and any(word in str(error) for word in _GLOO_PHRASES)
    return is_gloos or isinstance(error, dist.DistError)


@torch.no_grad()
def gather(local: Tensor) -> Tensor:
    """Return the rows of all processes in rank order, without gradient: (B, D) on each becomes (world·B, D)."""
    if get_world_size() == 1:
        return local.detach()
    parts = [torch.empty_like(local) for _ in range(get_world_size())]
    dist.all_gather(parts, local.contiguous())
    return torch.cat(parts)


@torch.no_grad()
def mean_over_processes(values: dict[str, Tensor]) -> dict[str, float]:
    """Return each scalar averaged over the processes."""
    if not values:
        return {}
    stacked = torch.stack([value.detach().float() for value in values.values()])
    if get_world_size() > 1:
        dist.all_reduce(stacked)
        stacked /= get_world_size()
    return dict(zip(values, stacked.tolist(), strict=True))


@torch.no_grad()
def average_gradients(model: nn.Module) -> None:
    """Replace each parameter's gradient by its mean over the processes, in chunks of ``_BUCKET_NUMBERS``."""
    if get_world_size() == 1:
        return
    bucket: list[Tensor] = []
    for gradient in [parameter.grad for parameter in model.parameters() if parameter.grad is not None]:
        bucket.append(gradient)
        if sum(tensor.numel() for tensor in bucket) >= _BUCKET_NUMBERS:
            _average(bucket)
            bucket = []
    _average(bucket)


def _average(tensors: list[Tensor]) -> None:
    if not tensors:
        return
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    dist.all_reduce(flat)
    flat /= get_world_size()
    parts = flat.split([tensor.numel() for tensor in tensors])
    for tensor, part in zip(tensors, parts, strict=True):
        tensor.copy_(part.view_as(tensor))


def least_over_processes(value: int, device: torch.device) -> int:
    """Return the smallest of the processes' values, on every process."""
    if get_world_size() == 1:
        return value
    word = torch.tensor([value], device=device)
    dist.all_reduce(word, dist.ReduceOp.MIN)
    return int(word.item())


def agreed(decision: bool, device: torch.device) -> bool:
    """Return rank 0's decision on every process: clocks differ, and collective calls must not depend on them."""
    if get_world_size() == 1:
        return decision
    word = torch.tensor([int(decision)], device=device)
    dist.broadcast(word, src=0)
    return bool(word.item())


def synchronise_batch_norm(model: nn.Module, device: torch.device) -> nn.Module:
    """Make batch normalisations use the statistics of the global batch; a no-op for a single process.

    One whose attribute ``synchronise`` is False stays as it is.
    """
    if get_world_size() == 1:
        return model
    return _replace_batch_norm(model, is_cuda=device.type == "cuda")


class _SumOverProcesses(torch.autograd.Function):
    """Sum over processes. Every process's loss depends on every term, so the gradient is summed over processes too.

    torch's own differentiable collectives are deprecated since 2.14, and what replaces them is a private module.
    """

    @staticmethod
    def forward(context: Any, local: Tensor) -> Tensor:
        total = local.contiguous().clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        return _SumOverProcesses.forward(context, gradient)


def sum_over_processes(local: Tensor) -> Tensor:
    """Return the elementwise sum over all processes, on each of them, with gradient."""
    return cast(Tensor, _SumOverProcesses.apply(local))


class AllReduceBatchNorm(_BatchNorm):
    """Batch normalisation over all processes, with differentiable all-reduces.

    torch's SyncBatchNorm refuses CPU tensors; this class works on every device that gloo supports.
    """

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002
        if input.ndim < 2:
            raise ValueError(f"expected at least 2 dimensions, got {input.ndim}")

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        self._check_input_dim(input)
        if not self.training:
            return F.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
            )
        dimensions = [0, *range(2, input.ndim)]
        shape = [1, -1] + [1] * (input.ndim - 2)
        values = input.float()
        count = input.numel() // input.shape[1] * get_world_size()
        mean = sum_over_processes(values.sum(dimensions)) / count
        centred = values - mean.view(shape)
        variance = sum_over_processes(centred.square().sum(dimensions)) / count
        self._track(mean.detach(), variance.detach(), count)
        normalised = centred * (variance.view(shape) + self.eps).rsqrt()
        if self.affine:
            normalised = normalised * self.weight.view(shape) + self.bias.view(shape)
        return normalised.to(input.dtype)

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor, count: int) -> None:
        if not self.track_running_stats or self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * count / (count - 1), self.momentum)


def _replace_batch_norm(module: nn.Module, is_cuda: bool) -> nn.Module:
    if isinstance(module, _BatchNorm):
        if not getattr(module, "synchronise", True):
            return module
        if is_cuda:
            return cast(nn.Module, nn.SyncBatchNorm.convert_sync_batchnorm(module))
        replacement = AllReduceBatchNorm(
            module.num_features, module.eps, module.momentum, module.affine, module.track_running_stats
        )
        replacement.load_state_dict(module.state_dict())
        for name, parameter in module.named_parameters():
            getattr(replacement, name).requires_grad_(parameter.requires_grad)
        return replacement.train(module.training)
    for name, child in module.named_children():
        setattr(module, name, _replace_batch_norm(child, is_cuda))
    return module
