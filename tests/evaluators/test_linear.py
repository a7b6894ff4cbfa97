"""The linear probe: its arithmetic against a hand-written one, and a backbone that does not move."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from evaluators import linear
from evaluators.parts import setup
from evaluators.parts.classifier import HEAD
from evaluators.parts.frozen import assert_unmoved, tensor_hashes
from pretrain.checkpoint import load_backbone
from pretrain.errors import InputError
from pretrain.randomness import derive_seed, epoch_order
from tests.evaluators.conftest import DIGITS, IMAGE_SIZE, Curves, Few, MakeCheckpoint, context, resolved

WHOLE_IMAGE = {"crop_scale": [1.0, 1.0], "crop_ratio": [1.0, 1.0]}


def test_the_rate_follows_moco_v3s_formula() -> None:
    config = resolved("linear", epochs=90, global_batch_size=1024, base_learning_rate=3.0)
    for epoch in (0, 1, 45, 89):
        expected = 3.0 * 1024 / 256 * 0.5 * (1 + math.cos(math.pi * epoch / 90))
        assert linear.learning_rate(config, epoch) == pytest.approx(expected, rel=1e-12)


def test_the_rate_of_mocos_steps_and_of_a_step_of_a_cosine() -> None:
    """MoCo's main_lincls.py multiplies by 0.1 at epochs 60 and 80; BYOL's schedules.py sets the rate at each step."""
    steps: dict[str, Any] = {"epochs": 100, "global_batch_size": 256, "base_learning_rate": 30.0, "schedule": "steps"}
    config = resolved("linear", **steps, decay_epochs=[60, 80])
    expected = {0: 30.0, 59: 30.0, 60: 3.0, 79: 3.0, 80: 0.3, 99: 0.3}
    assert {epoch: linear.learning_rate(config, epoch) for epoch in expected} == pytest.approx(expected)
    config = resolved("linear", epochs=80, global_batch_size=1024, base_learning_rate=0.2, rate_changes="step")
    expected_rate = 0.8 * 0.5 * (1 + math.cos(math.pi * 12345 / (80 * 1252)))
    assert linear.learning_rate(config, 12345 / 1252) == pytest.approx(expected_rate, rel=1e-12)


def test_schedules_that_cannot_be_are_refused() -> None:
    for options, said in (
        ({"schedule": "steps"}, "schedule: steps needs decay_epochs"),
        ({"decay_epochs": [2]}, "decay_epochs needs schedule: steps"),
        ({"schedule": "steps", "decay_epochs": [2, 5], "epochs": 5}, "between 0 and epochs, which is 5"),
        ({"schedule": "steps", "decay_epochs": [3, 2], "epochs": 5}, "decay_epochs must rise"),
        ({"schedule": "steps", "decay_epochs": [2, 2], "epochs": 5}, "decay_epochs must rise"),
        ({"decay_factor": 0.5}, "decay_factor needs schedule: steps"),
        ({"optimizer": "nesterov", "momentum": 0.0}, "momentum must be above 0 for optimizer: nesterov"),
        ({"optimizer": "adamw"}, "optimizer"),
    ):
        with pytest.raises(InputError, match=said):
            resolved("linear", **options)


def test_settings_at_their_defaults_are_not_written_and_so_leave_ids_as_they_were() -> None:
    assert set(resolved("linear").model_dump(mode="json")) == {
        *("dataset", "dataset_version", "recipe", "seed", "epochs", "global_batch_size", "augmentation"),
        *("base_learning_rate", "base_batch_size", "momentum", "weight_decay", "head_init_std"),
    }
    written = resolved("linear", optimizer="lars").model_dump(mode="json")
    assert written["optimizer"] == "lars"
    assert linear.Config.model_validate(written).optimizer == "lars"


PROTOCOLS: dict[str, dict[str, Any]] = {
    "moco-v3": {},
    "moco": {"schedule": "steps", "decay_epochs": [1, 3]},
    "simsiam": {"optimizer": "lars", "base_learning_rate": 100.0, "weight_decay": 1e-3},
    "byol": {"optimizer": "nesterov", "rate_changes": "step"},
    "simclr": {"optimizer": "nesterov", "rate_changes": "step", "head_init_std": 0.0},
}


def change(optimizer: str, velocity: Any, gradient: Any, weight: Any) -> tuple[Any, Any]:
    """A step of rate 1 and the velocity after it; of LARS, apex's LARC(trust_coefficient=0.001, clip=False)."""
    if optimizer == "lars":
        lengths = np.linalg.norm(weight), np.linalg.norm(gradient)
        ratio = 0.001 * lengths[0] / (lengths[1] + 1e-3 * lengths[0] + 1e-8) if min(lengths) > 0 else 1.0
        gradient = ratio * (gradient + 1e-3 * weight)
    velocity = 0.9 * velocity + gradient
    return (gradient + 0.9 * velocity if optimizer == "nesterov" else velocity), velocity


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_training_equals_a_numpy_loop(
    protocol: str, make_checkpoint: MakeCheckpoint, few_digits: dict[str, Few], tmp_path: Path
) -> None:
    """Softmax regression with momentum written out; 136 images in batches of 50 leave a last one of 36."""
    path, epochs, size, seed = make_checkpoint(), 4, 50, 3
    options = {"epochs": epochs, "global_batch_size": size, "augmentation": WHOLE_IMAGE, **PROTOCOLS[protocol]}
    config = resolved("linear", seed=seed, **options)
    curves = Curves()
    found = linear.evaluate(path, config, context(tmp_path / "run", curves))

    backbone, _ = load_backbone(path)
    images, labels = whole_images(few_digits["train"])
    with torch.no_grad():
        features = backbone(images).double().numpy()
    weight = torch.empty(10, features.shape[1])
    weight.normal_(std=config.head_init_std, generator=torch.Generator().manual_seed(derive_seed(seed, HEAD)))
    w, b = weight.double().numpy(), np.zeros(10)
    velocity_w, velocity_b = np.zeros_like(w), np.zeros_like(b)
    for epoch in range(epochs):
        losses = []
        order = epoch_order(len(labels), seed, epoch)
        for step, start in enumerate(range(0, len(order), size)):
            at = epoch + step / 3 if config.rate_changes == "step" else epoch
            fallen = 0.5 * (1 + math.cos(math.pi * at / epochs))
            if protocol == "moco":
                fallen = 0.1 ** ((at >= 1) + (at >= 3))
            rate = config.base_learning_rate * size / 256 * fallen
            rows = order[start : start + size]
            x, y = features[rows], labels[rows]
            logits = x @ w.T + b
            p = np.exp(logits - logits.max(axis=1, keepdims=True))
            p /= p.sum(axis=1, keepdims=True)
            losses += list(-np.log(p[np.arange(len(y)), y]))
            delta = (p - np.eye(10)[y]) / len(y)
            change_w, velocity_w = change(config.optimizer, velocity_w, delta.T @ x, w)
            change_b, velocity_b = change(config.optimizer, velocity_b, delta.sum(axis=0), b)
            w, b = w - rate * change_w, b - rate * change_b
        assert curves.rows[epoch]["train_loss"] == pytest.approx(np.mean(losses), rel=1e-4)
        assert curves.rows[epoch]["learning_rate"] == pytest.approx(rate)
    assert found["train_loss"] == curves.rows[-1]["train_loss"]
    assert found["best_top1"] == max(row["top1"] for row in curves.rows)


