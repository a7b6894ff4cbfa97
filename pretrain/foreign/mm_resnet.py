"""The ResNet of MMSegmentation and MMDetection, ``type="ResNet"``, whose names our ResNets use too.

Layout
    torchvision's without the classifier. ``ResNetV1c``, named by many shipped configurations, has a deep stem that
    these weights don't fit. Write ``type="ResNet"`` without ``pretrained``, or the stem stays random.
Source
    mmseg ``models/backbones/resnet.py`` and mmdet ``models/backbones/resnet.py``, style pytorch.
"""

from __future__ import annotations

from pretrain.checkpoint import CheckpointHeader
from pretrain.errors import InputError
from pretrain.foreign.interface import Exported, Facts, FormatInfo, Imported, State
from pretrain.foreign.parts import resnet

INFO = FormatInfo(
    name="mm_resnet",
    title="MMSegmentation and MMDetection ResNet",
    source="mmseg and mmdet models/backbones/resnet.py",
    written_as=(".pth",),
    shared_names=True,
)


def recognise(state: State, facts: Facts) -> bool:
    return resnet.looks_like_resnet(state) and "fc.weight" not in state


def to_ours(state: State, facts: Facts) -> Imported:
    return resnet.to_ours(state)


def from_ours(state: State, header: CheckpointHeader) -> Exported:
    """Return a ResNet-50 for OpenMMLab.

    Raises
    ------
    InputError
        Not a ResNet-50: OpenMMLab builds its ResNet by depth.
    """
    if header.backbone != "resnet50":
        raise InputError(f"mm_resnet: OpenMMLab's ResNet takes resnet50, not {header.backbone}")
    usage = (
        'backbone=dict(type="ResNet", depth=50, style="pytorch", '
        'init_cfg=dict(type="Pretrained", checkpoint="PATH")), pretrained=None'
    )
    return Exported(dict(state), usage)
