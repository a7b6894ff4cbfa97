"""Methods as hierarchies: heads, losses and the momentum target, against hand-written equivalents."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pretrain.backbones.lookup import find_backbone
from pretrain.batch import Batch
from pretrain.hierarchy import BACKBONE, ClassLabels, Head, Hierarchy, InstanceContrast, Space
from pretrain.hierarchy.module import HierarchicalMethod, build_head
from pretrain.method import Step
from pretrain.methods import moco_v3, opera, supervised, supervised_mlp
from tests.pretrain.steps import RUN


def shapes(module: nn.Module) -> list[str]:
    described = []
    for layer in module:
        if isinstance(layer, nn.Linear):
            bias = "+b" if layer.bias is not None else ""
            described.append(f"{layer.in_features}→{layer.out_features}{bias}")
        elif isinstance(layer, nn.BatchNorm1d):
            described.append("BN" if layer.affine else "BN-")
        else:
            described.append(type(layer).__name__)
    return described


@pytest.mark.parametrize(
    ("options", "width", "expected"),
    [
        (
            {},
            384,
            {
                "projection": ["384→4096", "BN", "ReLU", "4096→4096", "BN", "ReLU", "4096→256", "BN-"],
                "instance": ["256→4096", "BN", "ReLU", "4096→256", "BN-"],
                "class": ["256→256", "BN", "ReLU", "256→1000"],
            },
        ),
        (
            {"projector_layers": 2, "predictor_last_batch_norm": False, "temperature": 1.0},
            2048,
            {
                "projection": ["2048→4096", "BN", "ReLU", "4096→256", "BN-"],
                "instance": ["256→4096", "BN", "ReLU", "4096→256"],
                "class": ["256→256", "BN", "ReLU", "256→1000"],
            },
        ),
        ({"arrangement": "A", "mlp_layers": 1}, 384, {"class": ["384→1000"]}),
        (
            {"arrangement": "B", "mlp_layers": 3, "embedding_dimension": 128, "hidden_dimension": 512},
            384,
            {"class": ["128→512", "BN", "ReLU", "512→512", "BN", "ReLU", "512→1000"]},
        ),
    ],
    ids=["vit", "r50", "A, one layer", "B, three layers"],
)
def test_opera_heads(options: dict[str, object], width: int, expected: dict[str, list[str]]) -> None:
    config = opera.Config.model_validate(options)
    built = opera.build(config, backbone=nn.Identity(), feature_dimension=width, num_classes=1000, run=RUN)
    for name, layers in expected.items():
        assert shapes(built.heads[name]) == layers
    assert list(built.target_heads) == ["projection"], "keys come from the projector, without predictor"


def test_opera_parameter_count_of_vit_small() -> None:
    """ViT-S, a 3-layer projector, a 2-layer predictor and the class head, counted from their shapes."""
    module = find_backbone("vit_small")
    built = opera.build(opera.Config(), backbone=module.build(224), feature_dimension=384, num_classes=1000, run=RUN)
    projector = 384 * 4096 + 2 * 4096 + 4096 * 4096 + 2 * 4096 + 4096 * 256
    predictor = 256 * 4096 + 2 * 4096 + 4096 * 256
    class_head = 256 * 256 + 2 * 256 + 256 * 1000
    online = 21_665_664 + projector + predictor + class_head
    target = 21_665_664 + projector
    assert sum(p.numel() for p in built.parameters()) == online + target
    assert sum(p.numel() for p in built.target_heads.parameters()) == projector


@pytest.mark.parametrize("preset", ["official", "paper"])
@pytest.mark.parametrize("arrangement", ["A", "B", "C"])
def test_opera_loss_written_out(arrangement: str, preset: str) -> None:
    """The step of the released code, line by line, on the same weights."""
    torch.manual_seed(0)
    tau = 0.2
    config = opera.Config(
        arrangement=arrangement, preset=preset, mlp_dimension=16, embedding_dimension=8, temperature=tau
    )
    backbone = nn.Sequential(nn.Flatten(), nn.Linear(12, 10))
    method = opera.build(config, backbone=backbone, feature_dimension=10, num_classes=5, run=RUN)
    x1, x2 = torch.randn(7, 3, 2, 2), torch.randn(7, 3, 2, 2)
    labels = torch.tensor([0, 1, 2, 3, 4, 0, 1])
    online, projector, predictor, head = (
        copy.deepcopy(part) for part in (backbone, *(method.heads[k] for k in ("projection", "instance", "class")))
    )
    target, target_projector = copy.deepcopy(method.target_backbone), copy.deepcopy(method.target_heads["projection"])
    loss, logs = method.loss(Batch((x1, x2), labels, torch.arange(7)))

    f1, f2 = online(x1), online(x2)
    z1, z2 = projector(f1), projector(f2)
    q1, q2 = predictor(z1), predictor(z2)
    on = {"A": (f1, f2), "B": (z1, z2), "C": (q1, q2)}[arrangement]
    c1, c2 = head(on[0]), head(on[1])
    with torch.no_grad():
        k1, k2 = target_projector(target(x1)), target_projector(target(x2))

    def contrast(q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
        logits = F.normalize(q, dim=1) @ F.normalize(k, dim=1).T / tau
        factor = 2 * tau if preset == "official" else 1.0
        return factor * F.cross_entropy(logits, torch.arange(7))

    contrastive = contrast(q1, k2) + contrast(q2, k1)
    expected = 0.5 * contrastive + 0.5 * F.cross_entropy(c1, labels) + 0.5 * F.cross_entropy(c2, labels)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(logs["contrastive_loss"], contrastive.detach())


def test_moco_loss_is_the_unweighted_contrast() -> None:
    torch.manual_seed(0)
    options = {"mlp_dimension": 16, "embedding_dimension": 8}
    images = (torch.randn(6, 3, 2, 2), torch.randn(6, 3, 2, 2))
    batch = Batch(images, torch.zeros(6, dtype=torch.long), torch.arange(6))
    backbone = nn.Sequential(nn.Flatten(), nn.Linear(12, 10))
    built = moco_v3.build(moco_v3.Config(**options), backbone=backbone, feature_dimension=10, num_classes=5, run=RUN)
    loss, logs = built.loss(batch)
    torch.testing.assert_close(loss.detach(), logs["contrastive_loss"])


def test_target_moves_before_use_and_by_its_momentum() -> None:
    config = moco_v3.Config(mlp_dimension=16, embedding_dimension=8, target_momentum=0.9)
    backbone = nn.Sequential(nn.Flatten(), nn.Linear(12, 10))
    method = moco_v3.build(config, backbone=backbone, feature_dimension=10, num_classes=5, run=RUN)
    before = [p.clone() for p in method.target_backbone.parameters()]
    with torch.no_grad():
        for parameter in method.backbone.parameters():
            parameter.add_(1.0)
    method.before_step(Step(0, 1, 0.0, 1))
    for old, new, online in zip(before, method.target_backbone.parameters(), method.backbone.parameters(), strict=True):
        torch.testing.assert_close(new, 0.9 * old + 0.1 * online)
        assert not new.requires_grad
    held = [p.clone() for p in method.target_backbone.parameters()]
    method.before_step(Step(1, 1, 1.0, 1))
    for old, new in zip(held, method.target_backbone.parameters(), strict=True):
        torch.testing.assert_close(new, old)


def test_supervised_hierarchies() -> None:
    plain = supervised.hierarchy(supervised.Config(), 10)
    assert [(space.name, space.below) for space in plain.spaces] == [("class", BACKBONE)]
    mlp = supervised_mlp.hierarchy(supervised_mlp.Config(), 10)
    assert [(space.name, space.below) for space in mlp.spaces] == [("projection", BACKBONE), ("class", "projection")]
    assert shapes(build_head(mlp.spaces[1].head, 256)) == ["256→10+b"]


def test_supervised_trains_the_patch_projection_and_opera_does_not() -> None:
    tiny = find_backbone("tiny_vit")
    for module, trains in ((supervised, True), (opera, False)):
        method = module.build(module.Config(), backbone=tiny.build(16), feature_dimension=64, num_classes=10, run=RUN)
        assert method.backbone.patch_embed.proj.weight.requires_grad is trains


@pytest.mark.parametrize(
    ("spaces", "momentum", "message"),
    [
        ((Space("class", "instance", Head(1, 4, 4), ClassLabels(1.0)),), None, "no earlier space"),
        ((Space("a", BACKBONE, Head(1, 4, 4)), Space("a", BACKBONE, Head(1, 4, 4))), None, "the name is used twice"),
        ((Space("a", BACKBONE, Head(1, 4, 4), InstanceContrast(1.0, 0.2, "a")),), None, "target_momentum must be set"),
    ],
)
def test_impossible_hierarchies_are_refused(spaces: tuple[Space, ...], momentum: float | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Hierarchy(spaces, momentum)


def test_a_new_space_is_one_more_entry() -> None:
    """Three supervised levels train together; nothing else knows their number."""
    hierarchy = Hierarchy(
        (
            Space("coarse", BACKBONE, Head(1, 8, 3), ClassLabels(0.25)),
            Space("projection", BACKBONE, Head(2, 8, 8)),
            Space("instance", "projection", Head(2, 8, 8), InstanceContrast(1.0, 0.2, "projection")),
            Space("class", "instance", Head(1, 8, 3), ClassLabels(0.5)),
        ),
        target_momentum=0.9,
    )
    method = HierarchicalMethod(nn.Flatten(), 12, hierarchy)
    batch = Batch(tuple(torch.randn(2, 4, 3, 2, 2)), torch.tensor([0, 1, 2, 0]), torch.arange(4))
    loss, _ = method.loss(batch)
    loss.backward()
    assert all(p.grad is not None for p in method.heads.parameters())
