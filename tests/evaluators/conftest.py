"""Tiny checkpoints that nothing was trained into, and small shares of the digits to judge them on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from evaluators.interface import Context, EvaluatorConfig
from evaluators.lookup import resolve_evaluation
from pretrain.backbones.lookup import find_backbone
from pretrain.checkpoint import save_checkpoint
from pretrain.config import Normalisation, OptimizerConfig, PretrainConfig, RecipeReference, ViewConfig
from pretrain.datasets import LabelledImages, open_split

DIGITS = Normalisation(mean=(0.3061,) * 3, std=(0.3765,) * 3)
IMAGE_SIZE = 16

MakeCheckpoint = Callable[..., Path]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def make_checkpoint(tmp_path: Path) -> MakeCheckpoint:
    """Writes ``<backbone>.safetensors`` as a pretraining of 0 epochs leaves it."""

    def make(backbone: str = "tiny_vit", seed: int = 0) -> Path:
        torch.manual_seed(seed)
        module = find_backbone(backbone)
        header = {
            "role": "backbone",
            "backbone": backbone,
            "num_heads": module.INFO.num_heads,
            "position_embedding": module.INFO.position_embedding,
            "image_size": IMAGE_SIZE,
            "normalisation": DIGITS,
            "method": "random_init",
            "epochs": 0,
            "run_id": "pretrain-test",
        }
        path = tmp_path / f"{backbone}.safetensors"
        save_checkpoint(path, module.build(IMAGE_SIZE).state_dict(), header)
        return path

    return make


def subject(backbone: str = "tiny_vit", dataset: str = "digits", seed: int = 0) -> PretrainConfig:
    """The pretraining a checkpoint under test comes from."""
    return PretrainConfig(
        method="random_init",
        method_options={},
        backbone=backbone,
        dataset=dataset,
        dataset_version="1",
        image_size=IMAGE_SIZE,
        global_batch_size=32,
        epochs=0,
        optimizer=OptimizerConfig(name="adamw", base_learning_rate=1e-3, weight_decay=0, warmup_epochs=0),
        views=(ViewConfig(crop_scale=(0.3, 1.0)),),
        normalisation=DIGITS,
        recipe=RecipeReference(id="test", version=1, source="test"),
        seed=seed,
    )


def resolved(name: str, *, backbone: str = "tiny_vit", seed: int = 0, **options: Any) -> Any:
    config: EvaluatorConfig = resolve_evaluation(name, subject=subject(backbone, seed=seed), options=options)
    return config


@dataclass
class Curves:
    """Rows that an evaluation reported; raises ``Killed`` on reporting epoch ``kill_at``, before noting it."""

    kill_at: float | None = None
    rows: list[dict[str, float]] = field(default_factory=list)

    def __call__(self, *, epoch: float, total_epochs: float, values: Mapping[str, float]) -> None:
        if epoch == self.kill_at:
            raise Killed
        self.rows.append({"epoch": epoch, "total_epochs": total_epochs, **values})


class Killed(Exception):  # noqa: N818
    """Stands for the end of the process."""


def context(directory: Path, report: Curves | None = None, num_workers: int = 0) -> Context:
    return Context(None, directory, "cpu", num_workers, report or Curves())


@dataclass(frozen=True)
class Few:
    """The first ``count`` images of a split."""

    images: LabelledImages
    count: int

    def __len__(self) -> int:
        return self.count

    def __getattr__(self, name: str) -> Any:
        return getattr(self.images, name)


@pytest.fixture
def few_digits(monkeypatch: pytest.MonkeyPatch) -> dict[str, Few]:
    """Evaluations see 136 training and 60 validation digits."""
    few = {"train": Few(open_split("digits", None, "train"), 136), "val": Few(open_split("digits", None, "val"), 60)}
    monkeypatch.setattr("evaluators.parts.data.open_split", lambda name, root, split: few[split])
    return few
