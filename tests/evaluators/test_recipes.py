"""The recipes: which one a question selects, and every published number, written down here once more."""

from __future__ import annotations

from typing import Any

import pytest

from evaluators.linear import Config as LinearConfig
from evaluators.lookup import find_evaluator, resolve_evaluation
from evaluators.parts.config import FinetuneConfig, FinetuneOptimizerConfig
from pretrain.config import RecipeReference, ViewConfig
from pretrain.errors import InputError
from pretrain.recipes import load_recipes, select_recipe
from pretrain.subject import ImportedPretraining, ImportSource
from tests.evaluators.conftest import subject

RECIPES = "evaluators.recipes"
TRANSFER_SETS = ("cifar10", "cifar100", "flowers102", "pets")
VITS_AT_FULL_SIZE = ("vit_base", "deit_base")
BY_METHOD = [
    ("linear", "moco_v1", "resnet50", "imagenet", "linear-moco"),
    ("linear", "moco_v2", "resnet50", "imagenet", "linear-moco"),
    *(("linear", method, "resnet50", "imagenet", f"linear-{method}") for method in ("simsiam", "simclr", "byol")),
    *(
        ("finetune", method, vit, "imagenet", f"finetune-{method}")
        for method in ("mae", "ibot", "msn", "dino")
        for vit in VITS_AT_FULL_SIZE
    ),
    *(("finetune", method, "beit_base", "imagenet", f"finetune-{method}") for method in ("beit", "simmim")),
    *(("linear", method, "resnet50", "imagenet", "linear-r50") for method in ("moco_v3", "opera", "opera_on_byol")),
    ("linear", "simclr", "vit_small", "imagenet", "linear-vit"),
    ("linear", "simclr", "tiny_resnet", "digits", "linear-digits"),
    ("finetune", "mae", "deit_small", "imagenet", "finetune-deit"),
    ("finetune", "mae", "tiny_vit", "digits", "finetune-digits"),
    ("finetune", "opera", "vit_base", "imagenet", "finetune-deit"),
]
"""Evaluator, method, backbone, dataset and the recipe of the protocol that the method's number comes from."""
SELECTED = [
    ("linear", "resnet50", "imagenet", "linear-r50"),
    ("linear", "vit_small", "imagenet", "linear-vit"),
    ("linear", "vit_base", "imagenet", "linear-vit"),
    ("finetune", "vit_small", "imagenet", "finetune-deit"),
    ("finetune", "vit_base", "imagenet", "finetune-deit"),
    *(("transfer", vit, name, f"transfer-{name}") for vit in ("vit_small", "vit_base") for name in TRANSFER_SETS),
    *(("transfer", "resnet50", name, "transfer-r50") for name in TRANSFER_SETS),
    *(("knn", backbone, "imagenet", "knn-imagenet") for backbone in ("resnet50", "vit_small", "vit_base")),
    *(
        (evaluator, backbone, dataset, f"{evaluator}-digits")
        for evaluator in ("linear", "finetune", "transfer", "knn")
        for backbone in ("tiny_vit", "tiny_resnet")
        for dataset in ("digits", "mnist5k")
    ),
]

