"""The pretraining recipes: every published number, written down here once more, and each recipe built and stepped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL.Image import Image

import pretrain.engine.train
from pretrain.assets import VARIABLE
from pretrain.batch import Batch
from pretrain.checkpoint import load_state
from pretrain.config import PretrainConfig
from pretrain.datasets import open_split
from pretrain.engine import pretrain as run_pretraining
from pretrain.method import Step
from pretrain.methods.lookup import find_method
from pretrain.optim import build_optimizer
from pretrain.recipes import load_recipes
from pretrain.resolve import resolve_pretraining
from tests.pretrain.methods.test_beit import save_tokenizer
from tests.pretrain.steps import RUN

TINY = {
    "resnet50": "tiny_resnet",
    "vit_small": "tiny_vit",
    "vit_base": "tiny_vit_base",
    "deit_base": "tiny_vit",
    "beit_base": "tiny_beit",
}
SHRUNK = ("mlp_dimension", "hidden_dimension", "output_dimension", "queue_size")
"""Options that are divided by 16 for a step at tiny size."""
CASES = [
    (recipe.id, method, backbone, dataset)
    for recipe in load_recipes("pretrain.recipes")
    for method in recipe.applies_to["method"]
    for backbone in recipe.applies_to["backbone"]
    for dataset in recipe.applies_to["dataset"][:1]
]

MOCO_V3 = {
    "method_options.embedding_dimension": 256,
    "method_options.mlp_dimension": 4096,
    "method_options.predictor_layers": 2,
    "method_options.target_momentum": 0.99,
    "views.0.color_jitter": (0.4, 0.4, 0.2, 0.1),
    "views.0.color_jitter_probability": 0.8,
    "views.0.grayscale_probability": 0.2,
    "views.0.blur_sigma": (0.1, 2.0),
    "views.0.blur_probability": 1.0,
    "views.0.solarize_probability": 0.0,
    "views.1.blur_probability": 0.1,
    "views.1.solarize_probability": 0.2,
    "views.1.flip_probability": 0.5,
    "optimizer.base_batch_size": 256,
    "image_size": 224,
    "mixing": None,
}
PUBLISHED: dict[tuple[str, str], dict[str, Any]] = {
    ("opera", "resnet50"): {
        **MOCO_V3,
        "optimizer.name": "lars",
        "optimizer.base_learning_rate": 0.3,
        "optimizer.weight_decay": 1e-6,
        "optimizer.momentum": 0.9,
        "optimizer.trust_coefficient": 0.001,
        "optimizer.warmup_epochs": 10,
        "method_options.temperature": 1.0,
        "method_options.projector_layers": 2,
        "method_options.predictor_last_batch_norm": False,
        "method_options.preset": "official",
        "method_options.instance_weight": 0.5,
        "method_options.class_weight": 0.5,
        "method_options.mlp_layers": 2,
        "method_options.hidden_dimension": 256,
        "views.0.crop_scale": (0.2, 1.0),
    },
    ("opera", "vit_base"): {
        **MOCO_V3,
        "optimizer.name": "adamw",
        "optimizer.base_learning_rate": 1.5e-4,
        "optimizer.weight_decay": 0.1,
        "optimizer.warmup_epochs": 40,
        "method_options.temperature": 0.2,
        "method_options.projector_layers": 3,
        "method_options.predictor_last_batch_norm": True,
        "views.0.crop_scale": (0.08, 1.0),
    },
    ("supervised_mlp", "vit_small"): {
        "optimizer.name": "adamw",
        "optimizer.base_learning_rate": 5e-4,
        "optimizer.base_batch_size": 512,
        "optimizer.weight_decay": 0.05,
        "optimizer.decay_one_dimensional": False,
        "optimizer.warmup_epochs": 5,
        "optimizer.final_learning_rate": 1e-5,
        "epochs": 300,
        "global_batch_size": 1024,
        "method_options.label_smoothing": 0.1,
        "method_options.drop_path_rate": 0.1,
        "views.0.crop_scale": (0.08, 1.0),
        "views.0.interpolation": "bicubic",
        "views.0.auto_augment": "rand-m9-mstd0.5-inc1",
        "views.0.random_erasing_probability": 0.25,
        "views.0.color_jitter": None,
        "mixing.mixup_alpha": 0.8,
        "mixing.cutmix_alpha": 1.0,
        "mixing.switch_probability": 0.5,
        "repeated_augmentations": 3,
    },
}
SGD_PER_EPOCH = {
    "optimizer.name": "sgd",
    "optimizer.momentum": 0.9,
    "optimizer.weight_decay": 1e-4,
    "optimizer.decay_one_dimensional": True,
    "optimizer.base_batch_size": 256,
    "optimizer.learning_rate_scaling": "linear",
    "optimizer.rate_changes": "epoch",
    "optimizer.warmup_epochs": 0,
    "global_batch_size": 256,
    "image_size": 224,
}
LARS = {
    "optimizer.name": "lars",
    "optimizer.momentum": 0.9,
    "optimizer.trust_coefficient": 0.001,
    "optimizer.schedule": "cosine",
    "optimizer.rate_changes": "step",
    "image_size": 224,
}
MOCO_V2_VIEW = {
    "views.1.crop_scale": (0.2, 1.0),
    "views.1.interpolation": "bilinear",
    "views.1.color_jitter": (0.4, 0.4, 0.4, 0.1),
    "views.1.color_jitter_probability": 0.8,
    "views.1.grayscale_probability": 0.2,
    "views.1.grayscale_first": False,
    "views.1.blur_sigma": (0.1, 2.0),
    "views.1.blur_probability": 0.5,
    "views.1.flip_probability": 0.5,
    "normalisation.mean": (0.485, 0.456, 0.406),
}
PUBLISHED |= {
    ("moco_v1", "resnet50"): {
        **SGD_PER_EPOCH,
        "epochs": 200,
        "optimizer.base_learning_rate": 0.03,
        "optimizer.schedule": "steps",
        "optimizer.decay_epochs": (120, 160),
        "optimizer.decay_factor": 0.1,
        "method_options.temperature": 0.07,
        "method_options.target_momentum": 0.999,
        "method_options.queue_size": 65536,
        "method_options.embedding_dimension": 128,
        "method_options.batch_norm_group": 32,
        "views.1.crop_scale": (0.2, 1.0),
        "views.1.color_jitter": (0.4, 0.4, 0.4, 0.4),
        "views.1.color_jitter_probability": 1.0,
        "views.1.grayscale_probability": 0.2,
        "views.1.grayscale_first": True,
        "views.1.blur_probability": 0.0,
    },
    ("moco_v2", "resnet50"): {
        **SGD_PER_EPOCH,
        **MOCO_V2_VIEW,
        "epochs": 200,
        "optimizer.base_learning_rate": 0.03,
        "optimizer.schedule": "cosine",
        "method_options.temperature": 0.2,
        "method_options.target_momentum": 0.999,
        "method_options.queue_size": 65536,
        "method_options.mlp_dimension": 2048,
        "method_options.embedding_dimension": 128,
    },
    ("simclr", "resnet50"): {
        **LARS,
        "epochs": 1000,
        "global_batch_size": 4096,
        "optimizer.base_learning_rate": 0.3,
        "optimizer.weight_decay": 1e-6,
        "optimizer.warmup_epochs": 10,
        "method_options.temperature": 0.1,
        "method_options.mlp_dimension": 2048,
        "method_options.embedding_dimension": 128,
        "normalisation.mean": (0.0, 0.0, 0.0),
        "normalisation.std": (1.0, 1.0, 1.0),
        "views.1.crop_scale": (0.08, 1.0),
        "views.1.interpolation": "bicubic",
        "views.1.color_jitter": (0.8, 0.8, 0.8, 0.2),
        "views.1.color_jitter_probability": 0.8,
        "views.1.grayscale_probability": 0.2,
        "views.1.blur_probability": 0.5,
    },
    ("simsiam", "resnet50"): {
        **SGD_PER_EPOCH,
        **MOCO_V2_VIEW,
        "epochs": 800,
        "optimizer.base_learning_rate": 0.05,
        "optimizer.schedule": "cosine",
        "method_options.mlp_dimension": 2048,
        "method_options.embedding_dimension": 2048,
        "method_options.predictor_dimension": 512,
    },
    ("byol", "resnet50"): {
        **LARS,
        "epochs": 1000,
        "global_batch_size": 4096,
        "optimizer.base_learning_rate": 0.2,
        "optimizer.weight_decay": 1.5e-6,
        "optimizer.warmup_epochs": 10,
        "method_options.target_momentum": 0.996,
        "method_options.mlp_dimension": 4096,
        "method_options.embedding_dimension": 256,
        "normalisation.mean": (0.485, 0.456, 0.406),
        "views.0.interpolation": "bicubic",
        "views.0.crop_scale": (0.08, 1.0),
        "views.0.color_jitter": (0.4, 0.4, 0.2, 0.1),
        "views.0.adds_brightness": True,
        "views.0.blur_probability": 1.0,
        "views.0.solarize_probability": 0.0,
        "views.1.adds_brightness": True,
        "views.1.blur_probability": 0.1,
        "views.1.solarize_probability": 0.2,
    },
    ("supcon", "resnet50"): {
        **LARS,
        "epochs": 350,
        "global_batch_size": 6144,
        "optimizer.base_learning_rate": 0.4,
        "optimizer.weight_decay": 1e-3,
        "optimizer.warmup_epochs": 12,
        "method_options.temperature": 0.1,
        "method_options.mlp_dimension": 2048,
        "method_options.embedding_dimension": 128,
        "views.0.auto_augment": "original",
    },
}
MULTI_CROP = {
    "views.0.color_jitter": (0.4, 0.4, 0.2, 0.1),
    "views.0.color_jitter_probability": 0.8,
    "views.0.grayscale_probability": 0.2,
    "views.0.blur_probability": 1.0,
    "views.0.solarize_probability": 0.0,
    "views.0.interpolation": "bicubic",
    "views.1.blur_probability": 0.1,
    "views.1.solarize_probability": 0.2,
    "views.2.size": 96,
    "views.2.count": 10,
    "views.2.blur_probability": 0.5,
    "views.2.flip_probability": 0.5,
    "optimizer.name": "adamw",
    "optimizer.base_learning_rate": 7.5e-4,
    "optimizer.base_batch_size": 256,
    "optimizer.learning_rate_scaling": "linear",
    "optimizer.weight_decay": 0.04,
    "optimizer.final_weight_decay": 0.4,
    "optimizer.decay_one_dimensional": False,
    "optimizer.warmup_epochs": 10,
    "optimizer.final_learning_rate": 2e-6,
    "optimizer.clip_norm": 0.3,
    "optimizer.clip_by": "parameter",
    "method_options.student_temperature": 0.1,
    "method_options.first_teacher_temperature": 0.04,
    "method_options.teacher_temperature": 0.07,
    "method_options.teacher_temperature_warmup_epochs": 50,
    "method_options.target_momentum": 0.996,
    "method_options.centre_momentum": 0.9,
    "method_options.frozen_prototype_epochs": 3,
    "method_options.drop_path_rate": 0.1,
    "global_batch_size": 1024,
    "epochs": 400,
    "image_size": 224,
}
PUBLISHED |= {
    ("dino", "deit_base"): {
        **MULTI_CROP,
        "views.0.crop_scale": (0.25, 1.0),
        "views.2.crop_scale": (0.05, 0.25),
        "method_options.output_dimension": 65536,
        "precision": "fp32",
    },
    ("ibot", "deit_base"): {
        **MULTI_CROP,
        "views.1.crop_scale": (0.32, 1.0),
        "views.2.crop_scale": (0.05, 0.32),
        "method_options.output_dimension": 8192,
        "method_options.mask_ratio": 0.3,
        "method_options.mask_ratio_range": 0.2,
        "method_options.masked_share": 0.5,
        "precision": "fp16",
    },
    ("msn", "deit_base"): {
        "views.0.count": 2,
        "views.0.crop_scale": (0.3, 1.0),
        "views.0.color_jitter": (0.4, 0.4, 0.4, 0.1),
        "views.0.blur_probability": 0.5,
        "views.0.interpolation": "bilinear",
        "views.1.count": 10,
        "views.1.size": 96,
        "views.1.crop_scale": (0.05, 0.3),
        "optimizer.base_learning_rate": 1e-3,
        "optimizer.learning_rate_scaling": "none",
        "optimizer.initial_learning_rate": 2e-4,
        "optimizer.final_learning_rate": 1e-6,
        "optimizer.schedule_length": 1.25,
        "optimizer.warmup_epochs": 15,
        "optimizer.weight_decay": 0.04,
        "optimizer.final_weight_decay": 0.4,
        "optimizer.clip_norm": 3.0,
        "optimizer.clip_by": "all",
        "method_options.mask_ratio": 0.3,
        "method_options.prototypes": 1024,
        "method_options.target_sharpening": 0.25,
        "method_options.momentum_schedule_length": 1.25,
        "global_batch_size": 1024,
        "epochs": 600,
    },
    ("mae", "vit_base"): {
        "views.0.crop_scale": (0.2, 1.0),
        "views.0.interpolation": "bicubic",
        "views.0.color_jitter": None,
        "views.0.flip_probability": 0.5,
        "optimizer.base_learning_rate": 1.5e-4,
        "optimizer.base_batch_size": 256,
        "optimizer.betas": (0.9, 0.95),
        "optimizer.weight_decay": 0.05,
        "optimizer.warmup_epochs": 40,
        "optimizer.final_learning_rate": 0.0,
        "optimizer.clip_norm": None,
        "method_options.mask_ratio": 0.75,
        "method_options.decoder_width": 512,
        "method_options.decoder_depth": 8,
        "method_options.decoder_heads": 16,
        "global_batch_size": 4096,
        "epochs": 1600,
    },
    ("beit", "beit_base"): {
        "views.0.crop_scale": (0.08, 1.0),
        "views.0.color_jitter": (0.4, 0.4, 0.4, 0.0),
        "views.0.color_jitter_probability": 1.0,
        "views.0.interpolation": "bicubic",
        "views.1.interpolation": "lanczos",
        "views.1.size": 112,
        "views.1.repeats": 0,
        "optimizer.base_learning_rate": 1.5e-3,
        "optimizer.learning_rate_scaling": "none",
        "optimizer.betas": (0.9, 0.999),
        "optimizer.weight_decay": 0.05,
        "optimizer.warmup_epochs": 10,
        "optimizer.final_learning_rate": 1e-5,
        "optimizer.clip_norm": 3.0,
        "method_options.masked_patches": 75,
        "method_options.smallest_block": 16,
        "method_options.drop_path_rate": 0.1,
        "global_batch_size": 2048,
        "epochs": 800,
    },
    ("simmim", "beit_base"): {
        "views.0.crop_scale": (0.67, 1.0),
        "views.0.interpolation": "bilinear",
        "views.0.flip_probability": 0.5,
        "optimizer.base_learning_rate": 1e-4,
        "optimizer.base_batch_size": 512,
        "optimizer.schedule": "steps",
        "optimizer.decay_epochs": (700,),
        "optimizer.decay_factor": 0.1,
        "optimizer.warmup_epochs": 10,
        "optimizer.initial_learning_rate": 2e-6,
        "optimizer.weight_decay": 0.05,
        "optimizer.clip_norm": 5.0,
        "method_options.mask_ratio": 0.6,
        "method_options.mask_square": 32,
        "method_options.drop_path_rate": 0.1,
        "global_batch_size": 2048,
        "epochs": 800,
    },
}
PUBLISHED["opera", "vit_small"] = PUBLISHED["opera", "vit_base"]
PUBLISHED["supervised", "vit_base"] = PUBLISHED["supervised_mlp", "vit_small"]


def resolve(method: str, backbone: str, dataset: str = "imagenet", **options: Any) -> PretrainConfig:
    return resolve_pretraining(method=method, backbone=backbone, dataset=dataset, seed=0, options=options)


@pytest.mark.parametrize("case", PUBLISHED, ids="-".join)
def test_the_published_numbers(case: tuple[str, str]) -> None:
    config = resolve(*case, **({"tokenizer_sha256": "0" * 64} if case[0] == "beit" else {}))
    for path, expected in PUBLISHED[case].items():
        found: Any = config
        for part in path.split("."):
            found = (
                found[int(part)]
                if part.isdecimal()
                else found[part]
                if isinstance(found, dict)
                else getattr(found, part)
            )
        assert found == expected, path


@pytest.mark.parametrize(
    ("epochs", "rate", "decay", "momentum"),
    [(40, 0.45, 1e-6, 0.97), (100, 0.45, 1e-6, 0.99), (300, 0.3, 1e-6, 0.99), (1000, 0.2, 1.5e-6, 0.996)],
)
def test_byol_changes_with_its_epochs(epochs: int, rate: float, decay: float, momentum: float) -> None:
    config = resolve("byol", "resnet50", epochs=epochs)
    found = (config.optimizer.base_learning_rate, config.optimizer.weight_decay)
    assert (*found, config.method_options["target_momentum"]) == (rate, decay, momentum)


def test_a_configuration_says_every_setting() -> None:
    supervised = resolve("supervised", "vit_small")
    assert resolve("supervised", "vit_small", drop_path_rate=0.0).recipe.changed == ("drop_path_rate",)
    assert resolve("opera", "vit_small").model_dump(mode="json").keys() == PretrainConfig.model_fields.keys()
    assert PretrainConfig.model_validate(supervised.model_dump(mode="json")) == supervised


class FirstImages:
    """Sixteen images of a split."""

    def __init__(self, dataset: str, split: str) -> None:
        self.images = open_split(dataset, None, split)
        self.num_classes = self.images.num_classes

    def __len__(self) -> int:
        return 16

    def image(self, index: int) -> Image:
        return self.images.image(index)

    def label(self, index: int) -> int:
        return self.images.label(index)


@pytest.fixture
def tokenizer_sha256(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The SHA-256 of a random tokenizer, which BEiT finds."""
    directory = tmp_path / "assets"
    directory.mkdir()
    monkeypatch.setenv(VARIABLE, str(directory))
    return save_tokenizer(directory, hidden=8, vocabulary=20)


