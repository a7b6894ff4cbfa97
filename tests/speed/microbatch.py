"""Micro-batched steps against plain ones: seconds, and peak memory, each in a process of its own.

A child builds method and uint8 images, runs one small step (threads and caches are there then), sets the kernel's
high-water mark of resident memory back and runs the measured steps. Peak memory is that mark above what was resident
before: activations, gradients, float images. For memory, malloc is told to give back at once what is freed, or the mark
would count what it hoards; for time it is left alone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Case:
    """``plain_batches`` are where the plain step is timed: its graph must fit into memory."""

    backbone: str
    image_size: int
    batch: int
    micro_batch: int
    plain_batches: tuple[int, ...]
    mlp_dimension: int
    precision: str = "fp32"


CASES = (
    Case("tiny_vit", 16, batch=4096, micro_batch=512, plain_batches=(4096, 512), mlp_dimension=256),
    Case("vit_small", 224, batch=256, micro_batch=16, plain_batches=(32,), mlp_dimension=4096, precision="bf16"),
)

_FRUGAL_MALLOC = {"MALLOC_ARENA_MAX": "1", "MALLOC_TRIM_THRESHOLD_": "0", "MALLOC_MMAP_THRESHOLD_": "65536"}


def measure(case: Case, batch: int, micro_batch: int, repeats: int, *, memory: bool) -> dict[str, float]:
    """``seconds`` (the quickest of the repeats) and ``peak_bytes`` of steps, from a fresh process."""
    arguments = json.dumps([vars(case), batch, micro_batch, repeats])
    program = [sys.executable, "-m", "tests.speed.microbatch", arguments]
    environment = {**os.environ, **(_FRUGAL_MALLOC if memory else {})}
    done = subprocess.run(program, check=True, capture_output=True, text=True, env=environment)
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def _child(case: Case, batch: int, micro_batch: int, repeats: int) -> dict[str, float]:
    import torch

    from pretrain.backbones.lookup import find_backbone
    from pretrain.config import PretrainConfig
    from pretrain.engine.augmented import AugmentedBatch
    from pretrain.engine.loader import RawBatch
    from pretrain.engine.prepare import build_step
    from pretrain.engine.step import Precision
    from pretrain.methods import opera
    from tests.pretrain.steps import RUN

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    device, module = torch.device("cpu"), find_backbone(case.backbone)
    options = opera.Config(mlp_dimension=case.mlp_dimension)
    method = opera.build(
        options, backbone=module.build(case.image_size), feature_dimension=module.INFO.width, num_classes=1000, run=RUN
    )
    view = {
        "crop_scale": (0.2, 1.0),
        "color_jitter": (0.4, 0.4, 0.2, 0.1),
        "grayscale_probability": 0.2,
        "blur_probability": 0.5,
    }

    def config_of(size: int) -> PretrainConfig:
        settings: dict[str, Any] = {
            "method": "opera",
            "method_options": options.model_dump(),
            "backbone": case.backbone,
            "dataset": "digits",
            "dataset_version": "speed",
            "image_size": case.image_size,
            "global_batch_size": size,
            "epochs": 1,
            "optimizer": {"name": "adamw", "base_learning_rate": 1e-3, "weight_decay": 0.1, "warmup_epochs": 0},
            "views": [view, view],
            "normalisation": {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)},
            "precision": case.precision,
            "recipe": {"id": "speed", "version": 1, "source": "this file"},
            "seed": 0,
        }
        return PretrainConfig.model_validate(settings)

    def step_of(size: int, micro_batch: int) -> Any:
        config = config_of(size)
        pixels = torch.randint(0, 256, (2, size, 3, case.image_size, case.image_size), dtype=torch.uint8)
        raw = RawBatch(0, tuple(pixels), torch.randint(0, 1000, (size,)), torch.arange(size))
        gradients = build_step(method, Precision.of(config, device), device, micro_batch, size)
        images = AugmentedBatch(raw, config, 1000, 0, device)
        return lambda: gradients(images, 0)

    step_of(4, 2)()
    for parameter in method.parameters():
        parameter.grad = None
    measured = step_of(batch, micro_batch)
    before = _resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        measured()
        seconds.append(time.perf_counter() - start)
    return {"seconds": min(seconds), "peak_bytes": _resident("VmHWM") - before}


def _resident(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return 1024 * int(line.split()[1])
    raise OSError(f"/proc/self/status has no {name}")


def rows() -> Iterator[tuple[str, str, str, str, str, str]]:
    """As the columns of ``make bench``: time against the plain step, memory against the step of one micro-batch."""
    for case in CASES:
        name = f"{case.backbone}, {case.precision}, batch {case.batch} in micro-batches of {case.micro_batch}"
        repeats = 3 if case.batch in case.plain_batches else 1
        cached = measure(case, case.batch, case.micro_batch, repeats, memory=False)["seconds"]
        for batch in case.plain_batches:
            plain = measure(case, batch, batch, repeats, memory=False)["seconds"] * case.batch / batch
            against = f"plain step of {batch}" + ("" if batch == case.batch else f" × {case.batch // batch}")
            yield f"step: {name}", f"{cached:.2f} s", against, f"{plain:.2f} s", f"{cached / plain:.2f}", str(repeats)
        peak = measure(case, case.batch, case.micro_batch, 1, memory=True)["peak_bytes"]
        one = measure(case, case.micro_batch, case.micro_batch, 1, memory=True)["peak_bytes"]
        against = f"plain step of {case.micro_batch}"
        yield f"memory: {name}", f"{peak / 1e6:.0f} MB", against, f"{one / 1e6:.0f} MB", f"{peak / one:.2f}", "1"


if __name__ == "__main__":
    settings, *numbers = json.loads(sys.argv[1])
    print(json.dumps(_child(Case(**settings), *numbers)))
