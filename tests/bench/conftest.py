"""Sweeps over real methods and real digits whose jobs take no time: a fake engine, a fake evaluator, fake recipes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import evaluators
from pretrain.config import PretrainConfig
from pretrain.plugins import plugin_names, shipped_names
from pretrain.recipes import Recipe, model

SWEEP = """\
name: small
pretrain:
  - method: [opera, moco_v3]
    backbone: tiny_vit
    dataset: digits
    seed: [0, 1]
evaluate:
  - probe
tables: [digits]
"""

_TWO_VIEWS = [{"crop_scale": [0.5, 1.0]}, {"crop_scale": [0.5, 1.0]}]
RECIPES = {
    "pretrain.recipes": Recipe(
        id="test-pretrain",
        version=1,
        source="the tests",
        applies_to={"dataset": ("digits",)},
        settings={
            "image_size": 16,
            "global_batch_size": 128,
            "epochs": 2,
            "optimizer": {
                "name": "adamw",
                "base_learning_rate": 1e-3,
                "weight_decay": 0.1,
                "warmup_epochs": 1,
            },
            "views": _TWO_VIEWS,
        },
    ),
    "evaluators.recipes": Recipe(
        id="test-probe",
        version=1,
        source="the tests",
        applies_to={"evaluator": ("probe",)},
        settings={"epochs": 1, "crop_scale": [0.5, 1.0]},
    ),
}


@pytest.fixture(autouse=True)
def fake_recipes_and_evaluator(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One recipe for digits, one evaluator called probe, beside whatever ships."""
    fakes = str(Path(__file__).parent / "fakes")
    monkeypatch.setattr(evaluators, "__path__", [*evaluators.__path__, fakes])
    monkeypatch.setattr(model, "load_recipes", lambda package: (RECIPES[package],))
    plugin_names.cache_clear()
    shipped_names.cache_clear()
    yield
    plugin_names.cache_clear()
    shipped_names.cache_clear()


@pytest.fixture
def write_sweep(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str, name: str = "small.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


@dataclass
class Engine:
    """Stands in for the pretraining loop; ``fails`` names run ids (by a part) that break."""

    trained: list[str] = field(default_factory=list)
    fails: str = ""
    on_start: Callable[[Path], None] = lambda directory: None

    def pretrain(self, config: PretrainConfig, *, run_directory: Path, **_: Any) -> Any:
        import torch

        from pretrain.checkpoint import save_checkpoint
        from pretrain.engine import PretrainOutcome

        self.trained.append(run_directory.name)
        self.on_start(run_directory)
        if self.fails and self.fails in run_directory.name:
            raise ArithmeticError("loss is nan at step 3")
        header = save_checkpoint(
            run_directory / "checkpoints" / "backbone.safetensors",
            {"weight": torch.full((2,), float(config.seed))},
            {
                "role": "backbone",
                "backbone": config.backbone,
                "num_heads": 4,
                "position_embedding": None,
                "image_size": config.image_size,
                "normalisation": config.normalisation,
                "method": config.method,
                "epochs": config.epochs,
                "run_id": run_directory.name,
            },
        )
        return PretrainOutcome({"loss": 1.0}, 100.0, {"backbone": header}, 1)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    import pretrain.engine

    fake = Engine()
    monkeypatch.setattr(pretrain.engine, "pretrain", fake.pretrain)
    monkeypatch.setattr(os, "environ", {**os.environ, "OMP_NUM_THREADS": "1"})
    return fake
