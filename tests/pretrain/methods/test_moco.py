"""MoCo-v1 and MoCo-v2: the loss against a sum over the queue, the order of a step, and shuffled batch normalisation."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pretrain.batch import Place
from pretrain.errors import InputError
from pretrain.hierarchy.module import HierarchicalMethod
from pretrain.method import Step
from pretrain.methods.parts.batch_norm import GroupedBatchNorm, group_batch_norm
from pretrain.methods.parts.queue import QueueContrast
from pretrain.resolve import resolve_pretraining
from tests.pretrain.methods.parts import (
    assert_same_value_and_gradients,
    batch,
    build,
    build_small,
    count,
    seen,
    train_a_step,
    two_views,
)

STEP = Step(index=1, total=8, epoch=0.25, epochs=2)


def contrast(size: int = 12, dimension: int = 5) -> QueueContrast:
    torch.manual_seed(0)
    return QueueContrast(size, dimension, temperature=0.07, target_space="instance").double()


def queue_of(method: HierarchicalMethod) -> QueueContrast:
    return method.objectives["instance"]  # type: ignore[return-value]


def test_the_loss_is_cross_entropy_over_the_positive_and_the_queue() -> None:
    objective = contrast()
    queries, keys = two_views()
    loss, _ = objective.loss(seen([queries], [{}, {"instance": keys}]))
    expected = torch.zeros((), dtype=torch.float64)
    for query, key in zip(queries, keys.detach(), strict=True):
        unit = query / query.norm()
        positive = (unit @ key / key.norm() / 0.07).exp()
        negatives = sum((unit @ row / 0.07).exp() for row in objective.queue.rows)
        expected = expected - (positive / (positive + negatives)).log() / len(queries)
    assert_same_value_and_gradients(loss, expected, [queries])
    assert torch.autograd.grad(loss, keys, allow_unused=True)[0] is None


def test_keys_of_a_step_are_negatives_from_the_next_step_on_and_the_oldest_leave_first() -> None:
    objective = contrast()
    before = objective.queue.rows.clone()
    queries, keys = two_views(1)
    alone, _ = objective.loss(seen([queries], [{}, {"instance": keys}]))
    assert torch.equal(objective.queue.rows, before)
    objective.after_step(STEP)
    assert torch.equal(objective.queue.rows[:6], F.normalize(keys, dim=1)), "the oldest rows are the first"
    assert torch.equal(objective.queue.rows[6:], before[6:])
    again, _ = objective.loss(seen([queries], [{}, {"instance": keys}]))
    assert again > alone, "now each positive is among the negatives too"
    objective.after_step(STEP)
    assert int(objective.queue.position) == 0
    assert torch.equal(objective.queue.rows[6:], F.normalize(keys, dim=1))


@pytest.mark.parametrize(("name", "parameters"), [("moco_v1", 23_770_304), ("moco_v2", 27_966_656)])
def test_the_encoder_is_the_official_one(name: str, parameters: int) -> None:
    method = build(name, "resnet50", queue_size=256)
    assert count(method.backbone) + count(method.heads) == parameters
    assert not any(isinstance(layer, nn.BatchNorm1d) for layer in method.heads.modules())
    assert all(layer.bias is not None for layer in method.heads.modules() if isinstance(layer, nn.Linear))
    blocks: list[Any] = [block for block in method.backbone.modules() if hasattr(block, "bn3")]
    assert all((block.bn3.weight == 1).all() for block in blocks)


def test_the_target_moves_before_keys_are_computed_by_parameters_alone() -> None:
    method = build_small("moco_v2")
    for parameter in method.backbone.parameters():
        parameter.data.add_(1.0)
    assert method.target_backbone is not None
    before = copy.deepcopy(method.target_backbone)
    method.before_step(STEP)
    for old, new, leader in zip(
        before.parameters(), method.target_backbone.parameters(), method.backbone.parameters(), strict=True
    ):
        torch.testing.assert_close(new, 0.999 * old + 0.001 * leader)
    for old, new in zip(before.buffers(), method.target_backbone.buffers(), strict=True):
        assert torch.equal(old, new)
    moved = copy.deepcopy(method.target_backbone.state_dict())
    train_a_step(method)
    method.after_step(STEP)
    weights = method.target_backbone.state_dict()
    assert all(torch.equal(weights[name], moved[name]) for name in moved if "running" not in name and "num" not in name)


def test_only_the_first_view_and_the_online_network_get_gradients() -> None:
    method = build_small("moco_v1")
    seen_by: dict[str, int] = {}

    def count_calls(name: str) -> Any:
        return lambda *_: seen_by.update({name: seen_by.get(name, 0) + 1})

    method.backbone.register_forward_hook(count_calls("online"))
    assert method.target_backbone is not None
    method.target_backbone.register_forward_hook(count_calls("target"))
    _, logs = train_a_step(method)
    assert seen_by == {"online": 1, "target": 1}
    assert all(p.grad is None for p in [*method.target_backbone.parameters(), *method.target_heads.parameters()])
    assert all(p.grad is not None for p in [*method.backbone.parameters(), *method.heads.parameters()])
    assert set(logs) == {"contrastive_loss", "feature_std"}


def test_queue_and_target_are_state() -> None:
    method, other = build_small("moco_v1"), build_small("moco_v1")
    train_a_step(method)
    method.after_step(STEP)
    assert not torch.equal(queue_of(method).queue.rows, queue_of(other).queue.rows)
    other.load_state_dict(method.state_dict())
    first, _ = train_a_step(method, 1)
    second, _ = train_a_step(other, 1)
    assert torch.equal(first, second)


def test_groups_have_statistics_of_their_own() -> None:
    torch.manual_seed(0)
    plain = nn.BatchNorm2d(3)
    grouped = GroupedBatchNorm(plain, 4)
    images = torch.randn(12, 3, 5, 5) * 2 + 1
    found, means, variances = grouped(images), [], []
    for start in (0, 4, 8):
        alone = nn.BatchNorm2d(3, momentum=1.0)
        torch.testing.assert_close(found[start : start + 4], alone(images[start : start + 4]))
        means.append(alone.running_mean)
        variances.append(alone.running_var)
    assert grouped.running_mean is not None
    torch.testing.assert_close(grouped.running_mean, 0.1 * torch.stack(means).mean(dim=0))
    torch.testing.assert_close(grouped.running_var, 0.9 + 0.1 * torch.stack(variances).mean(dim=0))
    assert grouped.state_dict().keys() == plain.state_dict().keys()
    plain.load_state_dict(grouped.state_dict())
    torch.testing.assert_close(grouped.eval()(images), plain.eval()(images))
    with pytest.raises(InputError, match="the 6 images of a process are not made of groups of 4"):
        grouped.train()(images[:6])


def test_a_key_is_normalised_with_other_images_than_its_query() -> None:
    """Each key equals that of a network with ordinary batch normalisation that sees its group alone."""
    method = build_small("moco_v1")
    images, place = batch().views[1], Place(draw_seed=7, view=1)
    assert method.target_backbone is not None
    reference = build_small("simclr").backbone  # ordinary batch normalisation
    reference.load_state_dict(method.target_backbone.state_dict())
    keys = method.target_features(images, place)["backbone"]
    order = torch.randperm(12, generator=torch.Generator().manual_seed(7))
    shared = 0
    for group in order.split(4):
        torch.testing.assert_close(keys[group], reference.train()(images[group]))
        shared += sum(int(a) // 4 == int(b) // 4 for a in group for b in group if a != b)
    assert shared < 36, "in order, each of the 12 images would be beside the same three"
    assert method.target_features(images, Place(view=0)) == {}


def test_a_backbone_without_batch_normalisation_is_not_shuffled() -> None:
    method = build_small("moco_v2", "tiny_vit")
    assert not any(isinstance(module, GroupedBatchNorm) for module in method.modules())
    images = batch().views[1]
    assert method.target_backbone is not None
    torch.testing.assert_close(
        method.target_features(images, Place(view=1))["backbone"], method.target_backbone(images)
    )


def test_group_batch_norm_replaces_every_layer() -> None:
    network = build_small("simclr").backbone
    layers = sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    group_batch_norm(network, 4)
    assert sum(isinstance(module, GroupedBatchNorm) for module in network.modules()) == layers > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"queue_size": 1000}, "queue_size: 1000 must be a multiple of the global batch of 64"),
        ({"batch_norm_group": 24}, "batch_norm_group: 24 must divide the global batch of 64"),
        ({"batch_norm": {"per_micro_batch": 16}}, "batch_norm: moco_v2 has groups of its own"),
        ({"views": [{"crop_scale": [0.2, 1.0]}]}, "moco_v2 needs 2 views, not 1"),
    ],
)
def test_what_does_not_fit_is_refused_when_it_is_planned(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        resolve_pretraining(method="moco_v2", backbone="tiny_resnet", dataset="digits", seed=0, options=options)
