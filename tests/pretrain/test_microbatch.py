"""Micro-batched steps give the whole batch's loss, gradients and statistics."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pretrain.batch import Place
from pretrain.compute import ComputeOptions
from pretrain.config import PretrainConfig
from pretrain.distributed import synchronise_batch_norm
from pretrain.engine import memory, pretrain
from pretrain.engine.microbatch import MicroBatchedStep
from pretrain.engine.step import PlainStep, Precision
from tests.pretrain.steps import CPU, GLOBAL_BATCH, assert_same_gradients, batch_of, built, train, vit_config
from tests.pretrain.test_engine import same_bits, tiny_config
from tests.processes import running


def assert_same_step(config: PretrainConfig, size: int, rank: int = 0, world_size: int = 1) -> None:
    torch.set_num_threads(1)
    plain = synchronise_batch_norm(built(config), CPU)
    cached = copy.deepcopy(plain)
    precision, batch = Precision.of(config, CPU), batch_of(config, rank, world_size)
    loss, logs = PlainStep(plain, precision, CPU)(batch, seed=5)
    cached_loss, cached_logs = MicroBatchedStep(cached, precision, size)(batch, seed=5)

    torch.testing.assert_close(cached_loss, loss, rtol=1e-6, atol=0)
    assert cached_logs.keys() == logs.keys()
    assert_same_gradients(cached, plain, 1e-5)
    # Equal to the rounding of the features they are statistics of.
    for (name, ours), theirs in zip(cached.named_buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-7, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("size", [1, 16, 24, 63])
@pytest.mark.parametrize("method", ["opera", "supervised_mlp"])
def test_one_process(method: str, size: int) -> None:
    """Sizes that divide the batch and sizes that leave a rest of 16 and of one image."""
    options = {} if method == "opera" else {"method": method, "method_options": {"mlp_dimension": 32}}
    assert_same_step(vit_config(**options), size)


MIM = {
    "method": "opera_mim",
    "method_options": {"mlp_dimension": 32, "embedding_dimension": 16, "hidden_dimension": 16, "mask_square": 4},
}


@pytest.mark.parametrize("size", [1, 16, 24, 63])
def test_masks_do_not_depend_on_the_size(size: int) -> None:
    """Masks are the images', so each image's error in the masked space is, too."""
    assert_same_step(vit_config(**MIM), size)


DROPPING = {"method": "supervised", "method_options": {"drop_path_rate": 0.5}}


@pytest.mark.parametrize("size", [1, 16, 24, 63])
def test_dropped_paths_do_not_depend_on_the_size(size: int) -> None:
    assert_same_step(vit_config(**DROPPING), size)


def test_dropped_paths_are_drawn_for_every_image_and_step_and_again_when_checkpointed() -> None:
    config = vit_config(**DROPPING)
    method, batch = built(config), batch_of(config)
    same = torch.zeros_like(batch.view(0)) + batch.view(0)[:1]
    features = method.features(same, Place(1))["backbone"]
    assert len(features.unique(dim=0)) > GLOBAL_BATCH / 4, "one image, dropped in different ways"
    assert torch.equal(method.features(same, Place(1))["backbone"], features)
    assert not torch.equal(method.features(same, Place(2))["backbone"], features)
    assert not torch.equal(method.features(same, Place(1, view=1))["backbone"], features)

    checkpointed = copy.deepcopy(method)
    checkpointed.backbone.set_grad_checkpointing(True)
    for each in (method, checkpointed):
        first, second = (each.features(same, Place(1, view))["backbone"] for view in (0, 1))
        (first * second).sum().backward()
    assert_same_gradients(checkpointed, method, 1e-6)


def in_two_processes(rank: int, config: PretrainConfig) -> None:
    for size in (8, 12, 31):
        assert_same_step(config, size, rank, world_size=2)
        torch.distributed.barrier()
    alone, together = built(config), synchronise_batch_norm(built(config), CPU)
    MicroBatchedStep(together, Precision.of(config, CPU), 12)(batch_of(config, rank, 2), seed=5)
    with torch.no_grad():
        group, torch.distributed.GroupMember.WORLD = torch.distributed.GroupMember.WORLD, None
    try:
        PlainStep(alone, Precision.of(config, CPU), CPU)(batch_of(config), seed=5)
    finally:
        torch.distributed.GroupMember.WORLD = group
    assert_same_gradients(together, alone, 1e-4)


@pytest.mark.parametrize("options", [{}, MIM, DROPPING], ids=["opera", "opera_mim", "supervised"])
def test_two_processes(options: dict[str, Any]) -> None:
    """Each against its own plain step under DistributedDataParallel, and both against one process with all images."""
    with running(2, in_two_processes, vit_config(**options)):
        pass


def test_bf16_features_pass_through_unchanged() -> None:
    """Autocast remembers cast weights; those of the pass without graph must not reach the one with it."""
    config = vit_config(precision="bf16")
    plain = built(config)
    cached = copy.deepcopy(plain)
    precision, batch = Precision.of(config, CPU), batch_of(config)
    loss, _ = PlainStep(plain, precision, CPU)(batch, seed=5)
    cached_loss, _ = MicroBatchedStep(cached, precision, 24)(batch, seed=5)
    torch.testing.assert_close(cached_loss, loss, rtol=1e-2, atol=0)
    assert_same_gradients(cached, plain, 0.1)


class Scaled(torch.amp.GradScaler):
    """Stands for the GPU's scaler, which does nothing here: a loss scale of 1024 without the unscaling."""

    def scale(self, outputs: Tensor) -> Tensor:  # type: ignore[override]
        return outputs * 1024


