"""Cosine similarities between two views of an image, two images of a class, and images of two classes, per space.

Protocol
    ``images`` validation images, two random crops (and flips) each. In each space of the trained method, the backbone's
    and those of its heads, cosine similarities of the first crops with the second: of one image (view pairs), of two
    images of one class, of two images of different classes. Batch normalisation in evaluation mode. The histograms go
    to ``artifacts/similarity.json``.
Source
    OPERA, Corollary 1: "the similarities between different images of the same class should be larger than those between
    images of different classes but smaller than those between the views of the same images".
Command
    ``opera-bench evaluate similarity RUN_ID``
Expected
    Not printed in the paper. Crops are drawn from the seed: a repeated run gives the same numbers on the same machine.
Runtime
    Forward passes of 2 × ``images`` crops; the digits: about a second on one core.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from evaluators.interface import Context, EvaluatorConfig, Metric
from pretrain.config import AugmentationConfig, CropScale, Integer, PretrainConfig, Probability
from pretrain.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from evaluators.parts.data import Splits
    from evaluators.parts.setup import Setup

KINDS = {
    "view": "two views of an image",
    "same_class": "two images of a class",
    "different_class": "two images of different classes",
}
METRICS = tuple(
    Metric(
        name=f"{{space}}_{kind}_cosine",
        label=f"Cosine similarity of {words} in the {{space}} space",
        unit="",
        higher_is_better=None,
        decimals=3,
    )
    for kind, words in KINDS.items()
)
ARTIFACT = "artifacts/similarity.json"
VIEWS = 20
"""Purpose number of the random draws here; other evaluations use smaller ones."""


class Config(EvaluatorConfig):
    """Number of images and how views are cropped. Image size and normalisation are the checkpoint's."""

    images: Integer = Field(
        gt=1, le=10**7, description="of the validation split, drawn from the seed; all when it has fewer"
    )
    crop_scale: CropScale
    flip_probability: Probability
    bins: Integer = Field(gt=0, le=10**6, description="of the histogram over [-1, 1]")


def evaluate(checkpoint: Path, config: Config, context: Context) -> dict[str, float]:
    """Return ``<space>_<kind>_cosine``: the mean cosine similarity of each kind of pair in each space.

    A checkpoint without its whole method, such as a foreign one, is evaluated only in the backbone's space.

    Raises
    ------
    InputError
        The checkpoint or data can't be used, or the labels have no pair of one class or of different classes.
    """
    from evaluators.parts.setup import set_up

    with set_up(checkpoint, config, context) as setup:
        represent = _spaces(checkpoint, config, context.subject, setup)
        return _measure(setup, config, context, represent)


def _measure(
    setup: Setup, config: Config, context: Context, represent: Callable[[Tensor], Mapping[str, Tensor]]
) -> dict[str, float]:
    import torch

    from pretrain.distributed import get_rank

    first: dict[str, list[Tensor]] = {}
    second: dict[str, list[Tensor]] = {}
    labels: list[int] = []
    with torch.no_grad():
        for views, targets in _view_batches(setup.splits, config, setup.header.image_size):
            labels += targets
            for found, images in zip((first, second), views, strict=True):
                for name, vectors in represent(setup.backbone(setup.prepare(images))).items():
                    if vectors.ndim == 2:
                        found.setdefault(name, []).append(vectors.float().cpu())
    truth = torch.tensor(labels)
    kinds = _pairs(truth)
    metrics: dict[str, float] = {}
    counts: dict[str, dict[str, list[int]]] = {}
    for space in first:
        similarity = _cosines(torch.cat(first[space]), torch.cat(second[space]))
        for kind, chosen in kinds.items():
            values = similarity[chosen]
            metrics[f"{space}_{kind}_cosine"] = float(values.mean())
            histogram = torch.histc(values, bins=config.bins, min=-1, max=1)
            counts.setdefault(space, {})[kind] = [int(count) for count in histogram]
    edges = [2 * edge / config.bins - 1 for edge in range(config.bins + 1)]
    if get_rank() == 0:  # every process has computed equal counts
        path = context.work_directory / ARTIFACT
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"edges": edges, "counts": counts}) + "\n", encoding="utf-8")
    return metrics


