"""ResNet-50 as torchvision and MoCo-v3 define it, with zero-initialised residual branches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pretrain.backbones.interface import BackboneInfo

if TYPE_CHECKING:
    from torch import nn

INFO = BackboneInfo(name="resnet50", title="R50", family="resnet", width=2048)


def build(image_size: int) -> nn.Module:
    from timm.models import resnet

    # timm annotates an instance, but its code needs the class.
    block = resnet.Bottleneck
    return resnet.ResNet(block=block, layers=(3, 4, 6, 3), num_classes=0, zero_init_last=True)  # type: ignore[arg-type]
