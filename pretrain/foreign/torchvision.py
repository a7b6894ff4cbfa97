"""torchvision's ResNets, whose names our ResNets use too.

Layout
    ``conv1``, ``bn1``, ``layerS.B.{conv1,bn1,conv2,bn2,conv3,bn3,downsample.0,downsample.1}`` and a linear ``fc``.
Source
    torchvision ``models/resnet.py``.
"""

from __future__ import annotations

from pretrain.checkpoint import CheckpointHeader
from pretrain.errors import InputError
from pretrain.foreign.interface import Exported, Facts, FormatInfo, Imported, State
from pretrain.foreign.parts import resnet

INFO = FormatInfo(
    name="torchvision",
    title="torchvision ResNet",
    source="torchvision models/resnet.py",
    written_as=(".pth", ".safetensors"),
    shared_names=True,
)


def recognise(state: State, facts: Facts) -> bool:
    return resnet.looks_like_resnet(state)


def to_ours(state: State, facts: Facts) -> Imported:
    return resnet.to_ours(state)


def from_ours(state: State, header: CheckpointHeader) -> Exported:
    """Return a ResNet for torchvision.

    Raises
    ------
    InputError
        The backbone is not a ResNet.
    """
    if not resnet.looks_like_resnet(state):
        raise InputError(f"torchvision: only ResNets are written, {header.backbone} is not one; convert it to timm")
    usage = "model.load_state_dict(TENSORS, strict=False)  # all but fc"
    return Exported(dict(state), usage)