@pytest.mark.parametrize(("recipe", "method", "backbone", "dataset"), CASES)
def test_every_recipe_steps_once_at_tiny_size(
    recipe: str,
    method: str,
    backbone: str,
    dataset: str,
    tokenizer_sha256: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its own settings on the tiny sibling of its backbone, 16 digits, one step, or none where nothing trains."""
    monkeypatch.setattr(pretrain.engine.train, "open_split", lambda name, root, split: FirstImages("digits", split))
    given = {"tokenizer_sha256": tokenizer_sha256} if method == "beit" else {}
    full = resolve_pretraining(method=method, backbone=backbone, dataset=dataset, seed=0, options=given, recipe=recipe)
    small = {"backbone": TINY.get(backbone, backbone), "dataset": "digits", "image_size": 16, "global_batch_size": 16}
    options = {key: value // 16 for key, value in full.method_options.items() if key in SHRUNK}
    if "batch_norm_group" in full.method_options:
        options["batch_norm_group"] = 8
    if "mask_square" in full.method_options:
        options["mask_square"] = 4  # of 16 pixels
    # Small crops of 96 of 224 pixels become crops of 8 of 16; BEiT's tokenizer needs twice the image.
    crop = 32 if method == "beit" else 8
    views = [
        view.model_copy(update={"size": crop if view.size else None, "count": min(view.count, 2)})
        for view in full.views
    ]
    update = {**small, "epochs": min(full.epochs, 1), "method_options": {**full.method_options, **options}}
    update["views"] = tuple(views)
    torch.set_num_threads(1)
    done = run_pretraining(
        full.model_copy(update=update),
        run_directory=tmp_path,
        data_root=None,
        device="cpu",
        num_workers=0,
        report=lambda **row: None,
    )
    assert torch.isfinite(torch.tensor(list(done.metrics.values()))).all()
    assert ("top1" in done.metrics) == (method in ("opera", "opera_mim", "supervised", "supervised_mlp"))
    assert load_state(tmp_path / "checkpoints" / "backbone.safetensors")[0]


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["vit_small", "vit_base", "resnet50"])
def test_full_size_opera_steps_once(backbone: str) -> None:
    from pretrain.backbones.lookup import find_backbone

    torch.manual_seed(0)
    config = resolve("opera", backbone)
    module, found = find_method("opera"), find_backbone(backbone)
    method: Any = module.build(
        module.Config.model_validate(config.method_options),
        backbone=found.build(config.image_size),
        feature_dimension=found.INFO.width,
        num_classes=1000,
        run=RUN,
    )
    optimizer = build_optimizer(config.optimizer, method, torch.device("cpu"))
    for group in optimizer.param_groups:
        group["lr"] = 1e-3
    method.train().before_step(Step(0, 1, 0.0, 1))
    before = [parameter.detach().clone() for parameter in method.parameters()]
    loss, logs = method.loss(
        Batch((torch.randn(4, 3, 224, 224), torch.randn(4, 3, 224, 224)), torch.arange(4), torch.arange(4))
    )
    loss.backward()
    optimizer.step()
    assert torch.isfinite(loss)
    assert set(logs) == {"contrastive_loss", "class_loss", "class_top1"}
    moved = [name for (name, p), old in zip(method.named_parameters(), before, strict=True) if not torch.equal(p, old)]
    frozen = [name for name, parameter in method.named_parameters() if not parameter.requires_grad]
    assert not set(moved) & set(frozen)
    assert {name.split(".")[0] for name in moved} == {"backbone", "heads"}
