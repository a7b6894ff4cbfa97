"""BEiT (Bao et al., arXiv 2106.08254): predict the tokens that another network gives to the hidden patches.

Source: microsoft/unilm ``beit``: ``modeling_pretrain.py``, ``masking_generator.py``, ``datasets.py``,
``engine_for_pretraining.py``. A learned token replaces the embeddings of hidden blocks of patches, and a linear layer
classifies the tokens of those patches. The first view is the backbone's image. The second is the same crop in the size
that the tokenizer needs; its tokens are the classes. The loss is the mean over the hidden patches of all processes; the
official code averages the means of its processes.

The tokenizer is a file: a state dict of DALL-E's encoder, named by its SHA-256 and found as ``pretrain.assets`` says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from pretrain.config import Integer, PretrainConfig, Probability, Strict
from pretrain.errors import InputError
from pretrain.methods.parts.requirements import IMAGE, require_patches
from pretrain.metrics import FEATURE_STD, Metric

if TYPE_CHECKING:
    from torch import nn

    from pretrain.methods.interface import RunFacts

PIXELS_PER_TOKEN = 8
"""Side in pixels of the square of which the tokenizer makes a token."""

METRICS = (
    Metric(
        name="masked_loss",
        label="Cross-entropy of the tokens of hidden patches",
        unit="nats",
        higher_is_better=False,
        decimals=3,
    ),
    Metric(
        name="token_top1",
        label="Top-1 accuracy on the tokens of hidden patches",
        unit="%",
        higher_is_better=True,
        decimals=1,
    ),
    FEATURE_STD,
)


class Config(Strict):
    """The tokenizer and the masks of BEiT."""

    tokenizer_sha256: str = Field(
        default="", pattern=r"^([0-9a-f]{64})?$", description="of a state dict of DALL-E's encoder; must be set"
    )
    masked_patches: Integer = Field(default=75, gt=0, description="most patches that an image hides")
    smallest_block: Integer = Field(default=16, gt=0, description="patches of the smallest block")
    drop_path_rate: Probability = Field(default=0.1, description="of the last block, rising linearly from 0")


def check(config: PretrainConfig) -> None:
    """Refuse a run without a tokenizer, a backbone without patches, and views that don't belong together.

    Raises
    ------
    InputError
        Always with the setting to change.
    """
    patch = require_patches(config)
    if not config.method_options["tokenizer_sha256"]:
        raise InputError(
            "tokenizer_sha256: beit needs the SHA-256 of its tokenizer, a state dict of DALL-E's encoder, which "
            "sha256sum prints",
            key=("tokenizer_sha256",),
        )
    side = config.image_size // patch * PIXELS_PER_TOKEN
    views = [(view.size, view.repeats) for view in config.each_view]
    if views != [(config.image_size, None), (side, IMAGE)]:
        raise InputError(
            f"views: beit takes two, the backbone's image of {config.image_size} pixels and, with repeats: 0 and size: "
            f"{side}, the same crop with {PIXELS_PER_TOKEN} pixels for each of the tokenizer's tokens",
            key=("views",),
        )
    if (hidden := config.method_options["masked_patches"]) >= (config.image_size // patch) ** 2:
        raise InputError(f"masked_patches: {hidden} leaves no patch to be seen", key=("masked_patches",))


def build(config: Config, *, backbone: nn.Module, feature_dimension: int, num_classes: int, run: RunFacts) -> nn.Module:
    from pretrain.assets import find_asset
    from pretrain.methods.networks.beit import BEiT
    from pretrain.methods.parts.tokenizer import load_tokenizer

    path = find_asset(config.tokenizer_sha256, setting="tokenizer_sha256", what="the state dict of DALL-E's encoder")
    return BEiT(config, backbone, feature_dimension, load_tokenizer(path), run.normalisation)
