"""Checks that a frozen backbone did not change."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import nn


def tensor_hashes(module: nn.Module) -> dict[str, str]:
    """Return the SHA-256 of every parameter and buffer, including buffers that are not in the state dict."""
    tensors = [*module.named_parameters(), *module.named_buffers()]
    return {
        name: hashlib.sha256(
            tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        ).hexdigest()
        for name, tensor in tensors
    }


def assert_unmoved(module: nn.Module, before: Mapping[str, str]) -> None:
    """Check that no tensor changed since ``tensor_hashes``.

    Raises
    ------
    RuntimeError
        A parameter or a buffer, such as a batch normalisation's running mean, has changed.
    """
    for name, digest in tensor_hashes(module).items():
        if before.get(name) != digest:
            raise RuntimeError(f"the frozen backbone moved: {name} changed during the evaluation")
