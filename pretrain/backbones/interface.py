"""The interface of a backbone module."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class BackboneInfo:
    """Facts about a backbone that are known without building it.

    Parameters
    ----------
    width
        Size of the feature vector.
    num_heads
        Attention heads; None for convolutional networks. MoCo-v3's ViT-S has 12 and DeiT's has 6, with weights of equal
        shapes: only this number tells them apart.
    position_embedding
        How token positions are encoded; None for convolutional networks. ``relative`` is BEiT's bias on attention,
        which belongs to one image size.
    patch_size
        Side of a token's patch in pixels; None for convolutional networks.
    depth
        Transformer blocks; None for convolutional networks, or if unknown.
    """

    name: str
    title: str
    family: Literal["vit", "resnet"]
    width: int
    num_heads: int | None = None
    position_embedding: Literal["sincos-2d", "learned", "relative"] | None = None
    patch_size: int | None = None
    depth: int | None = None


class BackboneModule(Protocol):
    """The attributes of a module in ``pretrain.backbones``."""

    INFO: BackboneInfo

    def build(self, image_size: int) -> nn.Module: ...
