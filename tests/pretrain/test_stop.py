"""A run that is asked to stop and is started again ends as one that nobody stopped, to the bit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from pretrain.engine import PretrainOutcome, pretrain
from pretrain.engine.state import load_training_state
from pretrain.errors import StoppedEarly
from tests.pretrain.test_engine import same_bits, tiny_config

EPOCHS = 2
"""Of ten steps."""


def train(directory: Path, rows: list[dict[str, Any]], should_stop: Callable[[], bool]) -> PretrainOutcome:
    def report(*, epoch: float, total_epochs: float, values: Mapping[str, float]) -> None:
        rows.append({"epoch": epoch, **values})

    torch.set_num_threads(1)
    return pretrain(
        tiny_config(epochs=EPOCHS),
        run_directory=directory,
        data_root=None,
        device="cpu",
        num_workers=0,
        report=report,
        should_stop=should_stop,
    )


def after_steps(count: int) -> Callable[[], bool]:
    """Says stop when it is asked for the ``count``-th time."""
    asked = iter(range(1, count + 1))
    return lambda: next(asked) == count


def never() -> bool:
    return False


def test_stopped_within_an_epoch_at_its_end_and_right_after_a_run_ends_with_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A row every four steps: a stop then also falls into the middle of what a row is the mean of.
    monkeypatch.setattr("pretrain.engine.train.ROWS_PER_RUN", 5)
    calm, stopped = tmp_path / "calm", tmp_path / "stopped"
    calm_rows: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    undisturbed = train(calm, calm_rows, never)
    for steps, reached in ((3, 3), (7, 10), (1, 11)):
        with pytest.raises(StoppedEarly, match=f"after step {reached} of {10 * EPOCHS}; the training state is saved"):
            train(stopped, rows, after_steps(steps))
        state = load_training_state(stopped / "checkpoints")
        assert state is not None
        assert state["step"] == reached
    outcome = train(stopped, rows, never)

    assert outcome.metrics == undisturbed.metrics
    assert rows == calm_rows
    for name in ("backbone.safetensors", "method.safetensors"):
        assert same_bits(stopped / "checkpoints" / name, calm / "checkpoints" / name)


def test_a_wish_to_stop_after_the_last_step_changes_nothing(tmp_path: Path) -> None:
    outcome = train(tmp_path, [], after_steps(10 * EPOCHS))
    assert outcome.checkpoints.keys() == {"backbone", "method"}
