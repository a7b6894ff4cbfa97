"""An evaluator that takes no time: its metric is a number read from the checkpoint."""

from __future__ import annotations

import json
import os
from pathlib import Path

from pydantic import Field

from evaluators.interface import PER_CLASS_FILE, Context, EvaluatorConfig, Metric

METRICS = (Metric(name="top1", label="Top-1 accuracy", unit="%", higher_is_better=True, headline=True),)


class Config(EvaluatorConfig):
    epochs: int = Field(ge=0)
    crop_scale: tuple[float, float]


def evaluate(checkpoint: Path, config: Config, context: Context) -> dict[str, float]:
    from pretrain.checkpoint import load_state

    state, _ = load_state(checkpoint)
    if os.environ.get("PROBE_FAILS") == "yes":
        raise ValueError("the probe broke")
    context.report(epoch=1, total_epochs=1, values={"loss": 0.5})
    artifacts = context.work_directory / "artifacts"
    artifacts.mkdir(exist_ok=True)
    (artifacts / PER_CLASS_FILE).write_text(json.dumps({"zero": {"IoU": 12.5}, "one": {"IoU": None}}), encoding="utf-8")
    return {"top1": float(state["weight"].sum()) + config.epochs}