MOCO_V3_LINEAR = {
    "epochs": 90,
    "global_batch_size": 1024,
    "base_batch_size": 256,
    "momentum": 0.9,
    "weight_decay": 0.0,
    "head_init_std": 0.01,
    "augmentation.crop_scale": (0.08, 1.0),
    "augmentation.flip_probability": 0.5,
    "augmentation.auto_augment": None,
    "augmentation.color_jitter": None,
    "augmentation.random_erasing_probability": 0.0,
    "augmentation.interpolation": "bilinear",
}
DEIT_OPTIMIZER = {
    "optimizer.name": "adamw",
    "optimizer.base_batch_size": 512,
    "optimizer.betas": (0.9, 0.999),
    "optimizer.epsilon": 1e-8,
    "optimizer.warmup_learning_rate": 1e-6,
    "optimizer.final_learning_rate": 1e-5,
    "mixup.switch_probability": 0.5,
    "mixup.label_smoothing": 0.1,
}
DEIT = {
    **DEIT_OPTIMIZER,
    "optimizer.base_learning_rate": 5e-4,
    "optimizer.weight_decay": 0.05,
    "optimizer.warmup_epochs": 5,
    "drop_path_rate": 0.1,
    "augmentation.color_jitter": 0.4,
    "augmentation.auto_augment": "rand-m9-mstd0.5-inc1",
    "augmentation.interpolation": "bicubic",
    "augmentation.random_erasing_probability": 0.25,
    "augmentation.random_erasing_mode": "pixel",
    "augmentation.crop_scale": (0.08, 1.0),
    "mixup.mixup_alpha": 0.8,
    "mixup.cutmix_alpha": 1.0,
    "repeated_augmentations": 3,
}
LAYER_DECAY = {
    **{key: value for key, value in DEIT.items() if key not in ("augmentation.color_jitter", "repeated_augmentations")},
    "epochs": 100,
    "global_batch_size": 1024,
    "repeated_augmentations": 1,
    "head_init_std": 2e-5,
    "optimizer.base_batch_size": 1024,
    "optimizer.layer_decay": 0.65,
    "optimizer.rate_changes": "step",
    "optimizer.cosine_begins": "after_warmup",
    "optimizer.warmup_learning_rate": 0.0,
    "optimizer.final_learning_rate": 1e-6,
    "optimizer.clip_norm": None,
    "position_bias": "shared",
    "validation_interpolation": None,
}
MEAN = {"pooling": "mean"}
MOCO_V3_TRANSFER = {
    **DEIT_OPTIMIZER,
    "epochs": 100,
    "global_batch_size": 1024,
    "optimizer.base_learning_rate": 3e-4,
    "optimizer.warmup_epochs": 3,
    "augmentation.crop_scale": (0.05, 1.0),
    "augmentation.flip_probability": 0.5,
    "augmentation.auto_augment": None,
    "augmentation.color_jitter": None,
    "augmentation.interpolation": "bilinear",
    "repeated_augmentations": 1,
}
BY_TRANSFER_SET = ("optimizer.weight_decay", "drop_path_rate", "mixup.mixup_alpha", "mixup.cutmix_alpha")
ERASING = "augmentation.random_erasing_probability"


def by_set(*values: float, erasing: float = 0.0) -> dict[str, Any]:
    return {**MOCO_V3_TRANSFER, **dict(zip(BY_TRANSFER_SET, values, strict=True)), ERASING: erasing}


