"""Semantic segmentation: the pretrained backbone under FCN or UPerNet, trained as a whole by MMSegmentation.

Protocol
    ADE20K, 160,000 iterations of 16 crops of 512 pixels; a ResNet under FCN (dilated to stride 8, auxiliary FCN head
    of weight 0.4), a ViT under UPerNet on the blocks 3, 6, 9 and 12 (auxiliary FCN head); single scale, whole images,
    after the last iteration. Synchronised batch normalisation in backbone and heads, nothing frozen.
    Preset ``paper`` is what OPERA's text states (SGD 0.01 for both); ``zoo`` is OpenMMLab's (AdamW 6e-5 for ViTs),
    whose model zoo the paper's supervised rows equal to the digit.
Source
    MMSegmentation ``fcn_r50-d8_4xb4-160k_ade20k-512x512`` and ``vit_deit-s16_upernet_8xb2-160k_ade20k-512x512``,
    with the overrides of ``evaluators.dense.segmenter``; OPERA's paper, table 4.
Command
    ``opera-bench evaluate segmentation --checkpoint RUN_ID --dataset ade20k --data DIR``
Expected
    mIoU, ADE20K, ±0.5: OPERA's table 4, beside ours in ``opera-bench tables table4``; the zoo's supervised R50, ViT-S
    and ViT-B reach 36.1, 42.9 and 45.4.
Runtime
    Not measured on ADE20K. The digit scenes: about 40 s on one core.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from evaluators.dense.config import DenseOptimizerConfig
from evaluators.dense.library import require, why_unavailable
from evaluators.interface import Context, EvaluatorConfig
from pretrain.backbones.interface import BackboneInfo
from pretrain.config import LARGEST_BATCH, LARGEST_IMAGE, WIDEST, Integer, Probability
from pretrain.datasets import Kind
from pretrain.errors import InputError

Size = tuple[Integer, Integer]
RESNET_STAGES = 4


class Config(EvaluatorConfig):
    """What is trained on ``dataset`` and how it is judged. Normalisation is the checkpoint's own."""

    KIND: ClassVar[Kind] = "segmentation"
    DEFAULT_DATASET: ClassVar[str | None] = "ade20k"

    preset: Literal["paper", "zoo"] = "paper"
    head: Literal["fcn", "upernet"]
    out_indices: tuple[Integer, Integer, Integer, Integer] = Field(description="stages or blocks, from 0")
    head_channels: Integer = Field(gt=0, le=WIDEST)
    auxiliary_channels: Integer = Field(gt=0, le=WIDEST)
    iterations: Integer = Field(gt=0, le=10**8)
    global_batch_size: Integer = Field(gt=0, le=LARGEST_BATCH)
    crop_size: Integer = Field(gt=0, le=LARGEST_IMAGE, description="pixels, square")
    resize_scale: Size = Field(description="longest and shortest side in pixels, at most")
    resize_ratio: tuple[float, float] = Field(description="of that scale, drawn for each training image")
    flip_probability: Probability
    optimizer: DenseOptimizerConfig
    poly_power: float = Field(gt=0)
    final_learning_rate: float = Field(ge=0, description="not scaled with the batch")
    drop_path_rate: Probability = Field(description="of the last block, rising linearly from 0; ViTs only")
    test_mode: Literal["whole", "slide"] = "whole"
    slide_stride: Integer | None = Field(default=None, gt=0, description="pixels; None: two thirds of the crop")

    @model_validator(mode="after")
    def _warm_up_ends(self) -> Self:
        if self.optimizer.warmup_iterations >= self.iterations:
            raise ValueError(f"warmup_iterations must be below the {self.iterations} iterations")
        return self

    @property
    def normalisation_layers(self) -> str:
        return "synchronised, trained"

    @property
    def frozen_stages(self) -> int:
        return -1

    def require_fits(self, backbone: BackboneInfo) -> None:
        """Refuse a backbone whose feature maps the head is not made for."""
        if (wanted := "resnet" if self.head == "fcn" else "vit") != backbone.family:
            other = "upernet" if self.head == "fcn" else "fcn"
            raise InputError(
                f"head: {self.head} is for a {wanted}, {backbone.name} is a {backbone.family}; use {other}"
            )
        if (count := RESNET_STAGES if backbone.family == "resnet" else backbone.depth) is not None:
            self.require_maps(backbone.name, count)

    def require_maps(self, backbone: str, count: int) -> None:
        """Refuse ``out_indices`` that a backbone of ``count`` stages or blocks can't give in their order."""
        indices = self.out_indices
        if list(indices) != sorted(set(indices) & set(range(count))):
            parts = "stages" if self.head == "fcn" else "blocks"
            raise InputError(
                f"out_indices: {backbone} has {count} {parts}; give four ascending numbers from 0 to {count - 1}, got "
                f"{', '.join(map(str, indices))}"
            )


def unavailable() -> str | None:
    """Why this Python can't run it, in one sentence, or None; imports the library."""
    return why_unavailable("mmseg")


def evaluate(checkpoint: Path, config: Config, context: Context) -> dict[str, float | None]:
    """``mIoU``, ``mAcc`` and ``aAcc`` in percent; per class in ``artifacts/per_class.json``.

    Raises
    ------
    InputError
        MMSegmentation is missing, or a checkpoint or data can't be used; the message names the file.
    NonFiniteLossError
        The loss became NaN or infinite.
    """
    require("mmseg")
    from evaluators.dense.segmenter import segment

    return segment(checkpoint, config, context)
