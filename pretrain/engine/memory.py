"""Finds ``micro_batch_size: auto``: the most images whose forward and backward pass fit into a process's memory."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from pretrain.batch import Place
from pretrain.distributed import least_over_processes
from pretrain.engine.step import Precision
from pretrain.errors import InputError
from pretrain.method import FeatureMethod

USABLE_SHARE = 0.5
"""Share of the free memory that a pass may use. The rest is for images, heads and temporaries of a backward pass."""
STATES_PER_PARAMETER = 2
"""Optimiser state as a multiple of the parameters' bytes: AdamW keeps two moments, the other optimisers less."""
_PROBED_IMAGES = 2


@dataclass(frozen=True)
class StepImages:
    """Images of a step: ``share`` per process, in ``num_views`` views of at most ``image_size`` pixels a side."""

    share: int
    num_views: int
    image_size: int


def find_micro_batch_size(method: nn.Module, precision: Precision, images: StepImages, device: torch.device) -> int:
    """Return the whole share if a plain step fits, else the first of its half, quarter, … that fits.

    A plain step keeps the graphs of all views, a micro-batch that of one. All processes use the smallest size found.

    Raises
    ------
    InputError
        One image does not fit.
    """
    learner = cast(FeatureMethod, method)
    reserved = STATES_PER_PARAMETER * sum(p.numel() * p.element_size() for p in method.parameters() if p.requires_grad)

    def blank(count: int) -> Tensor:
        return torch.zeros(count, 3, images.image_size, images.image_size, device=device)

    build_test = _measure_on_gpu if device.type == "cuda" else _estimate_on_cpu
    fits = build_test(learner, precision, blank, reserved)
    whole = fits(images.share * images.num_views)
    size = images.share if whole else find_largest((images.share + 1) // 2, fits)
    size = least_over_processes(size, device)
    if size == 0:
        raise InputError("micro_batch_size: auto: one image at a time does not fit into memory; use a smaller backbone")
    return size


def find_largest(count: int, fits: Callable[[int], bool]) -> int:
    """Return the first of count, count/2, count/4, … 1 that fits; 0 if none does."""
    while count > 1 and not fits(count):
        count = (count + 1) // 2
    return count if count > 1 or fits(1) else 0


def _measure_on_gpu(
    method: FeatureMethod, precision: Precision, images: Callable[[int], Tensor], reserved: int
) -> Callable[[int], bool]:
    """Return a test that runs the backbone on so many images and reads the GPU's peak memory.

    Heads are left out. They need little memory, and their collective calls would hang if one process ran out of it.
    """

    def fits(count: int) -> bool:
        gc.collect()
        torch.cuda.empty_cache()
        free, _ = torch.cuda.mem_get_info()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        try:
            _forward_and_backward(method, precision, images(count))
        except torch.OutOfMemoryError:
            return False
        finally:
            for parameter in method.backbone.parameters():
                parameter.grad = None
        return torch.cuda.max_memory_allocated() - before <= USABLE_SHARE * (free - reserved)

    return fits


def _estimate_on_cpu(
    method: FeatureMethod, precision: Precision, images: Callable[[int], Tensor], reserved: int
) -> Callable[[int], bool]:
    """Return a test that multiplies the memory of a few images, because an out-of-memory process is killed."""
    per_image = count_graph_bytes(method, precision, images(_PROBED_IMAGES)) / _PROBED_IMAGES
    usable = USABLE_SHARE * (available_bytes() / int(os.environ.get("LOCAL_WORLD_SIZE", "1")) - reserved)
    return lambda count: count * per_image <= usable


def count_graph_bytes(method: FeatureMethod, precision: Precision, images: Tensor) -> int:
    """Return the bytes that autograd keeps for the backward pass through the backbone, without parameters."""
    parameters = {parameter.untyped_storage().data_ptr() for parameter in method.backbone.parameters()}
    kept: dict[int, int] = {}
    held: list[Tensor] = []

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            kept[storage.data_ptr()] = storage.nbytes()
            held.append(tensor)  # a freed storage's address could be reused
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor), precision.autocast():
        method.features(images, Place())
    return sum(kept.values())


def available_bytes() -> int:
    """Return the bytes this process may still allocate: the machine's available memory, or its cgroup's if less."""
    available = _machine_bytes()
    for limit, usage in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        if Path(limit).is_file() and (text := Path(limit).read_text().strip()).isdigit():
            available = min(available, int(text) - int(Path(usage).read_text()))
    return max(available, 0)


def _machine_bytes() -> int:
    information = Path("/proc/meminfo")
    if information.is_file():
        for line in information.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return 1024 * int(line.split()[1])
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def _forward_and_backward(method: FeatureMethod, precision: Precision, images: Tensor) -> None:
    with precision.autocast():
        features = [tensor for tensor in method.features(images, Place()).values() if tensor.requires_grad]
    torch.autograd.backward(features, [torch.zeros_like(tensor) for tensor in features])
