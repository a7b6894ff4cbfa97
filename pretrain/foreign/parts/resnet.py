"""The layout of a ResNet, which timm, torchvision and OpenMMLab share with our backbones. Pure; imports no torch."""

from __future__ import annotations

import re

from pretrain.errors import InputError
from pretrain.foreign.interface import Imported, State
from pretrain.foreign.parts.differences import listed

_CLASSIFIER = ("fc.weight", "fc.bias")
_NORM = "(weight|bias|running_mean|running_var|num_batches_tracked)"
_KEY = re.compile(
    rf"conv1\.weight|bn1\.{_NORM}|layer[1-4]\.\d+\.(conv[1-3]\.weight|bn[1-3]\.{_NORM}|"
    rf"downsample\.0\.weight|downsample\.1\.{_NORM})"
)


def looks_like_resnet(state: State) -> bool:
    """Whether the names are those of a ResNet with a plain stem."""
    return {"conv1.weight", "bn1.weight", "layer1.0.conv1.weight", "layer4.0.conv1.weight"} <= state.keys()


def to_ours(state: State) -> Imported:
    """The backbone; a linear classifier is left out. What is missing shows when the backbone is identified.

    Raises
    ------
    InputError
        A key that no ResNet has.
    """
    backbone = {name: tensor for name, tensor in state.items() if name not in _CLASSIFIER}
    strange = [name for name in backbone if not _KEY.fullmatch(name)]
    if strange:
        raise InputError(f"ResNet: {listed(f'unexpected {name}' for name in strange)}")
    return Imported(backbone, None, left_out=tuple(name for name in _CLASSIFIER if name in state))
