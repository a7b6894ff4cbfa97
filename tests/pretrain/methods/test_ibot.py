"""iBOT against its formulas written out: masks, the patches' loss, two centres."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pretrain.batch import Batch, Place
from pretrain.errors import InputError
from pretrain.methods.parts.block_masks import block_mask
from pretrain.methods.parts.distillation import DistillationHead
from pretrain.resolve import resolve_pretraining
from pretrain.testing import check_method
from tests.pretrain.methods.common import MULTI_CROP, assert_same_gradients, built, count, decay_of_each
from tests.pretrain.methods.test_dino import head_by_hand

SMALL = {"output_dimension": 24, "hidden_dimension": 16, "bottleneck_dimension": 8, "drop_path_rate": 0.0}
PLACE = Place(draw_seed=5)


def test_rule() -> None:
    options = {**SMALL, "drop_path_rate": 0.3, "frozen_prototype_epochs": 1, "teacher_temperature_warmup_epochs": 2}
    check_method("ibot", options=options, views=MULTI_CROP, backbones=("tiny_vit",))


def small_ibot(**options: Any) -> Any:
    method = built("ibot", {**SMALL, **options}).double()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for centre in (method.centre, method.patch_centre):
            centre.mean.normal_(generator=generator)
        for parameter in method.teacher_head.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
        method.teacher_head.last.parametrizations.weight.original0.fill_(1)
    return method


def views_of(count: int, rows: int, seed: int, *, gradient: bool) -> list[dict[str, Tensor]]:
    """Return random class tokens, and for the two global views tokens of 16 patches."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_(gradient)

    return [{"backbone": draw(rows, 64), **({"patches": draw(rows, 16, 64)} if n < 2 else {})} for n in range(count)]


def test_loss_and_gradients_equal_the_formulas() -> None:
    """Class tokens: all pairs of different crops. Patches: the same crop, hidden positions, averaged in each image."""
    method, rows, temperature = small_ibot(patch_weight=0.7), 4, 0.05
    method.temperature = temperature
    online, target = views_of(5, rows, 1, gradient=True), views_of(2, rows, 2, gradient=False)
    for view in target:
        view["mask"] = torch.rand(rows, 16, generator=torch.Generator().manual_seed(7)) < 0.4
    target[1]["mask"] = target[1]["mask"].flip(0)
    target[1]["mask"][2] = False  # an image without hidden patches
    centre, patch_centre = method.centre.mean.clone(), method.patch_centre.mean.clone()

    def entropy(teacher: Tensor, mean: Tensor, student: Tensor) -> Tensor:
        share = ((teacher - mean) / temperature).exp()
        exponents = (student / 0.1).exp()
        return -(share / share.sum() * (exponents / exponents.sum()).log()).sum()

    teachers = [head_by_hand(method.teacher_head, view["backbone"]).detach() for view in target]
    students = [head_by_hand(method.head, view["backbone"]) for view in online]
    pairs = [
        torch.stack([entropy(teachers[seen][i], centre, students[view][i]) for i in range(rows)]).mean()
        for seen in range(2)
        for view in range(5)
        if view != seen
    ]
    of_crops, all_logits = [], []
    for view in range(2):
        for image in range(rows):
            teacher = head_by_hand(method.teacher_head, target[view]["patches"][image]).detach()
            student = head_by_hand(method.head, online[view]["patches"][image])
            all_logits.append(teacher)
            hidden = target[view]["mask"][image].nonzero()[:, 0].tolist()
            losses = [entropy(teacher[patch], patch_centre, student[patch]) for patch in hidden]
            of_crops.append(sum(losses, torch.zeros((), dtype=torch.float64)) / max(1, len(hidden)))
    expected = torch.stack(pairs).mean() + 0.7 * torch.stack(of_crops).mean()

    loss, logs = method.loss_from_features(online, [*target, {}, {}, {}], torch.zeros(rows))
    views = [(f"view {n} {name}", tensor) for n, view in enumerate(online) for name, tensor in view.items()]
    assert len(pairs) == 8
    assert_same_gradients(loss, expected, [*method.head.named_parameters(), *views])
    torch.testing.assert_close(logs["distillation_loss"], torch.stack(pairs).mean().detach())
    torch.testing.assert_close(logs["patch_loss"], torch.stack(of_crops).mean().detach())
    torch.testing.assert_close(method.centre.mean, 0.9 * centre + 0.1 * torch.cat(teachers).mean(dim=0))
    moved = 0.9 * patch_centre + 0.1 * torch.cat(all_logits).mean(dim=0)
    torch.testing.assert_close(method.patch_centre.mean, moved, msg="the mean of all patches, hidden or not")


