"""MoCo-v1 (He et al., arXiv 1911.05722): queries against the keys of earlier steps, which a queue holds.

backbone → **instance** (one linear layer). View 0 gives queries, view 1 keys of the target network. A step moves the
target, computes keys and loss, and then puts the keys into the queue. Source: facebookresearch/moco ``builder.py``.

Batch normalisation is MoCo's shuffled one (``pretrain.methods.parts.batch_norm``): each group of ``batch_norm_group``
images, 32 as on each of the authors' eight GPUs, has statistics of its own, and keys are computed in another order than
queries, so that their statistics don't tell which key is the positive. A process needs whole groups.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from pretrain.config import WIDEST, Integer, PretrainConfig, Strict
from pretrain.errors import InputError
from pretrain.hierarchy import BACKBONE, Head, Hierarchy, InstanceContrast, Space
from pretrain.methods.parts.requirements import require_two_views
from pretrain.metrics import FEATURE_STD

if TYPE_CHECKING:
    from torch import nn

    from pretrain.methods.interface import RunFacts

LONGEST_QUEUE = 2**24
INSTANCE_DIMENSION = "embedding_dimension"
METRICS = (*InstanceContrast.METRICS, FEATURE_STD)


class Config(Strict):
    """Temperature, target and queue of MoCo-v1; the defaults are those of its ImageNet run."""

    temperature: float = Field(default=0.07, gt=0)
    target_momentum: float = Field(default=0.999, ge=0, le=1, description="constant")
    queue_size: Integer = Field(default=65536, gt=0, le=LONGEST_QUEUE, description="keys; a multiple of the batch")
    embedding_dimension: Integer = Field(default=128, gt=0, le=WIDEST, description="output of the projector")
    batch_norm_group: Integer = Field(
        default=32, gt=1, description="images that share the statistics of batch normalisation; divides the batch"
    )


def check(config: PretrainConfig) -> None:
    """Refuse other than two views, and a queue or groups that the batch does not fit.

    Raises
    ------
    InputError
        Always with the setting to change.
    """
    require_two_views(config)
    images, options = config.global_batch_size, config.method_options
    if options["queue_size"] % images:
        raise InputError(
            f"queue_size: {options['queue_size']} must be a multiple of the global batch of {images}",
            key=("queue_size",),
        )
    if images % options["batch_norm_group"]:
        raise InputError(
            f"batch_norm_group: {options['batch_norm_group']} must divide the global batch of {images}",
            key=("batch_norm_group",),
        )
    if config.batch_norm:
        raise InputError(
            f"batch_norm: {config.method} has groups of its own; leave this out and set batch_norm_group",
            key=("batch_norm",),
        )


def build_with(config: Config, head: Head, backbone: nn.Module, feature_dimension: int) -> nn.Module:
    """Return the method with this projector; MoCo-v2 uses it too."""
    from pretrain.methods.parts.batch_norm import ShuffledTarget, group_batch_norm, open_residual_branches
    from pretrain.methods.parts.queue import QueueContrast

    open_residual_branches(backbone)
    group_batch_norm(backbone, config.batch_norm_group)
    contrast = QueueContrast(config.queue_size, config.embedding_dimension, config.temperature, "instance")
    hierarchy = Hierarchy(
        (Space("instance", BACKBONE, head, contrast),),
        config.target_momentum,
        momentum_schedule="constant",
        online_views=(0,),
        target_views=(1,),
    )
    return ShuffledTarget(backbone, feature_dimension, hierarchy)


def build(config: Config, *, backbone: nn.Module, feature_dimension: int, num_classes: int, run: RunFacts) -> nn.Module:
    head = Head(1, feature_dimension, config.embedding_dimension, bias=True)
    return build_with(config, head, backbone, feature_dimension)
