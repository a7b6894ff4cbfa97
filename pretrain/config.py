"""The resolved and checked configuration of a pretraining run, with everything that affects the result. No torch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal, Self, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)
from pydantic import Strict as StrictMarker
from pydantic_core import CoreSchema

Interpolation = Literal["bilinear", "bicubic", "lanczos"]
Range = tuple[float, float]
Jitter = tuple[float, float, float, float]


def _check_crop_scale(scale: Range) -> Range:
    if not 0 < scale[0] <= scale[1] <= 1:
        raise ValueError("must be [low, high] with 0 < low <= high <= 1, a share of the image's area")
    return scale


def _check_positive_range(values: Range) -> Range:
    if not 0 < values[0] <= values[1]:
        raise ValueError("must be [low, high] with 0 < low <= high")
    return values


def _check_betas(values: Range) -> Range:
    if not (0 <= values[0] < 1 and 0 <= values[1] < 1):
        raise ValueError("must be two numbers in [0, 1)")
    return values


def _check_color_jitter(strengths: Jitter) -> Jitter:
    if min(strengths) < 0 or strengths[3] > 0.5:
        raise ValueError("must be [brightness, contrast, saturation, hue], none negative and hue at most 0.5")
    return strengths


Integer = Annotated[int, StrictMarker()]
"""An integer that was written as one: 3, but not 3.0, "3" or true."""
# Limits far above every published setting; larger values fit no machine.
LARGEST_BATCH = 2**20
MOST_EPOCHS = 100_000
LARGEST_IMAGE = 8192
"""Pixels per side."""
MOST_VIEWS = 100
WIDEST = 2**16
"""Units per layer."""
DEEPEST = 64
"""Layers per head."""
Probability = Annotated[float, Field(ge=0, le=1)]
Betas = Annotated[Range, AfterValidator(_check_betas)]
PositiveNumber = Annotated[float, Field(gt=0)]
CropScale = Annotated[Range, AfterValidator(_check_crop_scale)]
CropRatio = Annotated[Range, AfterValidator(_check_positive_range)]
BlurSigma = Annotated[Range, AfterValidator(_check_positive_range)]
ColorJitter = Annotated[Jitter, AfterValidator(_check_color_jitter)]

_STRICT_TYPES = ("int", "float", "bool", "str")


def _parts(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield every mapping inside one of pydantic's schemas, outermost first."""
    if isinstance(schema, dict):
        yield cast("dict[str, Any]", schema)
    inner = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list | tuple) else ()
    for part in inner:
        yield from _parts(part)


class Strict(BaseModel):
    """Base of every configuration: refuses unknown keys, and is immutable.

    Values are not converted: no field of a subclass, a plugin's included, reads ``true`` or ``"3"`` as a number. Only
    an integer may stand for a float.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema = handler(source)
        for part in _parts(schema):
            if part.get("type") in _STRICT_TYPES:
                part["strict"] = True
        return schema


class RareSettings(Strict):
    """Base of a configuration whose ``RARE`` settings are written only where they differ from their defaults.

    What is written makes the ids of runs, so such a setting leaves the ids of runs without it as they were.
    """

    RARE: ClassVar[frozenset[str]] = frozenset()

    @model_serializer(mode="wrap")
    def _leave_out_rare_defaults(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = type(self).model_fields
        written: dict[str, Any] = serialise(self)
        return {
            key: value
            for key, value in written.items()
            if key not in self.RARE or getattr(self, key) != fields[key].default
        }


class RecipeReference(Strict):
    """The recipe that the hyper-parameters come from; ``changed`` lists the keys that the user set to other values."""

    id: str
    version: Integer = Field(ge=1)
    source: str
    changed: tuple[str, ...] = ()


class OptimizerConfig(Strict):
    """Optimiser, learning rate and weight decay of a pretraining.

    The peak rate is ``base_learning_rate`` times the global batch over ``base_batch_size`` (``linear``), or its square
    root (``sqrt``), or ``base_learning_rate`` itself (``none``). The rate rises to the peak during the warm-up and
    follows ``schedule`` afterwards.
    """

    name: Literal["lars", "adamw", "sgd"]
    base_learning_rate: float = Field(gt=0)
    base_batch_size: Integer = Field(default=256, gt=0)
    weight_decay: float = Field(ge=0)
    momentum: float = Field(default=0.9, ge=0, lt=1, description="LARS and SGD")
    betas: Betas = Field(default=(0.9, 0.999), description="AdamW")
    trust_coefficient: float = Field(default=0.001, gt=0, description="LARS")
    decay_one_dimensional: bool = Field(
        default=True,
        description="AdamW and SGD: whether biases, normalisations and what the backbone exempts decay (LARS: never)",
    )
    learning_rate_scaling: Literal["linear", "sqrt", "none"] = "linear"
    schedule: Literal["cosine", "steps", "constant"] = "cosine"
    rate_changes: Literal["step", "epoch"] = Field(default="step", description="how often the rate is set anew")
    schedule_length: float = Field(
        default=1.0, ge=1, description="times the training: 1.25 ends it before the cosines of rate and decay end"
    )
    warmup_epochs: float = Field(ge=0)
    warmup_steps: Integer = Field(default=0, ge=0, description="the warm-up in steps, with warmup_epochs: 0")
    initial_learning_rate: float = Field(default=0.0, ge=0, description="where the warm-up starts, not scaled")
    final_learning_rate: float = Field(default=0.0, ge=0, description="the floor of the cosine, not scaled")
    decay_epochs: tuple[float, ...] = Field(default=(), description="steps: epochs from which the rate is multiplied")
    decay_factor: float = Field(default=0.1, gt=0, lt=1, description="steps: what it is multiplied with at each")
    final_weight_decay: float | None = Field(
        default=None, ge=0, description="reached at the end on half a cosine; None keeps weight_decay"
    )
    clip_norm: float | None = Field(default=None, gt=0, description="largest norm of the gradients")
    clip_by: Literal["all", "parameter"] = Field(
        default="all", description="whether that is the norm of all gradients together or of each parameter's"
    )

    @model_validator(mode="after")
    def _steps_have_epochs(self) -> Self:
        if bool(self.decay_epochs) != (self.schedule == "steps"):
            raise ValueError("schedule: steps needs decay_epochs, and decay_epochs needs schedule: steps")
        if self.warmup_epochs and self.warmup_steps:
            raise ValueError("warmup_steps: give the warm-up in steps or in epochs; the other must be 0")
        return self

    def peak_learning_rate(self, global_batch_size: int) -> float:
        """Return the learning rate at the end of the warm-up."""
        ratio = global_batch_size / self.base_batch_size
        scales: dict[str, float] = {"linear": ratio, "sqrt": math.sqrt(ratio), "none": 1.0}
        return self.base_learning_rate * scales[self.learning_rate_scaling]


class AugmentationConfig(Strict):
    """How one image is cropped and changed in every training; probabilities are per image."""

    crop_scale: CropScale = Field(default=(0.08, 1.0), description="share of the image's area")
    crop_ratio: CropRatio = Field(default=(3 / 4, 4 / 3), description="width over height")
    flip_probability: Probability = 0.5
    interpolation: Interpolation = "bilinear"
    auto_augment: str | None = Field(default=None, description="timm's notation, e.g. rand-m9-mstd0.5-inc1")
    random_erasing_probability: Probability = Field(default=0.0, description="of a box of noise in the image")


class ViewConfig(RareSettings, AugmentationConfig):
    """One random view of an image in pretraining; strengths are torchvision's."""

    RARE = frozenset({"adds_brightness", "grayscale_first"})

    crop_scale: CropScale = Field(description="share of the image's area")
    color_jitter: ColorJitter | None = Field(default=None, description="brightness, contrast, saturation, hue")
    color_jitter_probability: Probability = 0.8
    adds_brightness: bool = Field(default=False, description="the jitter adds to pixels, as BYOL's; else it multiplies")
    grayscale_first: bool = Field(default=False, description="before the jitter, as in MoCo-v1")
    grayscale_probability: Probability = 0.0
    blur_sigma: BlurSigma = Field(default=(0.1, 2.0), description="pixels")
    blur_probability: Probability = 0.0
    solarize_probability: Probability = 0.0
    size: Integer | None = Field(default=None, gt=0, le=LARGEST_IMAGE, description="pixels, square; None: image_size")
    count: Integer = Field(default=1, ge=1, le=MOST_VIEWS, description="views with these settings, each drawn anew")
    repeats: Integer | None = Field(
        default=None, ge=0, description="number of an earlier view whose random numbers this one uses: the same crop"
    )


