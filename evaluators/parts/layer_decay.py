"""Layer-wise decay of the learning rate: the deeper below the head, the smaller the rate.

Source: BEiT's official ``optim_factory.py``, which MAE, SimMIM and iBOT copied. A ViT's embedding of patches and
positions is layer 0, block i is layer i + 1, and everything above the blocks is the layer after the last block. timm's
``param_groups_layer_decay`` differs: it counts the last normalisation as a layer of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from pretrain.errors import InputError

_BELOW_BLOCKS = ("cls_token", "mask_token", "pos_embed", "patch_embed")
_ABOVE_BLOCKS = ("norm", "fc_norm", "rel_pos_bias")


def split_by_layer(
    groups: Sequence[Mapping[str, Any]], model: nn.Module, backbone: nn.Module, layer_decay: float
) -> list[dict[str, Any]]:
    """Return the optimiser's groups, each split by layer, with ``lr_scale``: ``layer_decay`` to the layer's depth below
    the head, whose own scale is 1.

    Parameters
    ----------
    model
        Holds ``backbone`` and, above it, the head.

    Raises
    ------
    InputError
        The backbone has no transformer blocks, or parameters whose layer is unknown.
    """
    depth_of = {id(parameter): 0 for parameter in model.parameters()}
    depth_of |= _depths_below_head(backbone)
    split = []
    for group in groups:
        by_depth: dict[int, list[nn.Parameter]] = {}
        for parameter in group["params"]:
            by_depth.setdefault(depth_of[id(parameter)], []).append(parameter)
        split += [
            {**group, "params": parameters, "lr_scale": layer_decay**depth} for depth, parameters in by_depth.items()
        ]
    return split


def _depths_below_head(backbone: nn.Module) -> dict[int, int]:
    """Return the number of layers from the head down to each parameter of the backbone, by the parameter's ``id``."""
    blocks = getattr(backbone, "blocks", None)
    if not isinstance(blocks, nn.ModuleList | nn.Sequential):
        raise InputError(
            f"optimizer.layer_decay: needs a backbone with a list of transformer blocks called blocks; "
            f"{type(backbone).__name__} has none; set optimizer.layer_decay: 1"
        )
    depths = {}
    for name, parameter in backbone.named_parameters():
        part, _, rest = name.partition(".")
        if part == "blocks":
            depths[id(parameter)] = len(blocks) - int(rest.partition(".")[0])
        elif part in _BELOW_BLOCKS:
            depths[id(parameter)] = len(blocks) + 1
        elif part in _ABOVE_BLOCKS:
            depths[id(parameter)] = 0
        else:
            known = ", ".join((*_BELOW_BLOCKS, "blocks", *_ABOVE_BLOCKS))
            raise InputError(
                f"optimizer.layer_decay: the layer of {name} in {type(backbone).__name__} is unknown, known are "
                f"{known}; set optimizer.layer_decay: 1"
            )
    return depths
