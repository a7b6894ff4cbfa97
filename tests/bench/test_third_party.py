"""A method, an evaluator and a recipe of another distribution are found without touching this repository."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ENTRY_POINTS = """\
[opera_bench.methods]
acme = acme.method

[opera_bench.evaluators]
parameters = acme.parameters

[opera_bench.pretrain.recipes]
acme = acme.recipes

[opera_bench.evaluators.recipes]
acme = acme.judging
"""
METHOD = """\
from pretrain.config import Strict
from pretrain.hierarchy import BACKBONE, ClassLabels, Head, Hierarchy, Space

METRICS = ClassLabels.METRICS

class Config(Strict):
    width: int = 32

def build(config, *, backbone, feature_dimension, num_classes, run):
    from pretrain.hierarchy.module import HierarchicalMethod

    head = Head(2, config.width, num_classes)
    space = Space("class", BACKBONE, head, ClassLabels(1.0))
    return HierarchicalMethod(backbone, feature_dimension, Hierarchy((space,)))
"""
EVALUATOR = """\
from evaluators.interface import EvaluatorConfig, Metric

METRICS = (Metric(name="parameters_count", label="Parameters", unit="", higher_is_better=False, decimals=0),)

class Config(EvaluatorConfig):
    scale: float

def evaluate(checkpoint, config, context):
    from pretrain.checkpoint import load_backbone

    backbone, _ = load_backbone(checkpoint)
    return {"parameters_count": config.scale * sum(p.numel() for p in backbone.parameters())}
"""
PRETRAINING = """\
id: acme-digits
version: 1
source: a test
applies_to: {method: [acme]}
settings:
  image_size: 8
  global_batch_size: 512
  epochs: 1
  optimizer: {name: adamw, base_learning_rate: 1.0e-3, weight_decay: 0.0, warmup_epochs: 0}
  views: [{crop_scale: [0.5, 1.0]}]
"""
JUDGING = """\
id: acme-parameters
version: 3
source: a test
applies_to: {evaluator: [parameters]}
settings: {scale: 2.0}
"""
SWEEP = """\
name: acme
pretrain:
  - {method: acme, backbone: tiny_resnet, dataset: digits, width: 16}
evaluate: [parameters]
"""


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A directory that holds an installed distribution called acme."""
    site = tmp_path / "site"
    files = {
        "acme/__init__.py": "",
        "acme/method.py": METHOD,
        "acme/parameters.py": EVALUATOR,
        "acme/recipes/__init__.py": "",
        "acme/recipes/digits.yaml": PRETRAINING,
        "acme/judging/__init__.py": "",
        "acme/judging/parameters.yaml": JUDGING,
        "acme-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n",
        "acme-1.0.dist-info/entry_points.txt": ENTRY_POINTS,
    }
    for name, text in files.items():
        path = site / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return site


def test_a_sweep_of_another_distributions_method_and_evaluator(elsewhere: Path, tmp_path: Path) -> None:
    sweep = tmp_path / "acme.yaml"
    sweep.write_text(SWEEP)
    program = [sys.executable, "-c", "from bench.cli import main; main()"]
    environment = {**os.environ, "PYTHONPATH": f"{elsewhere}{os.pathsep}{Path.cwd()}"}
    arguments = ["run", str(sweep), "--executor", "inline", "--runs", str(tmp_path / "runs")]
    done = subprocess.run([*program, *arguments], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    records = [json.loads(path.read_text()) for path in sorted((tmp_path / "runs").glob("*/record.json"))]
    judged, pretrained = records
    assert pretrained["config"]["pretrain"]["method_options"] == {"width": 16}
    assert pretrained["recipe"]["id"] == "acme-digits"
    assert judged["recipe"]["version"] == 3
    assert judged["metrics"]["parameters_count"] > 100_000
    told = judged["declarations"]["parameters_count"]
    assert (told["label"], told["unit"], told["higher_is_better"], told["decimals"]) == ("Parameters", "", False, 0)
    assert pretrained["declarations"]["class_top1"]["unit"] == "%"
