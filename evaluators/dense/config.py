"""Settings of segmentation and detection, which are hashed, and of the machine, which aren't. Imports no torch."""

from __future__ import annotations

import pprint
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from evaluators.interface import EvaluatorConfig
from evaluators.parts.config import EvaluationOptimizerConfig
from pretrain.backbones.interface import BackboneInfo
from pretrain.config import LARGEST_BATCH, LARGEST_IMAGE, MOST_EPOCHS, WIDEST, Integer, Probability
from pretrain.datasets import Kind
from pretrain.errors import InputError

Size = tuple[Integer, Integer]
SCHEDULES = {"1x": 1, "2x": 2}
RESNET_STAGES = 4


class DenseOptimizerConfig(EvaluationOptimizerConfig):
    """Optimiser and warm-up of a dense training."""

    undecayed: tuple[str, ...] = Field(default=(), description="no decay for parameters with one of these in the name")
    warmup_iterations: Integer = Field(ge=0)
    warmup_start: float = Field(default=1e-6, gt=0, le=1, description="first rate of warm-up, as a share of the peak")


class DenseConfig(EvaluatorConfig):
    """Settings of both dense trainings on ``dataset``. Image normalisation is the checkpoint's."""

    global_batch_size: Integer = Field(gt=0, le=LARGEST_BATCH)
    resize_scale: Size = Field(description="longest and shortest side in pixels, at most")
    flip_probability: Probability
    optimizer: DenseOptimizerConfig

    @property
    def normalisation_layers(self) -> str:
        return "synchronised, trained"


class SegmentationConfig(DenseConfig):
    """Settings of segmentation."""

    KIND: ClassVar[Kind] = "segmentation"
    DEFAULT_DATASET: ClassVar[str | None] = "ade20k"

    preset: Literal["paper", "zoo"] = "paper"
    head: Literal["fcn", "upernet"]
    out_indices: tuple[Integer, Integer, Integer, Integer] = Field(description="stages or blocks, from 0")
    head_channels: Integer = Field(gt=0, le=WIDEST)
    auxiliary_channels: Integer = Field(gt=0, le=WIDEST)
    iterations: Integer = Field(gt=0, le=10**8)
    crop_size: Integer = Field(gt=0, le=LARGEST_IMAGE, description="pixels, square")
    resize_ratio: tuple[float, float] = Field(description="factor on resize_scale, drawn for each training image")
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

    def require_fits(self, backbone: BackboneInfo) -> None:
        """Raise InputError if the head does not fit the backbone's feature maps."""
        if (wanted := "resnet" if self.head == "fcn" else "vit") != backbone.family:
            other = "upernet" if self.head == "fcn" else "fcn"
            raise InputError(
                f"head: {self.head} is for a {wanted}, {backbone.name} is a {backbone.family}; use {other}"
            )
        if (count := RESNET_STAGES if backbone.family == "resnet" else backbone.depth) is not None:
            self.require_maps(backbone.name, count)

    def require_maps(self, backbone: str, count: int) -> None:
        """Raise InputError unless ``out_indices`` are ascending and exist among ``count`` stages or blocks."""
        indices = self.out_indices
        if list(indices) != sorted(set(indices) & set(range(count))):
            parts = "stages" if self.head == "fcn" else "blocks"
            raise InputError(
                f"out_indices: {backbone} has {count} {parts}; give four ascending numbers from 0 to {count - 1}, got "
                f"{', '.join(map(str, indices))}"
            )


class DetectionConfig(DenseConfig):
    """Settings of detection."""

    KIND: ClassVar[Kind] = "detection"
    DEFAULT_DATASET: ClassVar[str | None] = "coco"

    preset: Literal["sync_bn", "zoo"] = "sync_bn"
    schedule: Literal["1x", "2x"] = "1x"
    base_epochs: Integer = Field(gt=0, le=MOST_EPOCHS, description="of 1x; 2x has twice as many")
    base_milestones: tuple[Integer, ...] = Field(description="epochs of 1x after which the rate falls to a tenth")
    smallest_side: Integer = Field(ge=0, description="images below this many pixels are left out of training")
    frozen_stages: Integer = Field(ge=-1, le=4, description="-1 none, 0 the stem, n the first n stages as well")
    norm_eval: bool = Field(description="whether the backbone's batch normalisation keeps its statistics")
    feature_channels: Integer = Field(gt=0, le=WIDEST, description="of FPN and the heads' convolutions")
    box_head_channels: Integer = Field(gt=0, le=WIDEST)
    regions_per_image: Integer = Field(gt=0, description="that the heads are trained on")

    @property
    def epochs_in_all(self) -> int:
        return self.base_epochs * SCHEDULES[self.schedule]

    @property
    def milestones(self) -> list[int]:
        return [epoch * SCHEDULES[self.schedule] for epoch in self.base_milestones]

    @property
    def normalisation_layers(self) -> str:
        return "as pretrained, statistics kept" if self.norm_eval else super().normalisation_layers

    @classmethod
    def require_backbone(cls, backbone: BackboneInfo) -> None:
        """Raise InputError for a backbone other than a ResNet: FPN needs maps at four strides."""
        if backbone.family != "resnet":
            raise InputError(
                f"detection: Mask R-CNN with FPN is for a resnet, {backbone.name} is a {backbone.family}; "
                "in a sweep, say only: {backbone: resnet50}"
            )


@dataclass(frozen=True)
class Machine:
    """Paths and sizes of one machine. The defaults are used in the configuration text that is saved and hashed.

    Parameters
    ----------
    world_size
        Number of processes that share a global batch.
    """

    data_root: str = "data"
    checkpoint: str = "backbone.safetensors"
    work_directory: str = "work"
    num_workers: int = 0
    world_size: int = 1


def config_text(config: Mapping[str, Any]) -> str:
    """Return a configuration as a Python file that OpenMMLab's tools can read; equal on every machine."""
    values = [f"{key} = {pprint.pformat(value, width=110, sort_dicts=False)}\n" for key, value in config.items()]
    return "".join(values)
