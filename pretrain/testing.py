"""Checks the rule for every method: its numbers must not depend on how a run is computed.

A test of your own method is one line::

    from pretrain.testing import check_method

    def test_my_method() -> None:
        check_method("my_method")
"""

from __future__ import annotations

import copy
import importlib
import io
import math
import multiprocessing
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import start_processes

from pretrain.compute import PLAIN
from pretrain.config import PretrainConfig
from pretrain.distributed import get_rank, get_world_size, mean_over_processes, synchronise_batch_norm
from pretrain.engine.learner import Learner
from pretrain.engine.loader import RawBatch
from pretrain.engine.microbatch import has_batch_norm
from pretrain.engine.prepare import prepare_backbone
from pretrain.engine.step import Precision
from pretrain.method import FeatureMethod, Method
from pretrain.methods.interface import MethodModule, RunFacts
from pretrain.methods.lookup import build_method, find_method
from pretrain.resolve import validate

BACKBONES = ("tiny_vit", "tiny_resnet")
BATCH_SIZE, NUM_CLASSES = 16, 4
STEPS_PER_EPOCH, EPOCHS = 2, 2
STEPS = STEPS_PER_EPOCH * EPOCHS
MICRO_BATCH_SIZE = 5
"""Does not divide the batch: the last micro-batch has one image."""
STEPS_BEFORE_RESTART = 3
"""The restart is in the middle of the second epoch, so that values set only at an epoch's start are lost."""
TOLERANCE = 1e-4
"""Relative, for losses, metrics and states. Another order of sums changes float32 by 1e-5 in a step."""
GRADIENT_TOLERANCE = 5e-3
"""Relative. If a ReLU's input is zero but for rounding, its gradient may pass or not."""
SMALLEST_VALUE, SMALLEST_GRADIENT = 1e-2, 1e-2
"""Smaller values are compared relative to this; smaller gradients relative to this share of all gradients' norm."""

_PROCESSES, _MICRO_BATCHES, _RESTART = "the number of processes", "micro-batches", "a restart"
_REMEDIES = {
    (_PROCESSES, "loss"): "negatives must be gathered from all of them, use pretrain.methods.parts.gather "
    "(gather_with_gradient); the loss is the mean over this process's rows, and random draws derive from batch.place()",
    (_PROCESSES, "gradient"): "rows of other processes must be gathered with gradient, use "
    "pretrain.methods.parts.gather.gather_with_gradient (gather is for targets and keys)",
    (_PROCESSES, "metric"): "log a mean over this process's rows, or compute the metric from gathered rows "
    "(pretrain.methods.parts.gather)",
    (_PROCESSES, "method"): "queues, centres and the like must be computed from the rows of all processes, use "
    "pretrain.methods.parts.gather",
    (_MICRO_BATCHES, ""): "features() and target_features() of an image may depend only on it and on its place, and "
    "loss_from_features() must return what loss() returns",
    (_RESTART, ""): "state of later steps must be in a parameter or a persistent buffer, and random draws must derive "
    "from batch.place()",
}


class MethodFaultError(AssertionError):
    """A method's numbers depend on how the run is computed."""


_KINDS = {"loss": "the loss", "metric": "the metric", "gradient": "the gradient of", "method": "the state"}
_Record = dict[str, Any]
"""Numbers of one step by kind and name, with the state after it, which ``Learner.restore`` takes."""


def check_method(
    method: str | MethodModule,
    *,
    options: Mapping[str, Any] | None = None,
    backbones: Sequence[str] = BACKBONES,
    **settings: Any,
) -> None:
    """Train a few steps in one process, in two, in micro-batches and with a restart, and compare the numbers.

    Micro-batches are skipped if the method is not a ``FeatureMethod`` or the backbone has batch normalisation.

    Parameters
    ----------
    method
        A method's name, or a module or class with ``Config`` and ``build`` that another process can import.
    options
        Options of the method; small widths make the check fast.
    settings
        Other fields of ``PretrainConfig``, such as ``views``.

    Raises
    ------
    MethodFaultError
        Loss, gradients, metrics or state differ. The message says what they depend on and how to mend it.
    InputError
        The method refuses the configuration.
    """
    module: Any = find_method(method) if isinstance(method, str) else method
    name = method if isinstance(method, str) else module.__name__.rpartition(".")[2]
    configs = [_config(name, module, options or {}, backbone, settings) for backbone in backbones]
    # A module can't be pickled; its name can.
    reference = module.__name__ if isinstance(module, ModuleType) else module
    with tempfile.TemporaryDirectory() as directory:
        # Preload torch._dynamo: optimisers import it at their first step, which would take most of the check's time.
        multiprocessing.set_forkserver_preload([__name__, "torch._dynamo"])
        # The fork server may have started with another environment than this process has by now.
        arguments = (reference, configs, Path(directory), dict(os.environ))
        start_processes(_compute, arguments, nprocs=2, start_method="forkserver")
        for config in configs:
            _compare(f"method {name} on {config.backbone}", Path(directory) / config.backbone)