def test_the_loss_scale_reaches_every_gradient() -> None:
    config = vit_config()
    one, scaled = built(config), built(config)
    plain = Precision.of(config, CPU)
    MicroBatchedStep(one, plain, 24)(batch_of(config), seed=5)
    MicroBatchedStep(scaled, Precision("cpu", None, Scaled("cpu", enabled=False)), 24)(batch_of(config), seed=5)
    for ours, theirs in zip(scaled.parameters(), one.parameters(), strict=True):
        if theirs.grad is not None:
            assert torch.equal(ours.grad, 1024 * theirs.grad)


def test_both_passes_draw_the_same() -> None:
    """With dropout in the backbone, the gradients are those of the loss that was computed: a difference quotient."""
    config = vit_config(method="supervised", method_options={})
    method = built(config, nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(3 * 16 * 16, 64)))
    step = MicroBatchedStep(method, Precision.of(config, CPU), 24)
    batch = batch_of(config)
    weight = method.backbone[2].weight
    step(batch, seed=5)
    gradient = weight.grad.clone()

    def loss(distance: float) -> float:
        with torch.no_grad():
            weight.add_(gradient, alpha=distance)
        value = step(batch, seed=5)[0].item()
        with torch.no_grad():
            weight.sub_(gradient, alpha=distance)
        return value

    slope = (loss(1e-3) - loss(-1e-3)) / 2e-3
    assert slope == pytest.approx((gradient**2).sum().item(), rel=1e-3)


def test_a_resumed_run_ends_with_the_same_bits_and_keeps_the_size_it_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A micro-batched run whose state of epoch 1 another process goes on from, with less memory than before."""
    config = vit_config(global_batch_size=256, epochs=2)
    monkeypatch.setattr(memory, "available_bytes", lambda: 200_000_000)
    sizes: list[int] = []
    whole_step = MicroBatchedStep.__init__

    def spied(self: MicroBatchedStep, method: nn.Module, precision: Precision, size: int) -> None:
        sizes.append(size)
        whole_step(self, method, precision, size)

    monkeypatch.setattr(MicroBatchedStep, "__init__", spied)
    train(config, tmp_path / "whole", micro_batch_size="auto")

    class Killed(BaseException): ...

    def killed_after_the_first_epoch(*, epoch: float, **_: Any) -> None:
        if epoch > 1:
            raise Killed

    arguments: dict[str, Any] = {"data_root": None, "device": "cpu", "num_workers": 0}
    with pytest.raises(Killed):
        pretrain(
            config,
            run_directory=tmp_path / "killed",
            report=killed_after_the_first_epoch,
            compute=ComputeOptions("auto"),
            **arguments,
        )
    monkeypatch.setattr(memory, "available_bytes", lambda: 50_000_000)
    train(config, tmp_path / "killed", micro_batch_size="auto")
    assert sizes[0] < 256
    assert sizes == [sizes[0]] * 3
    for name in ("backbone.safetensors", "method.safetensors"):
        assert same_bits(tmp_path / "whole" / "checkpoints" / name, tmp_path / "killed" / "checkpoints" / name)


@pytest.mark.parametrize("size", [1, 3, 4])
@pytest.mark.parametrize("mixing", [{"mixup_alpha": 0.8, "cutmix_alpha": 0}, {"mixup_alpha": 0, "cutmix_alpha": 1.0}])
def test_mixed_rows_are_those_of_the_whole_batch(size: int, mixing: dict[str, float]) -> None:
    batch = batch_of(tiny_config(global_batch_size=12, mixing=mixing))
    rows = [range(start, min(start + size, 12)) for start in range(0, 12, size)]
    assert torch.equal(torch.cat([batch.view(0, part) for part in rows]), batch.view(0))
    assert batch.labels.shape == (12, 10)
    torch.testing.assert_close(batch.labels.sum(dim=1), torch.ones(12))
