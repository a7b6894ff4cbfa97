"""The set-up that protocols share, by the evaluator that docs/adding.md shows."""

from __future__ import annotations

import re
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from evaluators.parts.setup import set_up
from pretrain.checkpoint import load_backbone
from pretrain.metrics import require_declared
from pretrain.views.evaluation import centre_crop_transform, normalise
from tests.evaluators.conftest import DIGITS, IMAGE_SIZE, Few, MakeCheckpoint, context, resolved

PAGE = Path(__file__).parents[2] / "docs" / "adding.md"


@pytest.fixture
def angle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The page's evaluator as a module."""
    (text,) = re.findall(r"```python\n(\"\"\"Angle to.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "angle.py").write_text(text, encoding="utf-8")
    spec = spec_from_file_location("angle", tmp_path / "angle.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "angle", module)  # pydantic looks annotations up there
    spec.loader.exec_module(module)
    return module


def features_by_hand(checkpoint: Path, images: Any) -> npt.NDArray[np.float64]:
    backbone, _ = load_backbone(checkpoint)
    transform = centre_crop_transform(IMAGE_SIZE, "bicubic")
    crops = torch.stack([transform(images.image(index)) for index in range(len(images))])
    with torch.no_grad():
        features: npt.NDArray[np.float64] = backbone(normalise(crops, DIGITS)).double().numpy()
    lengths: npt.NDArray[np.float64] = np.linalg.norm(features, axis=1, keepdims=True)
    return features / lengths


def test_the_evaluator_of_the_page_agrees_with_a_loop(
    angle: Any, tmp_path: Path, make_checkpoint: MakeCheckpoint, few_digits: dict[str, Few]
) -> None:
    config = angle.Config(
        dataset="digits", dataset_version="1", seed=0, recipe={"id": "angle", "version": 1, "source": "the page"}
    )
    checkpoint = make_checkpoint()
    metrics = angle.evaluate(checkpoint, config, context(tmp_path))
    assert require_declared("evaluator angle", angle.METRICS, metrics)["angle"].unit == "mrad"
    train, val = (features_by_hand(checkpoint, few_digits[split]) for split in ("train", "val"))
    nearest = [min(np.arccos(np.clip(other @ image, -1, 1)) for other in train) for image in val]
    assert metrics["angle"] == pytest.approx(1000 * np.mean(nearest), abs=0.5)


def test_every_setting_comes_from_checkpoint_and_configuration(
    tmp_path: Path, make_checkpoint: MakeCheckpoint, few_digits: dict[str, Few]
) -> None:
    config = resolved("linear", seed=5, global_batch_size=32)
    with set_up(make_checkpoint(), config, context(tmp_path, num_workers=2)) as setup:
        assert not setup.backbone.training
        assert (setup.splits.num_classes, len(setup.splits.val)) == (10, 60)
        batches = setup.training_batches(config, repeats=3, drop_last=True)
    assert (batches.image_size, batches.normalisation, batches.seed) == (IMAGE_SIZE, DIGITS, 5)
    assert (batches.global_batch_size, batches.num_workers, batches.repeats, batches.drop_last) == (32, 2, 3, True)
    assert batches.augmentation == config.augmentation