def _config(
    name: str, module: MethodModule, options: Mapping[str, Any], backbone: str, settings: Mapping[str, Any]
) -> PretrainConfig:
    view = {"crop_scale": (0.5, 1.0)}
    rates = {"base_learning_rate": 0.02, "learning_rate_scaling": "none", "weight_decay": 1e-4, "warmup_epochs": 0}
    config = PretrainConfig.model_validate(
        {
            "image_size": 16,
            "global_batch_size": BATCH_SIZE,
            "optimizer": {"name": "sgd", **rates},
            "views": (view, view),
            "normalisation": {"mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)},
            **settings,
            "method": name,
            "method_options": validate(module.Config, options).model_dump(mode="json"),
            "backbone": backbone,
            "dataset": "random pixels",
            "dataset_version": "1",
            "epochs": EPOCHS,
            "recipe": {"id": "check", "version": 1, "source": "pretrain.testing"},
            "seed": 0,
        }
    )
    if hasattr(module, "check"):
        module.check(config)
    return config


def _compute(
    rank: int, reference: Any, configs: Sequence[PretrainConfig], directory: Path, environment: Mapping[str, str]
) -> None:
    """Run one of two processes: rank 0 trains plainly and rank 1 with a restart, then both train together."""
    os.environ.update(environment)
    torch.set_num_threads(1)
    module: Any = importlib.import_module(reference) if isinstance(reference, str) else reference
    for config in configs:
        results = directory / config.backbone
        results.mkdir(exist_ok=True)
        train = _train_with_restart if rank else _train
        torch.save(train(_learner(module, config), module), results / ("restart" if rank else "plain"))
    group = f"file://{directory}/group"
    dist.init_process_group("gloo", init_method=group, rank=rank, world_size=2, timeout=timedelta(minutes=5))
    try:
        dist.barrier()
        for config in configs:
            results = directory / config.backbone
            plain = torch.load(results / "plain", weights_only=True)
            torch.save(_repeat_steps(_learner(module, config), plain), results / f"rank{rank}")
            learner = _learner(module, config, MICRO_BATCH_SIZE)
            if isinstance(learner.method, FeatureMethod) and not has_batch_norm(learner.method.backbone):
                torch.save(_repeat_steps(learner, plain), results / f"micro{rank}")
    finally:
        dist.destroy_process_group()


def _learner(module: MethodModule, config: PretrainConfig, micro_batch_size: int = BATCH_SIZE) -> Learner:
    """Return a learner with a fresh method, prepared on the CPU as in ``engine.train``."""
    torch.manual_seed(config.seed)
    run, device = RunFacts.of(config, STEPS_PER_EPOCH * config.global_batch_size), torch.device("cpu")
    built = build_method(
        config.method,
        module,
        config.method_options,
        backbone=config.backbone,
        run=run,
        num_classes=NUM_CLASSES,
    )
    method = cast(Method, synchronise_batch_norm(built, device).train())
    prepare_backbone(method, config, PLAIN)
    return Learner(method, config, run, NUM_CLASSES, device, Precision.of(config, device), micro_batch_size)


def _train(learner: Learner, _: MethodModule) -> list[_Record]:
    return [_step(learner, number) for number in range(STEPS)]


def _train_with_restart(before: Learner, module: MethodModule) -> list[_Record]:
    records = [_step(before, number) for number in range(STEPS_BEFORE_RESTART)]
    file = io.BytesIO()
    torch.save(before.state(), file)
    after = _learner(module, before.config)
    file.seek(0)
    after.restore(torch.load(file, weights_only=True))
    return records + [_step(after, number) for number in range(STEPS_BEFORE_RESTART, STEPS)]


def _repeat_steps(learner: Learner, plain: list[_Record]) -> list[_Record]:
    """Repeat the plain run's steps, each from the plain run's state, so that rounding errors don't add up."""
    records = []
    for number in range(STEPS):
        if number:
            # A copy, because the optimiser updates the tensors it gets.
            learner.restore(copy.deepcopy(plain[number - 1]))
        records.append(_step(learner, number))
    return records


def _step(learner: Learner, number: int) -> _Record:
    """Run a step on this process's rows of random pixels; the batch does not depend on the number of processes."""
    config, generator = learner.config, torch.Generator().manual_seed(number)
    size = config.global_batch_size
    share = size // get_world_size()
    rows = slice(get_rank() * share, (get_rank() + 1) * share)
    views = []
    for side in learner.run.view_sizes:
        pixels = torch.randint(0, 256, (size, 3, side, side), generator=generator, dtype=torch.uint8)
        views.append(pixels[rows])
    labels = torch.randint(0, NUM_CLASSES, (size,), generator=generator)
    loss, logs = learner(RawBatch(number, tuple(views), labels[rows], torch.arange(size)[rows]))
    if not torch.isfinite(loss):
        raise ValueError(f"the loss of step {number} is {loss.item()}")
    metrics = {name: torch.tensor(value) for name, value in mean_over_processes({"loss": loss, **logs}).items()}
    return {
        "loss": {"": metrics.pop("loss")},
        "metric": metrics,
        "gradient": {name: p.grad.clone() for name, p in learner.method.named_parameters() if p.grad is not None},
        **copy.deepcopy(learner.state()),
    }


def _compare(what: str, results: Path) -> None:
    """Raise MethodFaultError for the first number that differs from the plain run's."""

    def read(file: str) -> list[_Record]:
        return cast("list[_Record]", torch.load(results / file, weights_only=True)) if (results / file).exists() else []

    plain, tolerances = read("plain"), {_RESTART: 0.0, _PROCESSES: TOLERANCE, _MICRO_BATCHES: TOLERANCE}
    for cause, file in ((_RESTART, "restart"), (_PROCESSES, "rank0"), (_MICRO_BATCHES, "micro0")):
        for number, (expected, found) in enumerate(zip(plain, read(file), strict=False)):
            for kind, name, difference in _differences(expected, found, tolerances[cause]):
                subject = f"{_KINDS[kind]} {name}".rstrip()
                remedy = _REMEDIES.get((cause, kind)) or _REMEDIES[cause, ""]
                raise MethodFaultError(f"{what}: {subject} depends on {cause}: {remedy}. Step {number}: {difference}")
    for number, (first, second) in enumerate(zip(read("rank0"), read("rank1"), strict=True)):
        for name, tensor in first["method"].items():
            if not torch.equal(tensor, second["method"][name]):
                raise MethodFaultError(
                    f"{what}: the state {name} depends on {_PROCESSES}: {_REMEDIES[_PROCESSES, 'method']}. "
                    f"Step {number}: the processes' values differ"
                )


def _differences(expected: _Record, found: _Record, tolerance: float) -> Iterator[tuple[str, str, str]]:
    """Yield kind, name and description of each number that differs, causes before consequences."""
    whole = math.hypot(*(float(gradient.norm()) for gradient in expected["gradient"].values()))
    for kind in _KINDS:
        for name in sorted(expected[kind].keys() | found[kind].keys()):
            one, other = expected[kind].get(name), found[kind].get(name)
            if one is None or other is None:
                yield kind, name, "missing in one of the two"
                continue
            # The gradient of a shift before a batch normalisation is only rounding, and so may be tiny weights.
            floor = SMALLEST_GRADIENT * whole if kind == "gradient" else SMALLEST_VALUE * math.sqrt(one.numel())
            error, size = float((one.double() - other.double()).norm()), max(float(one.double().norm()), floor)
            allowed = GRADIENT_TOLERANCE if kind == "gradient" and tolerance else tolerance
            if not error <= allowed * size:
                scalars = f"{one.item():.6g} and {other.item():.6g}" if one.numel() == 1 else ""
                yield kind, name, scalars or f"a difference of {error / size:.2g} of its norm"
