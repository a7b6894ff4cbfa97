"""Weighted k-NN: classifies each validation image by its nearest training features; nothing is trained.

Protocol
    Features of the centre crop (resized bicubically), cosine similarity s, the k = 20 nearest training images vote
    with weight exp(s / 0.07). Beside it recall@1: whether the nearest *other validation* feature has the same label.
    Both use the backbone's features. The OPERA release also reports a recall@1 during pretraining, but of another
    embedding (backbone and projector, 256 numbers, bilinear crops): the two are not comparable.
Source
    Wu et al. 2018 (InstDisc, arXiv 1805.01978), section 3.4; facebookresearch/dino ``eval_knn.py``.
Command
    ``opera-bench evaluate knn RUN_ID``
Expected
    knn_top1, ImageNet: neither paper prints one for MoCo-v3 or OPERA; DINO's ViT-S/16 reaches 74.5 under this
    protocol. Nothing is random: a repeated run gives the same number on the same machine.
Runtime
    Not measured on ImageNet: one pass over both splits, forward only. The digits: under a second on one core.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from evaluators.interface import Context, EvaluatorConfig, Metric
from pretrain.config import Integer, Interpolation
from pretrain.errors import InputError

METRICS = (
    Metric(name="knn_top1", label="Top-1 accuracy", unit="%", higher_is_better=True, headline=True),
    Metric(name="recall_at_1", label="Recall@1", unit="%", higher_is_better=True, headline=True),
)


class Config(EvaluatorConfig):
    """Settings of the k-NN vote and of resizing. Image size and normalisation are the checkpoint's."""

    neighbours: Integer = Field(gt=0)
    temperature: float = Field(gt=0)
    interpolation: Interpolation


def evaluate(checkpoint: Path, config: Config, context: Context) -> dict[str, float | None]:
    """Return ``knn_top1`` and ``recall_at_1`` in percent; the second is None if no class has two validation images.

    Raises
    ------
    InputError
        The checkpoint or data can't be used, or ``neighbours`` exceeds the number of training images.
    """
    from evaluators.parts.setup import set_up
    from pretrain.neighbours import recall_at_1, weighted_knn_top1

    with set_up(checkpoint, config, context) as setup:
        splits = setup.splits
        if config.neighbours > len(splits.train):
            raise InputError(f"neighbours: {config.neighbours} is more than the {len(splits.train)} training images")
        features, labels = setup.features(splits.train, config.interpolation)
        queries, query_labels = setup.features(splits.val, config.interpolation)
        top1 = weighted_knn_top1(
            features=features,
            labels=labels,
            queries=queries,
            query_labels=query_labels,
            neighbours=config.neighbours,
            temperature=config.temperature,
            num_classes=splits.num_classes,
        )
        return {"knn_top1": top1, "recall_at_1": recall_at_1(queries, query_labels)}
