"""Parts of the library's configuration that segmentation and detection share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.config import Config as LibraryConfig

from evaluators.dense.config import DenseOptimizerConfig, Machine
from pretrain.config import Normalisation
from pretrain.errors import InputError

REPORTS = 100
"""Approximate number of points of a training curve."""
KEPT_CHECKPOINTS = 2
"""The library deletes the oldest checkpoint before it writes the next: with only 1, a kill in between loses both."""


def base_config(path: Path) -> dict[str, Any]:
    """Return a configuration shipped with the library, inherited files merged, as plain values."""
    loaded: dict[str, Any] = LibraryConfig.fromfile(str(path)).to_dict()
    return loaded


def preprocessor(base: dict[str, Any], normalisation: Normalisation, **more: Any) -> dict[str, Any]:
    """Return the library's preprocessor with the checkpoint's normalisation, scaled to pixels from 0 to 255."""
    scaled = {
        "mean": [round(255 * value, 6) for value in normalisation.mean],
        "std": [round(255 * value, 6) for value in normalisation.std],
    }
    return {**base, **scaled, "bgr_to_rgb": True, **more}


def optim_wrapper(config: DenseOptimizerConfig, global_batch_size: int) -> dict[str, Any]:
    """Return the optimiser's configuration, with the peak learning rate for the global batch."""
    rate = {"lr": config.peak_learning_rate(global_batch_size), "weight_decay": config.weight_decay}
    if config.name == "sgd":
        optimizer = {"type": "SGD", **rate, "momentum": config.momentum}
    else:
        optimizer = {"type": "AdamW", **rate, "betas": config.betas}
    wrapper: dict[str, Any] = {"type": "OptimWrapper", "optimizer": optimizer, "clip_grad": None}
    if config.undecayed:
        wrapper["paramwise_cfg"] = {"custom_keys": {key: {"decay_mult": 0.0} for key in config.undecayed}}
    return wrapper


def warm_up(config: DenseOptimizerConfig) -> list[dict[str, Any]]:
    """Return the scheduler of the linear warm-up; an empty list if there is none."""
    if not config.warmup_iterations:
        return []
    end = config.warmup_iterations
    return [{"type": "LinearLR", "start_factor": config.warmup_start, "by_epoch": False, "begin": 0, "end": end}]


def batch_per_process(global_batch_size: int, world_size: int) -> int:
    """Return the batch size of each process.

    Raises
    ------
    InputError
        The global batch is not divisible by the number of processes.
    """
    if global_batch_size % world_size:
        raise InputError(f"global_batch_size: {global_batch_size} can't be shared evenly by {world_size} processes")
    return global_batch_size // world_size


def runtime(base: dict[str, Any], *, seed: int, machine: Machine) -> dict[str, Any]:
    """Return scope, environment, seed and directories; no validation during training and no visualisation."""
    return {
        "default_scope": base["default_scope"],
        "custom_imports": {
            "imports": ["evaluators.dense.backbone", f"evaluators.dense.{base['default_scope']}_parts"],
            "allow_failed_imports": False,
        },
        "env_cfg": base["env_cfg"],
        "randomness": {"seed": seed},
        "log_level": "INFO",
        "log_processor": base["log_processor"],
        "visualizer": base["visualizer"],
        "work_dir": machine.work_directory,
    }


def loaders(machine: Machine) -> dict[str, Any]:
    """Return the worker settings of a data loader; workers live as long as the loader."""
    return {"num_workers": machine.num_workers, "persistent_workers": machine.num_workers > 0}