PUBLISHED: dict[str, dict[str, Any]] = {
    "linear-r50": {**MOCO_V3_LINEAR, "base_learning_rate": 0.1},
    "linear-vit": {**MOCO_V3_LINEAR, "base_learning_rate": 3.0},
    "linear-moco": {
        **MOCO_V3_LINEAR,
        "epochs": 100,
        "global_batch_size": 256,
        "base_learning_rate": 30.0,
        "optimizer": "sgd",
        "schedule": "steps",
        "decay_epochs": (60, 80),
        "decay_factor": 0.1,
    },
    "linear-simsiam": {
        **MOCO_V3_LINEAR,
        "global_batch_size": 4096,
        "base_learning_rate": 0.1,
        "optimizer": "lars",
        "schedule": "cosine",
        "rate_changes": "epoch",
    },
    "linear-simclr": {
        **MOCO_V3_LINEAR,
        "global_batch_size": 4096,
        "base_learning_rate": 0.1,
        "optimizer": "nesterov",
        "rate_changes": "step",
        "head_init_std": 0.0,
        "augmentation.interpolation": "bicubic",
    },
    "linear-byol": {
        **MOCO_V3_LINEAR,
        "epochs": 80,
        "base_learning_rate": 0.2,
        "optimizer": "nesterov",
        "rate_changes": "step",
        "head_init_std": 0.0221,
        "augmentation.interpolation": "bicubic",
    },
    "finetune-deit": {**DEIT, "epochs": 150, "global_batch_size": 1024, "optimizer.layer_decay": 1.0},
    "finetune-dino": {**DEIT, "epochs": 300, "global_batch_size": 1024, "optimizer.layer_decay": 1.0},
    "finetune-mae": {**LAYER_DECAY, **MEAN, "optimizer.base_batch_size": 256, "augmentation.color_jitter": None},
    "finetune-beit": {
        **LAYER_DECAY,
        **MEAN,
        "optimizer.base_learning_rate": 4e-3,
        "optimizer.warmup_epochs": 20,
        "position_bias": "per_block",
    },
    "finetune-simmim": {
        **LAYER_DECAY,
        **MEAN,
        "global_batch_size": 2048,
        "optimizer.base_learning_rate": 1.25e-3,
        "optimizer.base_batch_size": 512,
        "optimizer.warmup_epochs": 20,
        "optimizer.warmup_learning_rate": 1e-6,
        "optimizer.cosine_begins": "at_first_epoch",
        "optimizer.clip_norm": 5.0,
        "position_bias": "per_block",
    },
    "finetune-ibot": {
        **LAYER_DECAY,
        "pooling": "backbone",
        "optimizer.base_learning_rate": 4e-3,
        "optimizer.warmup_epochs": 20,
        "drop_path_rate": 0.2,
        "validation_interpolation": "bilinear",
    },
    "finetune-msn": {**LAYER_DECAY, **MEAN, "optimizer.base_learning_rate": 2e-3, "drop_path_rate": 0.2},
    "transfer-cifar10": by_set(0.1, 0.1, 0.8, 1.0),
    "transfer-cifar100": by_set(0.1, 0.1, 0.5, 1.0),
    "transfer-flowers102": by_set(0.3, 0.1, 0.0, 0.0, erasing=0.25),
    "transfer-pets": by_set(0.1, 0.0, 0.8, 0.0),
    "knn-imagenet": {"neighbours": 20, "temperature": 0.07, "interpolation": "bicubic"},
}


@pytest.mark.parametrize(("evaluator", "backbone", "dataset", "expected"), SELECTED)
def test_one_recipe_is_selected(evaluator: str, backbone: str, dataset: str, expected: str) -> None:
    facts = {"evaluator": evaluator, "backbone": backbone, "dataset": dataset}
    assert select_recipe(RECIPES, facts).id == expected


@pytest.mark.parametrize(("evaluator", "method", "backbone", "dataset", "expected"), BY_METHOD)
def test_the_method_chooses_its_protocol_and_others_the_common_one(
    evaluator: str, method: str, backbone: str, dataset: str, expected: str
) -> None:
    trained = subject(backbone, dataset).model_copy(update={"method": method})
    config = resolve_evaluation(evaluator, subject=trained, options={})
    assert config.recipe.id == expected
    if evaluator == "linear":
        common = resolve_evaluation(evaluator, subject=trained, options={}, recipe="linear-r50")
        assert common.recipe.id == "linear-r50"


def test_no_recipe_is_published_for_finetuning_r50() -> None:
    said = (
        r"^no recipe for evaluator finetune, backbone resnet50, dataset imagenet; name one with recipe: in a sweep, "
        r"with --recipe on the command line \(there are finetune-beit, "
        r"finetune-deit, finetune-digits, finetune-dino, finetune-ibot, finetune-mae, finetune-msn, finetune-simmim\)$"
    )
    with pytest.raises(InputError, match=said):
        select_recipe(RECIPES, {"evaluator": "finetune", "backbone": "resnet50", "dataset": "imagenet"})


