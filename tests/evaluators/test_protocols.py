"""Each evaluator from a checkpoint to its metrics: whole, interrupted, and with input it must refuse."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from evaluators.lookup import evaluator_names, find_evaluator
from pretrain.backbones.lookup import find_backbone
from pretrain.checkpoint import CheckpointHeader, header_path
from pretrain.engine import NonFiniteLossError, discard_training_state
from pretrain.errors import InputError, StoppedEarly
from tests.evaluators.conftest import Curves, Few, Killed, MakeCheckpoint, context, resolved

TRAINED_METRICS = {"top1", "top5", "best_top1", "train_loss"}
METRICS = {
    "linear": TRAINED_METRICS,
    "finetune": TRAINED_METRICS,
    "transfer": TRAINED_METRICS,
    "knn": {"knn_top1", "recall_at_1"},
}
NOISY = {
    "mixup": {"mixup_alpha": 0.8, "cutmix_alpha": 1.0},
    "augmentation": {"auto_augment": "rand-m9-mstd0.5-inc1", "random_erasing_probability": 0.25},
    "repeated_augmentations": 3,
    "drop_path_rate": 0.1,
}
"""All of DeiT's randomness."""


def evaluate(name: str, checkpoint: Path, directory: Path, report: Curves | None = None, **options: Any) -> Any:
    config = resolved(name, backbone=checkpoint.stem, **options)
    return find_evaluator(name).evaluate(checkpoint, config, context(directory, report))


HEAVY = ("torch", "timm", "torchvision", "torchmetrics", "numpy", "pandas", "mmengine", "mmcv", "mmseg", "mmdet")


def short(name: str, **options: Any) -> dict[str, Any]:
    return {} if name == "knn" else {"epochs": 1, "global_batch_size": 32, **options}


def test_the_shipped_evaluators_are_found() -> None:
    assert set(METRICS) <= set(evaluator_names())
    assert "parts" not in evaluator_names()