def whole_images(images: Any) -> tuple[torch.Tensor, np.ndarray[Any, Any]]:
    """Normalised images (N, 3, 16, 16) and labels, without a crop."""
    resized = [np.array(images.image(index).resize((IMAGE_SIZE, IMAGE_SIZE), 2)) for index in range(len(images))]
    pixels = np.stack(resized).transpose(0, 3, 1, 2) / 255
    mean, std = (np.reshape(values, (1, 3, 1, 1)) for values in (DIGITS.mean, DIGITS.std))
    return torch.from_numpy((pixels - mean) / std).float(), np.array([images.label(i) for i in range(len(images))])


def test_the_backbone_is_left_as_it_was(make_checkpoint: MakeCheckpoint) -> None:
    backbone, _ = load_backbone(make_checkpoint("tiny_resnet"))
    before = tensor_hashes(backbone)
    assert {"conv1.weight", "bn1.running_mean", "bn1.num_batches_tracked"} <= set(before)
    backbone(torch.zeros(2, 3, IMAGE_SIZE, IMAGE_SIZE))
    assert_unmoved(backbone, before)
    backbone.train()(torch.randn(2, 3, IMAGE_SIZE, IMAGE_SIZE))
    with pytest.raises(RuntimeError, match=r"bn1\.running_mean"):
        assert_unmoved(backbone, before)


def test_a_moving_batch_norm_stops_the_probe(
    make_checkpoint: MakeCheckpoint, few_digits: dict[str, Few], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def in_training_mode(path: Path) -> Any:
        backbone, header = load_backbone(path)
        return backbone.train(), header

    monkeypatch.setattr(setup, "load_backbone", in_training_mode)
    config = resolved("linear", backbone="tiny_resnet", epochs=1, global_batch_size=64)
    with pytest.raises(RuntimeError, match=r"frozen backbone moved: bn1\.running_mean"):
        linear.evaluate(make_checkpoint("tiny_resnet"), config, context(tmp_path / "run"))
