"""OPERA's class space on other methods: the loss, what stays of the method below, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from bench.plan.graph import plan_sweep
from bench.sweep.errors import InputError as SweepError
from bench.sweep.load import load_sweep
from pretrain.errors import InputError
from pretrain.method import Step
from pretrain.methods.lookup import find_method
from pretrain.methods.networks.stacked import StackedMethod
from pretrain.optim import build_optimizer
from pretrain.resolve import resolve_pretraining
from pretrain.testing import check_method
from tests.pretrain.methods.parts import SMALL, batch, build_small

BELOW = ("moco_v1", "moco_v2", "simclr", "simsiam", "byol", "supcon")
CLASSES = 4


def on(name: str, **options: Any) -> StackedMethod:
    return build_small(f"opera_on_{name}", **options)  # type: ignore[return-value]


@pytest.mark.parametrize("name", BELOW)
def test_the_loss_is_the_methods_own_plus_cross_entropy(name: str) -> None:
    method = on(name, instance_weight=0.3, class_weight=0.7)
    images = batch()
    features = [method.features(view, images.place(number)) for number, view in enumerate(images.views)]
    target = [method.target_features(view, images.place(number)) for number, view in enumerate(images.views)]
    own, _ = method.below.loss_from_features(features, target, images.labels)
    views = [view["instance"] for view in method.below.instances(features) if view]
    entropies = [F.cross_entropy(method.heads["class"](view), images.labels) for view in views]
    loss, logs = method.loss_from_features(features, target, images.labels)
    torch.testing.assert_close(loss, 0.3 * own + 0.7 * torch.stack(entropies).mean())
    assert len(views) == (1 if name.startswith("moco") else 2)
    assert {"class_loss", "class_top1", "feature_std"} <= logs.keys()


@pytest.mark.parametrize("name", BELOW)
def test_without_classes_it_is_the_method_below(name: str) -> None:
    method, below = on(name, class_weight=0.0), build_small(name)
    loss, _ = method.loss(batch())
    expected, _ = below.loss(batch())
    torch.testing.assert_close(loss, expected)
    loss.backward()
    expected.backward()
    for (which, ours), theirs in zip(method.below.named_parameters(), below.parameters(), strict=True):
        assert (ours.grad is None) == (theirs.grad is None), which
        if ours.grad is not None:
            torch.testing.assert_close(ours.grad, theirs.grad)


@pytest.mark.parametrize("name", ["moco_v2", "simclr", "byol"])
def test_it_follows_the_rule_of_all_methods(name: str) -> None:
    fields = find_method(name).Config.model_fields
    small = {**SMALL, "batch_norm_group": 4, "queue_size": 32}
    check_method(f"opera_on_{name}", options={key: value for key, value in small.items() if key in fields})


def test_hooks_rates_and_decays_are_those_of_the_method_below() -> None:
    byol = on("byol")
    assert byol.below.target_backbone is not None
    before = next(byol.below.target_backbone.parameters()).clone()
    for parameter in byol.backbone.parameters():
        parameter.data.add_(1.0)
    byol.after_step(Step(index=0, total=8, epoch=0.0, epochs=2))
    assert not torch.equal(before, next(byol.below.target_backbone.parameters()))
    config = resolve_pretraining(
        method="opera", backbone="resnet50", dataset="imagenet", seed=0, options={"on": "simsiam"}
    )
    simsiam = on("simsiam")
    groups = build_optimizer(config.optimizer, simsiam, torch.device("cpu")).param_groups
    constant = {id(p) for group in groups if group["constant_learning_rate"] for p in group["params"]}
    assert constant == {id(p) for p in simsiam.below.heads["instance"].parameters()}


def test_it_classifies_and_shows_every_space() -> None:
    method = on("simsiam").eval()
    images = torch.randn(5, 3, 16, 16)
    logits = method.class_logits(images)
    assert logits.shape == (5, CLASSES)
    spaces = method.represent(method.backbone(images))
    assert list(spaces) == ["backbone", "projection", "instance", "class"]
    torch.testing.assert_close(spaces["class"], logits)


def test_a_vits_tokens_are_exempt_from_decay_below_the_class_space_too() -> None:
    config = resolve_pretraining(method="supervised", backbone="vit_small", dataset="imagenet", seed=0, options={})
    stacked = build_small("opera_on_simclr", "tiny_vit")
    exempt = {
        id(parameter)
        for group in build_optimizer(config.optimizer, stacked, torch.device("cpu")).param_groups
        if group["weight_decay"] == 0
        for parameter in group["params"]
    }
    assert id(stacked.backbone.cls_token) in exempt


def test_settings_are_those_of_the_other_methods_recipe() -> None:
    options = {"on": "byol", "class_weight": 0.5}
    config = resolve_pretraining(method="opera", backbone="resnet50", dataset="imagenet", seed=0, options=options)
    alone = resolve_pretraining(method="byol", backbone="resnet50", dataset="imagenet", seed=0, options={})
    assert (config.method, config.recipe.id, config.recipe.changed) == ("opera_on_byol", "byol-r50", ("class_weight",))
    assert config.optimizer == alone.optimizer
    assert config.views == alone.views
    assert config.method_options.items() >= alone.method_options.items()
    assert config.method_options["class_weight"] == 0.5


def test_opera_on_moco_v3_is_opera() -> None:
    settings = {"method": "opera", "backbone": "tiny_vit", "dataset": "digits", "seed": 0}
    assert resolve_pretraining(**settings, options={"on": "moco_v3"}) == resolve_pretraining(**settings, options={})


@pytest.mark.parametrize(
    ("method", "below", "message"),
    [
        (
            "opera",
            "supervised",
            "on: supervised has no instance space for OPERA's class space; allowed: moco_v3, byol,",
        ),
        ("opera", "bvol", "unknown method 'bvol'; did you mean 'byol'?"),
        ("byol", "simclr", "on: only opera can be put on another method, not byol"),
    ],
)
def test_what_can_not_be_stacked_is_refused(method: str, below: str, message: str) -> None:
    with pytest.raises(InputError, match=message.replace("?", r"\?")):
        resolve_pretraining(method=method, backbone="tiny_vit", dataset="digits", seed=0, options={"on": below})


SWEEP = """\
name: stacked
pretrain:
  - {method: [opera, byol], backbone: tiny_resnet, dataset: digits}
  - {method: opera, on: [moco_v3, byol, simclr], backbone: tiny_resnet, dataset: digits, epochs: 2}
evaluate: [knn]
"""


def test_a_sweep_stacks_on_each_of_a_list(tmp_path: Path) -> None:
    (tmp_path / "stacked.yaml").write_text(SWEEP)
    runs = plan_sweep(load_sweep(str(tmp_path / "stacked.yaml"))).runs
    methods = [run.config["pretrain"]["method"] for run in runs if run.stage == "pretrain"]
    assert methods == ["opera", "byol", "opera", "opera_on_byol", "opera_on_simclr"]
    (tmp_path / "stacked.yaml").write_text(SWEEP.replace("simclr", "supervised"))
    with pytest.raises(SweepError, match=r"stacked.yaml:4: on: supervised has no instance space"):
        plan_sweep(load_sweep(str(tmp_path / "stacked.yaml")))
