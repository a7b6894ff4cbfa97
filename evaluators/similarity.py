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
    ``opera-bench evaluate similarity --checkpoint RUN_ID``
Expected
    Not printed in the paper. Crops are drawn from the seed: a repeated run gives the same numbers on the same machine.
Runtime
    Forward passes of 2 × ``images`` crops; the digits: about a second on one core.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from evaluators.interface import Context, EvaluatorConfig
from pretrain.config import CropScale, Integer, PretrainConfig, Probability
from pretrain.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from evaluators.parts.data import Splits

KINDS = ("view", "same_class", "different_class")
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
    import torch

    from evaluators.parts.data import open_splits
    from pretrain.checkpoint import load_backbone
    from pretrain.distributed import get_rank
    from pretrain.views.evaluation import normalise

    backbone, header = load_backbone(checkpoint)
    splits = open_splits(config, context)
    device = torch.device(context.device)
    method = _method(checkpoint, context.subject, splits) if context.subject else None
    represent = getattr(method, "represent", lambda features: {"backbone": features})
    for model in (backbone, method):
        if model is not None:
            model.to(device).eval()
    first: dict[str, list[Tensor]] = {}
    second: dict[str, list[Tensor]] = {}
    labels: list[int] = []
    with torch.no_grad():
        for views, targets in _view_batches(splits, config, header.image_size):
            labels += targets
            for found, images in zip((first, second), views, strict=True):
                features = backbone(normalise(images.to(device), header.normalisation))
                for name, vectors in represent(features).items():
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


def _method(checkpoint: Path, config: PretrainConfig, splits: Splits) -> nn.Module:
    """Return the whole trained method, rebuilt from its run's configuration; a hierarchy has ``represent``.

    Raises
    ------
    InputError
        The weights are missing, altered or of another method.
    """
    from pretrain.checkpoint import METHOD_FILE, load_exactly, load_state
    from pretrain.datasets import find_dataset
    from pretrain.methods.interface import RunFacts
    from pretrain.methods.lookup import build_method, find_method

    weights = checkpoint.parent / METHOD_FILE
    state, header = load_state(weights)
    method = build_method(
        config.method,
        find_method(config.method),
        config.method_options,
        backbone=header.backbone,
        run=RunFacts.of(config, find_dataset(config.dataset).INFO.sizes["train"]),
        num_classes=_class_count(state) or splits.num_classes,
    )
    load_exactly(method, state, what=str(weights))
    return method


def _class_count(state: dict[str, Tensor]) -> int | None:
    """Return the class head's number of outputs, which may differ from the number of classes in the evaluated data."""
    layers = {
        int(name.split(".")[2]): t for name, t in state.items() if name.startswith("heads.class.") and t.ndim == 2
    }
    return layers[max(layers)].shape[0] if layers else None


def _view_batches(splits: Splits, config: Config, image_size: int) -> Iterator[tuple[list[Tensor], list[int]]]:
    """Yield batches of two uint8 views (B, 3, H, W) each, and their labels."""
    import torch

    from evaluators.parts.data import EVALUATION_BATCH_SIZE
    from pretrain.randomness import derive_seed
    from pretrain.views.crop import crop_and_resize, random_resized_crop_box, sample_rng

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
                box = random_resized_crop_box(image.height, image.width, config.crop_scale, (3 / 4, 4 / 3), rng)
                crop = crop_and_resize(image, box, image_size)
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