def validated(recipe_id: str) -> Any:
    recipe = select_recipe(RECIPES, {}, recipe_id)
    (evaluator,) = recipe.applies_to["evaluator"]
    common = {"dataset": "x", "dataset_version": "1", "recipe": recipe.reference(()), "seed": 0}
    return find_evaluator(evaluator).Config.model_validate({**recipe.settings, **common})


@pytest.mark.parametrize("recipe_id", dict.fromkeys(recipe_id for *_, recipe_id in [*SELECTED, *BY_METHOD]))
def test_every_recipe_validates(recipe_id: str) -> None:
    validated(recipe_id)


@pytest.mark.parametrize("recipe_id", PUBLISHED)
def test_the_published_numbers(recipe_id: str) -> None:
    config = validated(recipe_id)
    for path, expected in PUBLISHED[recipe_id].items():
        value = config
        for key in path.split("."):
            value = getattr(value, key)
        assert value == expected, path


def test_recipes_that_are_not_published_say_so() -> None:
    evaluators = {"linear", "finetune", "transfer", "knn"}
    for recipe in load_recipes(RECIPES):
        if evaluators.isdisjoint(recipe.applies_to.get("evaluator", ())):
            continue
        ours = recipe.id not in PUBLISHED and recipe.id != "knn-digits"
        assert ("this project's choice" in recipe.source) == ours, recipe.id


@pytest.mark.parametrize(
    ("format_name", "label", "backbone", "evaluator", "recipe"),
    [
        ("mae", "mine", "vit_base", "finetune", "finetune-mae"),
        ("moco", "ours_v2", "resnet50", "linear", "linear-moco"),
        ("torchvision", "simclr", "resnet50", "linear", "linear-simclr"),
        ("torchvision", "mine", "resnet50", "linear", "linear-r50"),
        ("opera_bench", "mine", "resnet50", "linear", "linear-r50"),
    ],
)
def test_a_label_of_the_users_has_the_protocol_of_its_format(
    format_name: str, label: str, backbone: str, evaluator: str, recipe: str
) -> None:
    imported = ImportedPretraining(
        method=label,
        backbone=backbone,
        dataset="imagenet",
        dataset_version="ILSVRC2012",
        global_batch_size=None,
        epochs=None,
        recipe=RecipeReference(id="imported", version=1, source="a test"),
        seed=0,
        source=ImportSource(checkpoint="a.pth", format=format_name, sha256=None, path="a.pth"),
    )
    assert resolve_evaluation(evaluator, subject=imported, options={}).recipe.id == recipe


def test_defaults_that_ids_leave_out_are_pinned() -> None:
    """A setting at its default is not part of a run's id, so another default would change results under old ids."""
    defaults = {
        (config.__name__, name): config.model_fields[name].default
        for config in (ViewConfig, FinetuneOptimizerConfig, LinearConfig, FinetuneConfig)
        for name in config.RARE
    }
    assert defaults == {
        ("ViewConfig", "adds_brightness"): False,
        ("ViewConfig", "grayscale_first"): False,
        ("FinetuneOptimizerConfig", "rate_changes"): "epoch",
        ("FinetuneOptimizerConfig", "cosine_begins"): "at_first_epoch",
        ("FinetuneOptimizerConfig", "layer_decay"): 1.0,
        ("FinetuneOptimizerConfig", "clip_norm"): None,
        ("Config", "validation_interpolation"): None,
        ("Config", "optimizer"): "sgd",
        ("Config", "schedule"): "cosine",
        ("Config", "rate_changes"): "epoch",
        ("Config", "decay_epochs"): (),
        ("Config", "decay_factor"): 0.1,
        ("FinetuneConfig", "validation_interpolation"): None,
        ("FinetuneConfig", "pooling"): "backbone",
        ("FinetuneConfig", "position_bias"): "shared",
        ("FinetuneConfig", "head_init_std"): 0.02,
    }
