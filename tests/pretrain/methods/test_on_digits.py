"""Each method learns from digits without collapse, and SimCLR's range of pixels travels with its checkpoint."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from evaluators.interface import Context
from evaluators.lookup import find_evaluator, resolve_evaluation
from pretrain.checkpoint import BACKBONE_FILE, load_backbone, read_header
from pretrain.config import PretrainConfig
from pretrain.datasets import open_split
from pretrain.engine import pretrain
from pretrain.neighbours import weighted_knn_top1
from pretrain.resolve import resolve_pretraining
from pretrain.views.evaluation import CentreCrops

METHODS = ("moco_v1", "moco_v2", "simclr", "simsiam", "byol", "supcon")
RAW = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}


def trained(directory: Path, method: str, **options: Any) -> tuple[PretrainConfig, list[dict[str, float]]]:
    """The configuration, and the values logged during the training."""
    rows: list[dict[str, float]] = []
    torch.set_num_threads(1)
    config = resolve_pretraining(method=method, backbone="tiny_resnet", dataset="digits", seed=0, options=options)
    pretrain(
        config,
        run_directory=directory,
        data_root=None,
        device="cpu",
        num_workers=0,
        report=lambda **row: rows.append(row["values"]),
    )
    return config, rows


def nearest_neighbours(directory: Path, config: PretrainConfig) -> float:
    """The k-NN accuracy of the run's backbone, as the evaluator ``knn`` computes it."""
    settings = resolve_evaluation("knn", subject=config, options={})
    context = Context(data_root=None, work_directory=directory, device="cpu", num_workers=0, report=lambda **_: None)
    found: Any = find_evaluator("knn").evaluate(directory / "checkpoints" / BACKBONE_FILE, settings, context)
    return float(found["knn_top1"])


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_it_learns_and_does_not_collapse(method: str, tmp_path: Path) -> None:
    """At the end unit vectors deviate by a tenth and more of what all directions allow, and neighbours tell digits.

    An untrained ResNet gives all digits almost the same features: its k-NN is right for 18 of 100.
    """
    config, rows = trained(tmp_path, method, epochs=3)
    assert rows[-1]["feature_std"] > 0.1 / math.sqrt(config.method_options["embedding_dimension"])
    assert all(math.isfinite(row["loss"]) for row in rows)
    assert nearest_neighbours(tmp_path, config) > 35


def test_pixels_between_0_and_1_travel_with_the_checkpoint(tmp_path: Path) -> None:
    """The k-NN evaluation equals one by hand on pixels divided by 255, and nothing else."""
    config, _ = trained(tmp_path, "simclr", epochs=1, normalisation=RAW, image_size=8, global_batch_size=512)
    weights = tmp_path / "checkpoints" / BACKBONE_FILE
    assert read_header(weights).normalisation.model_dump() == RAW
    backbone, header = load_backbone(weights)
    features, labels = {}, {}
    for split in ("train", "val"):
        crops = CentreCrops(open_split("digits", None, split), header.image_size, "bicubic")
        pixels, classes = zip(*(crops[number] for number in range(len(crops))), strict=True)
        with torch.no_grad():
            features[split] = backbone(torch.stack(pixels).float() / 255)
        labels[split] = torch.tensor(classes)
    top1 = weighted_knn_top1(
        features=features["train"],
        labels=labels["train"],
        queries=features["val"],
        query_labels=labels["val"],
        neighbours=20,
        temperature=0.07,
        num_classes=10,
    )
    assert nearest_neighbours(tmp_path, config) == pytest.approx(top1, abs=0.3)