class MixingConfig(Strict):
    """Mixup and CutMix of a batch, one of them per step; alpha 0 disables it."""

    mixup_alpha: float = Field(ge=0)
    cutmix_alpha: float = Field(ge=0)
    switch_probability: Probability = Field(default=0.5, description="of CutMix where both are on")


class Normalisation(Strict):
    """Per-channel statistics of images scaled to [0, 1]."""

    mean: tuple[float, float, float]
    std: tuple[PositiveNumber, PositiveNumber, PositiveNumber]


class BatchNormApproximation(Strict):
    """Takes the statistics of the backbone's batch normalisations from fewer images than the global batch."""

    per_micro_batch: Integer = Field(gt=1, description="images, over all processes")


class PretrainConfig(Strict):
    """A pretraining run, without machine settings (device, workers, paths, micro-batches)."""

    method: str
    method_options: dict[str, Any]
    backbone: str
    dataset: str
    dataset_version: str
    image_size: Integer = Field(gt=0, le=LARGEST_IMAGE, description="pixels, square")
    global_batch_size: Integer = Field(gt=1, le=LARGEST_BATCH)
    epochs: Integer = Field(ge=0, le=MOST_EPOCHS)
    optimizer: OptimizerConfig
    views: tuple[ViewConfig, ...] = Field(min_length=1)
    repeated_augmentations: Integer = Field(
        default=1,
        ge=1,
        le=1000,
        description="copies of an image in a batch, each augmented anew; an epoch stays as long",
    )
    mixing: MixingConfig | None = None
    normalisation: Normalisation
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    recipe: RecipeReference
    seed: Integer = Field(ge=0, lt=2**32)
    batch_norm: BatchNormApproximation | None = None

    @model_validator(mode="after")
    def _mixing_needs_pairs(self) -> Self:
        if self.mixing and self.global_batch_size % 2:
            raise ValueError(f"global_batch_size must be even for mixing, not {self.global_batch_size}")
        return self

    @model_validator(mode="after")
    def _views_fit_together(self) -> Self:
        views = self.each_view
        if len(views) > MOST_VIEWS:
            raise ValueError(f"views: at most {MOST_VIEWS} with their counts, not {len(views)}")
        for number, view in enumerate(views):
            if view.repeats is not None and view.repeats >= number:
                raise ValueError(f"views: view {number} repeats view {view.repeats}, which is not an earlier one")
            if self.mixing and view.size != self.image_size:
                raise ValueError(f"mixing: view {number} has {view.size} pixels; with mixing, it must have image_size")
        return self

    @property
    def each_view(self) -> tuple[ViewConfig, ...]:
        """Return the views of an image one by one: ``count`` copies of each, with ``size`` filled in."""
        return tuple(
            view.model_copy(update={"count": 1, "size": view.size or self.image_size})
            for view in self.views
            for _ in range(view.count)
        )
