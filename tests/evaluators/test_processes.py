"""Two real processes over gloo judge a checkpoint as one does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from evaluators.lookup import find_evaluator
from evaluators.parts import data
from pretrain.datasets import open_split
from tests.evaluators.conftest import Curves, Few, MakeCheckpoint, context, resolved
from tests.processes import running

# 90 images in batches of 40 leave a last batch of 10; the validation images don't divide by two.
FEW = {"train": 90, "val": 51}
OPTIONS = {"epochs": 2, "global_batch_size": 40}


def evaluate(name: str, checkpoint: Path, directory: Path, **options: Any) -> tuple[Any, Curves]:
    torch.set_num_threads(1)
    curves = Curves()
    config = resolved(name, backbone=checkpoint.stem, **(options or OPTIONS))
    return find_evaluator(name).evaluate(checkpoint, config, context(directory, curves)), curves


def worker(rank: int, checkpoint: Path, directory: Path) -> None:
    data.open_split = few  # type: ignore[attr-defined]
    for name in ("linear", "finetune"):
        metrics, curves = evaluate(name, checkpoint, directory / name)
        assert bool(curves.rows) == (rank == 0)
        torch.save(metrics, directory / f"{name}-{rank}.pt")


def few(name: str, root: Path | None, split: str) -> Few:
    return Few(open_split(name, root, split), FEW[split])


MIXED = {
    "epochs": 2,
    "global_batch_size": 40,
    "drop_path_rate": 0.5,
    "mixup": {"mixup_alpha": 0.8, "cutmix_alpha": 1.0, "label_smoothing": 0.1},
    "optimizer": {
        "warmup_epochs": 0,
        "base_learning_rate": 0.02,
        "layer_decay": 0.7,
        "clip_norm": 0.5,
        "rate_changes": "step",
    },
    "pooling": "mean",
}


def mixing_worker(rank: int, checkpoint: Path, directory: Path) -> None:
    data.open_split = few  # type: ignore[attr-defined]
    torch.save(evaluate("finetune", checkpoint, directory / "run", **MIXED)[0], directory / f"mixed-{rank}.pt")


@pytest.mark.slow
def test_mixing_and_drop_path_do_not_depend_on_the_number_of_processes(
    make_checkpoint: MakeCheckpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Drawn for the global batch: a draw of each process's own moves the loss by several per cent."""
    monkeypatch.setattr(data, "open_split", few)
    checkpoint = make_checkpoint("tiny_vit")
    with running(2, mixing_worker, checkpoint, tmp_path):
        alone = evaluate("finetune", checkpoint, tmp_path / "alone", **MIXED)[0]
    for rank in range(2):
        found = torch.load(tmp_path / f"mixed-{rank}.pt", weights_only=True)
        assert found["train_loss"] == pytest.approx(alone["train_loss"], rel=1e-4)


@pytest.mark.slow
def test_two_processes_judge_like_one(
    make_checkpoint: MakeCheckpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shares, gradient averaging, batch statistics and accuracies are right, or the losses part."""
    monkeypatch.setattr(data, "open_split", few)
    checkpoint = make_checkpoint("tiny_resnet")
    with running(2, worker, checkpoint, tmp_path):
        alone = {name: evaluate(name, checkpoint, tmp_path / f"{name}-alone")[0] for name in ("linear", "finetune")}
    for name, expected in alone.items():
        for rank in range(2):
            found = torch.load(tmp_path / f"{name}-{rank}.pt", weights_only=True)
            assert found["train_loss"] == pytest.approx(expected["train_loss"], rel=1e-3)
            assert found["top1"] == pytest.approx(expected["top1"], abs=100 / FEW["val"] + 1e-3)
