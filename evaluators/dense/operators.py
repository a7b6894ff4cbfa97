"""Provides mmcv's compiled operators from torchvision if mmcv was installed without them.

mmcv's pure-Python wheels have no ``mmcv._ext``, so ``import mmcv.ops``, as in MMDetection, fails. Mask R-CNN needs two
of its operators, NMS and average RoIAlign, and torchvision has both. Every other operator raises on its first call.
If mmcv has compiled operators, they are used.
"""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any, Literal

import torch
import torchvision
from torch import Tensor

_EXTENSION = "mmcv._ext"
_AVERAGE = 1
"""mmcv's code of average pooling in RoIAlign; 0 is maximum pooling."""


def ensure_operators() -> Literal["compiled", "torchvision"]:
    """Make ``mmcv.ops`` importable (call this before importing it); return which operators are in use."""
    loaded = sys.modules.get(_EXTENSION)
    if isinstance(loaded, _TorchvisionExtension):
        return "torchvision"
    if loaded is not None or find_spec(_EXTENSION) is not None:
        return "compiled"
    sys.modules[_EXTENSION] = _TorchvisionExtension()
    return "torchvision"


class _TorchvisionExtension(ModuleType):
    def __init__(self) -> None:
        super().__init__(_EXTENSION, __doc__)
        # mmcv asks importlib whether the extension exists, and importlib reads ``__spec__``.
        self.__spec__ = ModuleSpec(_EXTENSION, None)
        self.nms = nms
        self.roi_align_forward = roi_align_forward
        self.roi_align_backward = roi_align_backward

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def missing(*_: Any, **__: Any) -> None:
            raise NotImplementedError(f"operator {name} needs mmcv with compiled operators; this mmcv has none")

        return missing


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Return the indices of the boxes to keep, best first.

    Parameters
    ----------
    boxes
        (N, 4): left, top, right, bottom.
    offset
        1 if right and bottom are the last pixel inside the box; 0 if they are the edge.
    """
    if offset:
        boxes = boxes + boxes.new_tensor([0, 0, offset, offset])
    kept: Tensor = torchvision.ops.nms(boxes, scores, iou_threshold)
    return kept


def roi_align_forward(
    input: Tensor,  # noqa: A002 - mmcv passes it by this name
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Write (N, C, height, width) averages into ``output``; rois are (N, 5): image, left, top, right, bottom."""
    if pool_mode != _AVERAGE:
        raise NotImplementedError(
            "RoIAlign with maximum pooling needs mmcv with compiled operators; this mmcv has none"
        )
    size = (aligned_height, aligned_width)
    pooled = torchvision.ops.roi_align(input, rois.to(input.dtype), size, spatial_scale, sampling_ratio, aligned)
    output.copy_(pooled)


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Write the gradient with respect to the (B, C, H, W) input into ``grad_input``."""
    batch, channels, height, width = grad_input.shape
    gradient = torch.ops.torchvision._roi_align_backward(
        grad_output.contiguous(),
        rois.to(grad_output.dtype),
        spatial_scale,
        aligned_height,
        aligned_width,
        batch,
        channels,
        height,
        width,
        sampling_ratio,
        aligned,
    )
    grad_input.copy_(gradient)