def test_a_batch_without_hidden_patches_has_no_patch_loss() -> None:
    method = small_ibot()
    online, target = views_of(2, 3, 1, gradient=True), views_of(2, 3, 2, gradient=False)
    for view in target:
        view["mask"] = torch.zeros(3, 16, dtype=torch.bool)
    loss, logs = method.loss_from_features(online, target, torch.zeros(3))
    assert logs["patch_loss"] == 0
    loss.backward()
    assert (online[0]["patches"].grad == 0).all()


def test_the_student_sees_masked_global_crops_and_the_teacher_whole_ones() -> None:
    method, generator = small_ibot(masked_share=1.0), torch.Generator().manual_seed(1)
    with torch.no_grad():
        method.token.normal_(generator=generator)
    images = torch.randn(3, 3, 16, 16, generator=generator, dtype=torch.float64)
    found, whole = method.features(images, PLACE), method.target_features(images, PLACE)
    mask = whole["mask"]
    assert mask.any(dim=1).all()
    tokens = method.teacher_backbone.forward_features(images)
    torch.testing.assert_close(whole["backbone"], tokens[:, 0])
    torch.testing.assert_close(whole["patches"], tokens[:, 1:])
    changed = images.clone()
    row, column = divmod(int(mask[0].nonzero()[0, 0]), 4)
    changed[0, :, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] = 9
    torch.testing.assert_close(method.features(changed, PLACE)["patches"], found["patches"], rtol=0, atol=0)
    small = Place(5, 2)
    assert list(method.features(images[:, :, :8, :8], small)) == ["backbone"]
    assert method.target_features(images[:, :, :8, :8], small) == {}


def test_block_masks_hide_what_the_ratio_says() -> None:
    """Half of the crops at full size; the others between 10 % and 50 %, of which a block may leave some patches."""
    method = built("ibot", {}, "deit_base", 224)
    mask = method.draw_mask(torch.zeros(400, 3, 224, 224), PLACE)
    assert mask.shape == (400, 196)
    hidden = mask.sum(dim=1)
    assert float((hidden > 0).float().mean()) == pytest.approx(0.5, abs=0.08)
    shares = hidden[hidden > 0] / 196
    assert shares.max() <= 0.5
    assert float(shares.mean()) == pytest.approx(0.29, abs=0.03)
    assert torch.equal(method.draw_mask(torch.zeros(3, 3, 224, 224), Place(5, 0, 7)), mask[7:10])
    assert not torch.equal(method.draw_mask(torch.zeros(3, 3, 224, 224), Place(5, 1, 7)), mask[7:10])


@pytest.mark.parametrize(("count", "smallest"), [(75, 16), (20.3, 16), (98, 1)])
def test_blocks_never_hide_more_than_they_may(count: float, smallest: int) -> None:
    hidden = [block_mask(14, 14, count, smallest, np.random.default_rng(seed)).sum() for seed in range(200)]
    assert max(hidden) <= count
    assert np.mean(hidden) > 0.9 * count


def test_sizes_and_decay() -> None:
    assert count(DistillationHead(768, 2048, 256, 8192)) == 8_401_152
    method = built("ibot", SMALL)
    assert decay_of_each(method)["token"] == 0.1
    assert not any(p.requires_grad for p in (*method.teacher_backbone.parameters(), *method.teacher_head.parameters()))
    assert method.exported_backbone() is method.teacher_backbone
    views = (torch.randn(4, 3, 16, 16), torch.randn(4, 3, 16, 16), torch.randn(4, 3, 8, 8))
    method.loss(Batch(views, torch.zeros(4), torch.arange(4)))[0].backward()
    assert all(p.grad is not None for p in method.parameters() if p.requires_grad)


@pytest.mark.parametrize(
    ("backbone", "options", "message"),
    [
        ("tiny_resnet", {}, "backbone: ibot hides patches of a ViT, and tiny_resnet has none"),
        ("tiny_vit", {"mask_ratio_range": 0.4}, "mask_ratio_range: 0.4 must keep mask_ratio 0.3 between 0 and 1"),
        ("tiny_vit", {"views": [{"crop_scale": [0.4, 1.0]}]}, "ibot needs two global crops"),
    ],
)
def test_what_cannot_be_done_is_refused(backbone: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        resolve_pretraining(
            method="ibot", backbone=backbone, dataset="digits", seed=0, options=options, recipe="digits-ibot-vit"
        )
