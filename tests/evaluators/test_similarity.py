"""Similarities of pairs against loops over pairs, and the hierarchy found again beside a checkpoint."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from evaluators.interface import Context
from evaluators.similarity import ARTIFACT, KINDS, _cosines, _pairs, evaluate
from pretrain.backbones.lookup import find_backbone
from pretrain.checkpoint import BACKBONE_FILE, METHOD_FILE, save_checkpoint
from pretrain.errors import InputError
from pretrain.methods.lookup import find_method
from tests.evaluators.conftest import DIGITS, IMAGE_SIZE, context, resolved, subject
from tests.pretrain.steps import RUN

OPTIONS = {"mlp_dimension": 32, "embedding_dimension": 16, "hidden_dimension": 16}


def trained(directory: Path, method: str = "opera", options: dict[str, Any] | None = None) -> Path:
    """A pretraining's run directory as the engine leaves it; answers the backbone's path."""
    torch.manual_seed(0)
    family, module = find_backbone("tiny_vit"), find_method(method)
    config = module.Config.model_validate(OPTIONS if options is None else options)
    model: Any = module.build(
        config, backbone=family.build(IMAGE_SIZE), feature_dimension=family.INFO.width, num_classes=10, run=RUN
    )
    header = {
        "backbone": "tiny_vit",
        "num_heads": family.INFO.num_heads,
        "position_embedding": family.INFO.position_embedding,
        "image_size": IMAGE_SIZE,
        "normalisation": DIGITS,
        "method": method,
        "epochs": 1,
        "run_id": directory.name,
    }
    checkpoints = directory / "checkpoints"
    save_checkpoint(checkpoints / BACKBONE_FILE, model.backbone.state_dict(), {**header, "role": "backbone"})
    save_checkpoint(checkpoints / METHOD_FILE, model.state_dict(), {**header, "role": "method"})
    return checkpoints / BACKBONE_FILE


def of_opera(directory: Path, **options: Any) -> Context:
    """The context of a judgement of ``trained``."""
    config = find_method("opera").Config.model_validate({**OPTIONS, **options}).model_dump(mode="json")
    opera = subject().model_copy(update={"method": "opera", "method_options": config})
    return replace(context(directory), subject=opera)


def test_pairs_and_cosines_agree_with_a_loop() -> None:
    first, second = torch.randn(7, 5), torch.randn(7, 5)
    labels = torch.tensor([0, 0, 1, 1, 1, 2, 0])
    found, masks = _cosines(first, second), _pairs(labels)
    expected: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for i, a in enumerate(first.numpy()):
        for j, b in enumerate(second.numpy()):
            kind = "view" if i == j else "same_class" if labels[i] == labels[j] else "different_class"
            expected[kind].append(float(a @ b / np.sqrt((a @ a) * (b @ b))))
    for kind, mask in masks.items():
        assert sorted(found[mask].tolist()) == pytest.approx(sorted(expected[kind]), abs=1e-6)
    assert sum(int(mask.sum()) for mask in masks.values()) == 49, "every pair is of one kind"


def test_every_space_of_opera_is_judged(tmp_path: Path, few_digits: object) -> None:
    checkpoint = trained(tmp_path / "pretrain-opera")
    work = tmp_path / "run"
    config = resolved("similarity")
    metrics = evaluate(checkpoint, config, of_opera(work))
    spaces = ("backbone", "projection", "instance", "class")
    assert set(metrics) == {f"{space}_{kind}_cosine" for space in spaces for kind in KINDS}
    assert all(-1 <= value <= 1 for value in metrics.values())
    written = json.loads((work / ARTIFACT).read_text())
    assert (written["edges"][0], written["edges"][-1], len(written["edges"])) == (-1, 1, config.bins + 1)
    for space in spaces:
        counts = written["counts"][space]
        assert sum(counts["view"]) == 60
        assert sum(map(sum, counts.values())) == 60 * 60
    assert evaluate(checkpoint, config, of_opera(work)) == metrics, "nothing is left to chance"


def test_the_histogram_holds_the_means(tmp_path: Path, few_digits: object) -> None:
    work = tmp_path / "run"
    metrics = evaluate(trained(tmp_path / "p"), resolved("similarity", bins=2000), of_opera(work))
    written = json.loads((work / ARTIFACT).read_text())
    middles = (np.array(written["edges"][:-1]) + np.array(written["edges"][1:])) / 2
    for name, value in metrics.items():
        space, _, kind = name.removesuffix("_cosine").partition("_")
        assert np.average(middles, weights=written["counts"][space][kind]) == pytest.approx(value, abs=1e-3)


def test_a_checkpoint_alone_is_judged_in_the_backbones_space(
    tmp_path: Path, make_checkpoint: Any, few_digits: object
) -> None:
    metrics = evaluate(make_checkpoint(), resolved("similarity"), context(tmp_path))
    assert set(metrics) == {f"backbone_{kind}_cosine" for kind in KINDS}


def test_weights_of_another_method_are_refused(tmp_path: Path, few_digits: object) -> None:
    checkpoint = trained(tmp_path / "p")
    with pytest.raises(InputError, match="weights of another model"):
        evaluate(checkpoint, resolved("similarity"), of_opera(tmp_path, hidden_dimension=8))
    (checkpoint.parent / METHOD_FILE).unlink()
    with pytest.raises(InputError, match="no such checkpoint"):
        evaluate(checkpoint, resolved("similarity"), of_opera(tmp_path))


def test_too_few_images_say_so(tmp_path: Path, make_checkpoint: Any, few_digits: object) -> None:
    with pytest.raises(InputError, match="take more"):
        evaluate(make_checkpoint(), resolved("similarity", images=2), context(tmp_path))