@pytest.mark.parametrize("name", [*METRICS, "segmentation", "detection"])
def test_planning_imports_no_tensor_library(name: str) -> None:
    script = (
        "import sys; from evaluators.lookup import find_evaluator; "
        "from evaluators.parts.availability import ask_availability; "
        f"find_evaluator({name!r}).Config.model_json_schema(); ask_availability({name!r}); "
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize("backbone", ["tiny_vit", "tiny_resnet"])
@pytest.mark.parametrize("name", METRICS)
def test_from_a_checkpoint_to_metrics(
    name: str, backbone: str, make_checkpoint: MakeCheckpoint, few_digits: dict[str, Few], tmp_path: Path
) -> None:
    metrics = evaluate(name, make_checkpoint(backbone), tmp_path / "run", **short(name))
    assert set(metrics) == METRICS[name]
    assert all(type(value) is float for value in metrics.values())
    percentages = {key: value for key, value in metrics.items() if key != "train_loss"}
    assert all(0 <= value <= 100 for value in percentages.values())
    # Whole images of 60: the unit is percent.
    assert all(value * 0.6 == pytest.approx(round(value * 0.6), abs=1e-4) for value in percentages.values())


def test_the_head_has_the_classes_of_the_split_and_few_classes_have_no_top5(
    make_checkpoint: MakeCheckpoint, few_digits: dict[str, Few], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class ThreeClasses(Few):
        num_classes = 3

        def label(self, index: int) -> int:
            return self.images.label(index) % 3

    for split, few in few_digits.items():
        few_digits[split] = ThreeClasses(few.images, few.count)
    for name in ("linear", "transfer"):
        metrics = evaluate(name, make_checkpoint(), tmp_path / name, **short(name))
        assert set(metrics) == TRAINED_METRICS - {"top5"}
        state = torch.load(tmp_path / name / "checkpoints" / "training_state.pt", weights_only=True)
        heads = {**state.get("head", {}), **state.get("model", {})}
        assert heads["weight" if name == "linear" else "head.weight"].shape == (3, find_backbone("tiny_vit").INFO.width)


@pytest.mark.parametrize(
    ("name", "backbone", "options"),
    [
        ("linear", "tiny_resnet", {}),
        ("transfer", "tiny_resnet", {}),
        ("finetune", "tiny_vit", NOISY),
        ("finetune", "tiny_vit", {"mixup": {"mixup_alpha": 0.8}, "drop_path_rate": 0.5}),
        ("linear", "tiny_resnet", {"optimizer": "lars", "rate_changes": "step"}),
        ("finetune", "tiny_beit", {"pooling": "mean", "position_bias": "per_block", "optimizer": {"layer_decay": 0.7}}),
    ],
)
def test_a_killed_evaluation_ends_with_the_same_bits(
    name: str,
    backbone: str,
    options: dict[str, Any],
    make_checkpoint: MakeCheckpoint,
    few_digits: dict[str, Few],
    tmp_path: Path,
) -> None:
    checkpoint = make_checkpoint(backbone)
    asked = {**short(name), "epochs": 3, **options}
    whole, first, second, third = Curves(), Curves(kill_at=2), Curves(kill_at=3), Curves()
    expected = evaluate(name, checkpoint, tmp_path / "whole", whole, **asked)
    for attempt in (first, second):
        with pytest.raises(Killed):
            evaluate(name, checkpoint, tmp_path / "killed", attempt, **asked)
    assert evaluate(name, checkpoint, tmp_path / "killed", third, **asked) == expected
    assert first.rows + second.rows + third.rows == whole.rows
    states = [
        torch.load(tmp_path / run / "checkpoints" / "training_state.pt", weights_only=True)
        for run in ("whole", "killed")
    ]
    assert_same(*states)
    # Killed between the last epoch and the record: nothing is trained again.
    assert evaluate(name, checkpoint, tmp_path / "killed", Curves(kill_at=3), **asked) == expected
    discard_training_state(tmp_path / "killed")
    assert list((tmp_path / "killed" / "checkpoints").iterdir()) == []


@pytest.mark.parametrize("name", ["linear", "finetune"])
@pytest.mark.parametrize("steps", [2, 7])
def test_an_evaluation_that_is_asked_to_stop_within_an_epoch_ends_with_the_same_numbers(
    name: str, steps: int, make_checkpoint: MakeCheckpoint, few_digits: dict[str, Few], tmp_path: Path
) -> None:
    """Four or five steps an epoch: the first is stopped, or the second."""
    checkpoint = make_checkpoint()
    asked = {**short(name), "epochs": 3}
    expected = evaluate(name, checkpoint, tmp_path / "whole", **asked)
    left = iter(range(steps - 1))
    stopping = replace(context(tmp_path / "run"), should_stop=lambda: next(left, None) is None)
    config = resolved(name, backbone=checkpoint.stem, **asked)
    with pytest.raises(
        StoppedEarly, match=f"during epoch {1 if steps == 2 else 2}; the next attempt repeats that epoch"
    ) as stopped:
        find_evaluator(name).evaluate(checkpoint, config, stopping)
    assert stopped.value.progressed == (steps == 7)
    assert evaluate(name, checkpoint, tmp_path / "run", **asked) == expected


def assert_same(one: Any, other: Any) -> None:
    assert type(one) is type(other)
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, list):
        for left, right in zip(one, other, strict=True):
            assert_same(left, right)
    else:
        assert one == other


def test_the_last_epoch_is_reported_and_the_best_beside_it(
    make_checkpoint: MakeCheckpoint, few_digits: dict[str, Few], tmp_path: Path
) -> None:
    curves = Curves()
    # A rate far too high, so that the curve is not monotonic.
    options = {"epochs": 8, "global_batch_size": 32, "base_learning_rate": 300.0}
    metrics = evaluate("linear", make_checkpoint(), tmp_path / "run", curves, **options)
    top1 = [row["top1"] for row in curves.rows]
    assert [row["epoch"] for row in curves.rows] == list(range(1, 9))
    assert metrics["top1"] == top1[-1]
    assert metrics["best_top1"] == max(top1)
    assert max(top1) > top1[-1]


def test_a_loss_that_explodes_names_epoch_and_step(
    make_checkpoint: MakeCheckpoint, few_digits: dict[str, Few], tmp_path: Path
) -> None:
    checkpoint = make_checkpoint()
    with pytest.raises(NonFiniteLossError, match=r"loss is (nan|inf) at epoch 0, step [1-4] \(images digits\[train\]"):
        evaluate("linear", checkpoint, tmp_path / "a", **short("linear", base_learning_rate=1e38))
    with pytest.raises(NonFiniteLossError, match=r"loss is (nan|inf) at epoch 0, step [1-3] \(images digits\[train\]"):
        evaluate("finetune", checkpoint, tmp_path / "b", **short("finetune", optimizer={"base_learning_rate": 1e38}))


@pytest.mark.parametrize("name", METRICS)
def test_what_cannot_be_used_is_refused(
    name: str, make_checkpoint: MakeCheckpoint, few_digits: dict[str, Few], tmp_path: Path
) -> None:
    checkpoint = make_checkpoint()
    too_many: dict[str, Any] = {"neighbours": 137} if name == "knn" else {"global_batch_size": 200}
    with pytest.raises(InputError, match="is more than the 136 training images"):
        evaluate(name, checkpoint, tmp_path / "run", **too_many)
    with pytest.raises(InputError, match="no such checkpoint"):
        evaluate(name, tmp_path / "none" / "tiny_vit.safetensors", tmp_path / "run", **short(name))
    header = json.loads(header_path(checkpoint).read_text())
    other = CheckpointHeader.model_validate({**header, "backbone": "tiny_resnet", "num_heads": None}).sealed()
    header_path(checkpoint).write_text(other.model_dump_json())
    with pytest.raises(InputError, match="weights of another model"):
        evaluate(name, checkpoint, tmp_path / "run", **short(name))
    with pytest.raises(InputError, match=f"unknown option 'epoch' for evaluator {name}"):
        evaluate(name, checkpoint, tmp_path / "run", epoch=3)
