"""What is watched while the library's runner trains."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from pretrain.engine import NonFiniteLossError
from tests.evaluators.conftest import Curves
from tests.evaluators.dense.stack import needs

pytestmark = needs("mmseg")


def test_a_loss_between_two_reports_ends_the_training_before_a_checkpoint_is_written() -> None:
    from mmengine.hooks import CheckpointHook
    from mmengine.runner.priority import get_priority

    from evaluators.dense.hooks import ReportHook

    curves = Curves()
    hook = ReportHook(curves, interval=4, images_per_iteration=1, num_images=10)
    assert get_priority(hook.priority) < get_priority(CheckpointHook.priority)
    rates = SimpleNamespace(get_lr=lambda: {"lr": [0.1]})
    for iteration in range(6):
        runner = SimpleNamespace(iter=iteration, max_iters=10, rank=0, optim_wrapper=rates)
        hook.after_train_iter(runner, iteration, outputs={"loss": torch.tensor(1.0)})
    assert [row["epoch"] for row in curves.rows] == [0.4]
    runner = SimpleNamespace(iter=6, max_iters=10, rank=0, optim_wrapper=rates)
    with pytest.raises(NonFiniteLossError, match="loss is nan at iteration 7; the last checkpoint is from before"):
        hook.after_train_iter(runner, 6, outputs={"loss": torch.tensor(float("nan"))})
