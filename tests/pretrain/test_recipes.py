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
from tests.pretrain.published import PUBLISHED
from tests.pretrain.published_masked import PUBLISHED_MASKED
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
ALL = PUBLISHED | PUBLISHED_MASKED
CASES = [
    (recipe.id, method, backbone, dataset)
    for recipe in load_recipes("pretrain.recipes")
    for method in recipe.applies_to["method"]
    for backbone in recipe.applies_to["backbone"]
    for dataset in recipe.applies_to["dataset"][:1]
]


def resolve(method: str, backbone: str, dataset: str = "imagenet", **options: Any) -> PretrainConfig:
    return resolve_pretraining(method=method, backbone=backbone, dataset=dataset, seed=0, options=options)


@pytest.mark.parametrize("case", ALL, ids="-".join)
def test_the_published_numbers(case: tuple[str, str]) -> None:
    config = resolve(*case, **({"tokenizer_sha256": "0" * 64} if case[0] == "beit" else {}))
    for path, expected in ALL[case].items():
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
