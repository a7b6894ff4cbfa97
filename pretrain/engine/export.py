"""Writes checkpoints: the final ones, and the backbone after single epochs.

The latter lie beside the final ones, e.g. ``checkpoints/backbone-epoch0050.safetensors``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, cast

from torch import nn

from pretrain.backbones.lookup import find_backbone
from pretrain.checkpoint import BACKBONE_FILE, METHOD_FILE, CheckpointHeader, header_path, save_checkpoint
from pretrain.compute import ComputeOptions
from pretrain.config import PretrainConfig
from pretrain.method import Method

_EPOCH_FILE = re.compile(r"backbone-epoch(\d+)\.safetensors")


def export(method: nn.Module, config: PretrainConfig, directory: Path) -> dict[str, CheckpointHeader]:
    """Write the final backbone and the whole method; return their headers by role."""
    return {
        "method": _write(directory / METHOD_FILE, "method", method, config, config.epochs),
        "backbone": _write(directory / BACKBONE_FILE, "backbone", method, config, config.epochs),
    }


def epoch_file(epoch: int) -> str:
    return f"backbone-epoch{epoch:04}.safetensors"


def kept_epochs(directory: Path) -> list[int]:
    """Return the epochs whose backbones are in ``directory``, in order."""
    matches = (_EPOCH_FILE.fullmatch(path.name) for path in directory.glob("*.safetensors"))
    return sorted(int(match[1]) for match in matches if match)


def keep_backbone(
    method: nn.Module, config: PretrainConfig, directory: Path, epoch: int, options: ComputeOptions
) -> None:
    """Write the backbone after ``epoch`` epochs if the options keep it, then delete those they don't keep."""

    def is_permanent(number: int) -> bool:
        return options.keep_every_epochs > 0 and number % options.keep_every_epochs == 0

    if not is_permanent(epoch) and not options.keep_last:
        return
    _write(directory / epoch_file(epoch), "backbone", method, config, epoch)
    for old in kept_epochs(directory):
        if not is_permanent(old) and old <= epoch - options.keep_last:
            # Delete the header first: weights without a header don't count as a checkpoint.
            header_path(directory / epoch_file(old)).unlink(missing_ok=True)
            (directory / epoch_file(old)).unlink()


def _write(
    path: Path, role: Literal["backbone", "method"], method: nn.Module, config: PretrainConfig, epochs: int
) -> CheckpointHeader:
    info = find_backbone(config.backbone).INFO
    header = {
        "role": role,
        "backbone": info.name,
        "num_heads": info.num_heads,
        "position_embedding": info.position_embedding,
        "image_size": config.image_size,
        "normalisation": config.normalisation,
        "method": config.method,
        "epochs": epochs,
        "run_id": path.parent.parent.name,
    }
    module = cast(Method, method).exported_backbone() if role == "backbone" else method
    return save_checkpoint(path, module.state_dict(), header)
