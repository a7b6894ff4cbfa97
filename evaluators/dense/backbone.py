"""Wraps this suite's backbones for OpenMMLab's libraries: images in, feature maps out.

The libraries' own networks differ from the pretrained ones: FCN's shipped configuration has another stem (ResNetV1c),
and the ViT-S has 6 heads where MoCo-v3's has 12. They also need renamed keys, which can lose weights silently. So the
pretrained module is rebuilt by its own builder, and every key must load. Its features equal those of the libraries'
networks with equal weights (tests/evaluators/dense/test_backbone.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import torch
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from pretrain.backbones.families.drop_path import set_drop_path
from pretrain.backbones.lookup import find_backbone
from pretrain.checkpoint import load_exactly, load_state

_STAGES = ("layer1", "layer2", "layer3", "layer4")
_MEASURED_SIDE = 128


@MODELS.register_module()
class OperaBackbone(BaseModule):
    """A pretrained backbone that returns feature maps; everything trains unless stages are frozen.

    A ViT returns the patch tokens after the blocks of ``out_indices`` as maps (B, width, H/patch, W/patch), without the
    final normalisation, as in MMSegmentation's DeiT configurations. A ResNet returns the maps after its four stages.

    Parameters
    ----------
    checkpoint
        A ``backbone.safetensors`` with its header, read when the model is initialised; None to start from random
        weights.
    image_size
        Side of the training images in pixels; a ViT's position embedding is resized to it once. Images of other sizes
        are padded to whole patches, and the embedding is resized to their grid in ``forward``.
    output_stride
        8 gives a ResNet's last two stages dilations 2 and 4 instead of strides, as FCN needs; None changes nothing.
    frozen_stages
        As in MMDetection: −1 freezes nothing, 0 a ResNet's stem, n ≥ 1 the stem and the first n stages.
    norm_eval
        Whether batch normalisation keeps its pretrained statistics.
    """

    def __init__(
        self,
        name: str,
        checkpoint: str | None = None,
        image_size: int = 224,
        out_indices: tuple[int, ...] = (0, 1, 2, 3),
        output_stride: int | None = None,
        drop_path_rate: float = 0.0,
        frozen_stages: int = -1,
        norm_eval: bool = False,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        module = find_backbone(name)
        self.family = module.INFO.family
        self.checkpoint = checkpoint
        self.out_indices = tuple(out_indices)
        self.norm_eval = norm_eval
        # MoCo-v3 does not train the patch projection and the position embedding; here every parameter trains.
        self.model = module.build(image_size).requires_grad_(True)
        if output_stride is not None:
            dilate(self.model)
        set_drop_path(self.model, drop_path_rate)
        self._frozen = [] if frozen_stages < 0 else self._stem_and_stages(frozen_stages)
        for frozen in self._frozen:
            frozen.requires_grad_(False)

    def init_weights(self) -> None:
        """Load the checkpoint; raise InputError if a key is missing or left over."""
        if self.checkpoint is not None:
            state, _ = load_state(Path(self.checkpoint))
            if self.family == "vit":
                embedding = state["pos_embed"]
                grid = cast(Any, self.model).patch_embed.grid_size
                state["pos_embed"] = resize_position_embedding(embedding, grid)
            load_exactly(self.model, state, what=self.checkpoint)
        self._is_init = True

    def train(self, mode: bool = True) -> OperaBackbone:
        super().train(mode)
        for frozen in self._frozen:
            frozen.eval()
        if self.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Map images (B, 3, H, W) to one (B, C, H/stride, W/stride) per entry of ``out_indices``."""
        if self.family == "vit":
            stages = self._vit_stages(images)
        else:
            _stem, *stages = cast(Any, self.model).forward_intermediates(images, intermediates_only=True)
        return tuple(stage for index, stage in enumerate(stages) if index in self.out_indices)

    def _vit_stages(self, images: Tensor) -> list[Tensor]:
        # timm's forward_intermediates resizes the embedding with antialiasing, MMSegmentation without.
        model = cast(Any, self.model)
        patch = model.patch_embed.patch_size[0]
        height, width = images.shape[-2:]
        patches = model.patch_embed.proj(F.pad(images, (0, -width % patch, 0, -height % patch)))
        rows, columns = patches.shape[-2:]
        embedding = model.pos_embed
        if (rows, columns) != tuple(model.patch_embed.grid_size):
            embedding = resize_position_embedding(embedding, (rows, columns))
        class_token = model.cls_token.expand(len(images), -1, -1)
        tokens = torch.cat([class_token, patches.flatten(2).transpose(1, 2)], dim=1) + embedding
        maps = []
        for block in model.blocks:
            tokens = block(tokens)
            maps.append(tokens[:, 1:].transpose(1, 2).unflatten(2, (rows, columns)))
        return maps

    def _stem_and_stages(self, count: int) -> list[nn.Module]:
        model = cast(Any, self.model)
        return [model.conv1, model.bn1, *(getattr(model, stage) for stage in _STAGES[:count])]


def resize_position_embedding(embedding: Tensor, grid: tuple[int, int]) -> Tensor:
    """Return the position embedding of a square image (1, 1 + n², C) resized to (1, 1 + rows·columns, C)."""
    from timm.layers import resample_abs_pos_embed  # type: ignore[attr-defined]

    resized: Tensor = resample_abs_pos_embed(embedding, list(grid), antialias=False)
    return resized


def dilate(model: nn.Module) -> None:
    """Replace the strides of a ResNet's last two stages with dilations 2 and 4, which keeps the resolution.

    The first block of a stage has the dilation of the previous stage, as with MMSegmentation's ``contract_dilation``.
    """
    for stage, before, dilation in (("layer3", 1, 2), ("layer4", 2, 4)):
        for number, block in enumerate(getattr(model, stage)):
            # In a basic block the second convolution has the full dilation, in the first block too.
            first = before if number == 0 else dilation
            for name, module in block.named_modules():
                if not isinstance(module, nn.Conv2d):
                    continue
                module.stride = (1, 1)
                if module.kernel_size == (3, 3):
                    is_second = name == "conv2" and block.conv1.kernel_size == (3, 3)
                    amount = dilation if is_second else first
                    module.dilation = module.padding = (amount, amount)


def measure_features(name: str, *, image_size: int, output_stride: int | None = None) -> list[tuple[int, int]]:
    """Return channels and stride of every feature map of a backbone, on torch's meta device without computing."""
    indices = tuple(range(100))
    with torch.device("meta"), torch.no_grad():
        backbone = OperaBackbone(name, image_size=image_size, out_indices=indices, output_stride=output_stride)
        maps = backbone.eval()(torch.empty(1, 3, _MEASURED_SIDE, _MEASURED_SIDE))
    return [(features.shape[1], _MEASURED_SIDE // features.shape[2]) for features in maps]
