"""A ResNet for small images: one basic block a stage, widths 16 to 128, a 3×3 stem of stride 2 without pooling."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from pretrain.backbones.interface import BackboneInfo

if TYPE_CHECKING:
    from torch import nn

INFO = BackboneInfo(name="tiny_resnet", title="tiny ResNet", family="resnet", width=128)


def build(image_size: int) -> nn.Module:
    from timm.models import resnet
    from torch import nn

    channels = (16, 32, 64, 128)
    # timm annotates an instance, but its code needs the class.
    model: Any = resnet.ResNet(
        block=resnet.BasicBlock,  # type: ignore[arg-type]
        layers=(1, 1, 1, 1),
        channels=channels,
        stem_width=channels[0],
        num_classes=0,
        zero_init_last=True,
    )
    # An ImageNet stem divides the side by 4 and the stages by 8: too much for images of 16 or 32 pixels.
    model.conv1 = nn.Conv2d(3, model.bn1.num_features, kernel_size=3, stride=2, padding=1, bias=False)
    nn.init.kaiming_normal_(model.conv1.weight, mode="fan_out", nonlinearity="relu")
    model.maxpool = nn.Identity()
    return cast("nn.Module", model)
