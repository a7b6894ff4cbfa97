"""Trains and tests with OpenMMLab's runner; resumes from its checkpoints after a kill."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from evaluators.dense.checkpoints import latest_checkpoint
from evaluators.dense.config import DenseConfig, Machine, config_text
from evaluators.dense.library import TITLES, Library, register, versions
from evaluators.interface import PER_CLASS_FILE, Context
from pretrain.backbones.lookup import find_backbone
from pretrain.checkpoint import CheckpointHeader, read_header
from pretrain.datasets import open_any_split
from pretrain.datasets._dense import AnnotatedFiles
from pretrain.distributed import get_rank, get_world_size, process_group, synchronise_batch_norm
from pretrain.errors import without_worker_traceback

ARTIFACTS = "artifacts"
CONFIG_FILE = "config.py"
FACTS_FILE = "evaluation.json"
CONTACT_SHEET_FILE = "predictions.png"
STATE = Path("checkpoints") / "openmmlab"
EXAMPLES = 8

MakeConfig = Callable[[CheckpointHeader, Machine], dict[str, Any]]


def run(
    *, library: Library, checkpoint: Path, config: DenseConfig, context: Context, library_config: MakeConfig
) -> dict[str, float]:
    """Train and test; write configuration, facts, values per class and a contact sheet to ``artifacts/``.

    Parameters
    ----------
    library_config
        Builds the library's configuration from a checkpoint's header and a machine.

    Returns
    -------
    The metrics that the library computed.
    """
    header = read_header(checkpoint)
    backbone = find_backbone(header.backbone).INFO
    config.require_backbone(backbone)
    config.require_fits(backbone)
    device = torch.device(context.device)
    _use_device(device)
    with process_group(device):
        files = open_any_split(config.dataset, context.data_root, "train")
        assert isinstance(files, AnnotatedFiles)
        operators = register(library)
        machine = Machine(
            data_root=str(files.directory),
            checkpoint=str(checkpoint.absolute()),
            work_directory=str(context.work_directory / STATE),
            num_workers=context.num_workers,
            world_size=get_world_size(),
        )
        artifacts = context.work_directory / ARTIFACTS
        if get_rank() == 0:
            artifacts.mkdir(parents=True, exist_ok=True)
            (artifacts / CONFIG_FILE).write_text(config_text(library_config(header, Machine())), encoding="utf-8")
            facts = _facts(library, operators, config, header)
            (artifacts / FACTS_FILE).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
            _announce(facts)
        with without_worker_traceback():
            return _train_and_test(library, library_config(header, machine), config, context, len(files), artifacts)


def _train_and_test(
    library: Library, settings: dict[str, Any], config: DenseConfig, context: Context, num_images: int, artifacts: Path
) -> dict[str, float]:
    from mmengine.config import Config as LibraryConfig
    from mmengine.registry import init_default_scope

    from evaluators.dense.contact_sheet import write_contact_sheet
    from evaluators.dense.hooks import KeepExamples, ReportHook, StopHook
    from evaluators.dense.images import require_images

    init_default_scope(library)
    latest = latest_checkpoint(context.work_directory / STATE)
    complete = {
        **settings,
        # The library keeps loggers and counters under this name for the life of the process, so make it unique.
        "experiment_name": f"{context.work_directory.name}-{time.time_ns()}",
        "launcher": "pytorch" if get_world_size() > 1 else "none",
        # By default the library names a GPU, which a CPU process does not have; None means the model's device.
        "model_wrapper_cfg": {"type": "MMDistributedDataParallel", "broadcast_buffers": False, "device_ids": None},
        "resume": latest is not None,
        "load_from": None if latest is None else str(latest),
    }
    # Don't format: the library writes this text into every checkpoint, and formatting takes seconds each time.
    library_config = LibraryConfig(complete, format_python_code=False)
    runner = synchronising_runner(torch.device(context.device)).from_cfg(library_config)
    interval = settings["default_hooks"]["logger"]["interval"]
    for split in ("train", "test"):
        require_images(runner, split)
    keep = KeepExamples(EXAMPLES)
    runner.register_hook(ReportHook(context.report, interval, config.global_batch_size, num_images))
    runner.register_hook(StopHook(context.should_stop, torch.device(context.device), context.work_directory / STATE))
    runner.register_hook(keep)
    runner.train()
    metrics: dict[str, float] = runner.test()
    if get_rank() == 0:
        (metric,) = runner.test_loop.evaluator.metrics
        per_class = json.dumps(metric.per_class, indent=2, ensure_ascii=False)
        (artifacts / PER_CLASS_FILE).write_text(per_class + "\n", encoding="utf-8")
        write_contact_sheet(artifacts / CONTACT_SHEET_FILE, keep.samples, metric.dataset_meta)
    return metrics


def synchronising_runner(device: torch.device) -> Any:
    """Return the library's runner class, with batch normalisation synchronised over all processes, on CPUs too."""
    from mmengine.runner import Runner

    class SynchronisingRunner(Runner):
        def build_model(self, model: Any) -> torch.nn.Module:
            return synchronise_batch_norm(super().build_model(model), device)

    return SynchronisingRunner


def _use_device(device: torch.device) -> None:
    """Make OpenMMLab use this run's device; by default it takes the current GPU if there is one."""
    if device.type == "cuda":
        torch.cuda.set_device(device)
        return
    from mmengine.device import utils

    utils.DEVICE = "cpu"


def _facts(library: Library, operators: str, config: DenseConfig, header: CheckpointHeader) -> dict[str, Any]:
    """Return facts that help to judge the result and are hard to see in the configuration."""
    return {
        "library": TITLES[library],
        "versions": versions(),
        "mmcv_operators": operators,
        "backbone": header.backbone,
        "checkpoint_sha256": header.sha256,
        "normalisation_layers": config.normalisation_layers,
        "frozen_stages": getattr(config, "frozen_stages", -1),
        "learning_rate": config.optimizer.peak_learning_rate(config.global_batch_size),
        "learning_rate_scale": config.global_batch_size / config.optimizer.base_batch_size,
        "global_batch_size": config.global_batch_size,
        "world_size": get_world_size(),
    }


def _announce(facts: dict[str, Any]) -> None:
    """Print the operators, learning rate and normalisation in use."""
    if facts["mmcv_operators"] == "torchvision":
        print("mmcv has no compiled operators: NMS and RoIAlign come from torchvision", flush=True)
    print(
        f"learning rate {facts['learning_rate']:g} for the global batch of {facts['global_batch_size']}: the recipe's "
        f"rate × {facts['learning_rate_scale']:g}",
        flush=True,
    )
    print(f"normalisation: {facts['normalisation_layers']}; frozen stages: {facts['frozen_stages']}", flush=True)
