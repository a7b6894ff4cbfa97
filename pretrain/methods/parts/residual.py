"""The start of a ResNet's residual branches."""

from __future__ import annotations

from torch import nn


def open_residual_branches(backbone: nn.Module) -> None:
    """Set the scale of the last batch normalisation of every residual block to 1, in place; other backbones stay.

    The backbones here start it at 0. MoCo's and BYOL's papers trained ResNets that start it at 1.
    """
    for block in backbone.modules():
        if hasattr(block, "zero_init_last"):
            last = block.bn3 if hasattr(block, "bn3") else block.bn2
            nn.init.ones_(last.weight)  # type: ignore[union-attr, arg-type]