def _spaces(
    checkpoint: Path, config: Config, subject: PretrainConfig | None, setup: Setup
) -> Callable[[Tensor], Mapping[str, Tensor]]:
    """Return the function that takes the backbone's features to every space of the trained method.

    The method is rebuilt from its run's configuration. Without one, or if it has no ``represent``
    (``pretrain.methods.interface.RepresentingMethod``), there is only the backbone's space.

    Raises
    ------
    InputError
        The method's weights are missing, altered or of another method.
    """
    from pretrain.checkpoint import METHOD_FILE, load_exactly, load_state
    from pretrain.datasets import info_of_run
    from pretrain.methods.interface import RunFacts
    from pretrain.methods.lookup import build_method, find_method

    if subject is None:
        return lambda features: {"backbone": features}
    info = info_of_run(subject.dataset, subject.dataset_version)
    # The data at hand may be a part of the published dataset, with fewer classes.
    is_same = (config.dataset, config.dataset_version) == (subject.dataset, subject.dataset_version)
    num_classes = setup.splits.num_classes if is_same else info.num_classes
    method = build_method(
        subject.method,
        find_method(subject.method),
        subject.method_options,
        backbone=setup.header.backbone,
        run=RunFacts.of(subject, info.sizes["train"]),
        num_classes=num_classes,
    )
    weights = checkpoint.parent / METHOD_FILE
    load_exactly(method, load_state(weights)[0], what=str(weights))
    method.to(setup.device).eval()
    return getattr(method, "represent", lambda features: {"backbone": features})


def _view_batches(splits: Splits, config: Config, image_size: int) -> Iterator[tuple[list[Tensor], list[int]]]:
    """Yield batches of two uint8 views (B, 3, H, W) each, and their labels."""
    import torch

    from evaluators.parts.data import EVALUATION_BATCH_SIZE
    from pretrain.randomness import derive_seed
    from pretrain.views.crop import random_crop, sample_rng

    cropping = AugmentationConfig(crop_scale=config.crop_scale)
    generator = torch.Generator().manual_seed(derive_seed(config.seed, VIEWS))
    chosen = torch.randperm(len(splits.val), generator=generator)[: config.images].tolist()
    flips = torch.rand(2, len(chosen), generator=generator) < config.flip_probability
    for start in range(0, len(chosen), EVALUATION_BATCH_SIZE):
        indices = chosen[start : start + EVALUATION_BATCH_SIZE]
        views: tuple[list[Tensor], list[Tensor]] = ([], [])
        for offset, index in enumerate(indices):
            image = splits.val.image(index)
            for number, found in enumerate(views):
                rng = sample_rng(config.seed, VIEWS, index, number)
                crop = random_crop(image, cropping, image_size, rng)
                found.append(crop.flip(-1) if flips[number, start + offset] else crop)
        yield [torch.stack(found) for found in views], [splits.val.label(index) for index in indices]


def _cosines(first: Tensor, second: Tensor) -> Tensor:
    """Return all pairwise cosines of (N, D) and (N, D) as (N, N), clamped to [-1, 1]."""
    from torch.nn import functional as F

    return (F.normalize(first, dim=1) @ F.normalize(second, dim=1).T).clamp(-1, 1)


def _pairs(labels: Tensor) -> dict[str, Tensor]:
    """Return masks (N, N) of the three kinds of pair.

    Raises
    ------
    InputError
        There is no pair of one kind.
    """
    import torch

    views = torch.eye(len(labels), dtype=torch.bool)
    same = labels[:, None] == labels[None, :]
    kinds = dict(zip(KINDS, (views, same & ~views, ~same), strict=True))
    for kind, mask in kinds.items():
        if not mask.any():
            raise InputError(f"images: among {len(labels)} images there is no {kind.replace('_', ' ')} pair; take more")
    return kinds
