"""Two real processes over gloo give what one gives on the same global batch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import nn

from pretrain.checkpoint import load_state
from pretrain.config import PretrainConfig
from pretrain.distributed import AllReduceBatchNorm
from pretrain.engine import pretrain, train
from tests.pretrain.test_engine import run, tiny_config
from tests.processes import running


def worker(rank: int, config: PretrainConfig, directory: Path) -> None:
    # Every row is due for a state, by clocks that differ: the processes must still agree.
    train.MINUTES_BETWEEN_STATES = rank * 1e-3

    def report(*, epoch: float, total_epochs: float, values: Mapping[str, float]) -> None:
        with (directory / "losses.txt").open("a") as file:
            file.write(f"{values['loss']}\n")

    pretrain(config, run_directory=directory, data_root=None, device="cpu", num_workers=0, report=report)


def test_two_processes_train_like_one(tmp_path: Path) -> None:
    """Key gathering, batch statistics, gradient averaging and sampler shares are all right, or the curves part."""
    config = tiny_config(epochs=1)
    one: list[dict[str, float]] = []
    run(config, tmp_path / "one", one)

    directory = tmp_path / "two"
    directory.mkdir()
    with running(2, worker, config, directory):
        pass
    two = [float(line) for line in (directory / "losses.txt").read_text().split()]
    assert two == pytest.approx([row["loss"] for row in one], rel=2e-4)

    alone = load_state(tmp_path / "one" / "checkpoints" / "method.safetensors")[0]
    together = load_state(directory / "checkpoints" / "method.safetensors")[0]
    assert alone.keys() == together.keys()
    for name in ("backbone.bn1.running_mean", "target_heads.projection.1.running_var"):
        torch.testing.assert_close(together[name], alone[name], rtol=1e-3, atol=1e-5)


def test_batch_norm_from_all_reduces_equals_torchs_in_one_process(tmp_path: Path) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    try:
        torch.manual_seed(0)
        ours, theirs = AllReduceBatchNorm(5), nn.BatchNorm2d(5)
        for images in torch.randn(3, 4, 5, 3, 2):
            first, second = images.clone().requires_grad_(), images.clone().requires_grad_()
            a, b = ours(first), theirs(second)
            torch.testing.assert_close(a, b)
            (a * torch.arange(a.numel()).view_as(a)).sum().backward()
            (b * torch.arange(b.numel()).view_as(b)).sum().backward()
            torch.testing.assert_close(first.grad, second.grad, rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(ours.running_mean, theirs.running_mean)
        torch.testing.assert_close(ours.running_var, theirs.running_var)
        torch.testing.assert_close(ours.eval()(images), theirs.eval()(images))
    finally:
        torch.distributed.destroy_process_group()
