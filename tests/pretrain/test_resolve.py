"""From options to a configuration: what is refused, and what counts as changed."""

from __future__ import annotations

from typing import Any

import pytest

from evaluators.lookup import resolve_evaluation
from pretrain.config import PretrainConfig
from pretrain.errors import InputError
from pretrain.resolve import resolve_pretraining


def resolve(
    method: str = "opera", backbone: str = "tiny_vit", dataset: str = "digits", **options: Any
) -> PretrainConfig:
    return resolve_pretraining(method=method, backbone=backbone, dataset=dataset, seed=0, options=options)


@pytest.mark.parametrize("epochs", [100.0, "100", True, 2.5, None])
def test_whole_numbers_are_written_as_such(epochs: Any) -> None:
    """A rate chosen by epochs must not miss a number that only looks like one."""
    with pytest.raises(InputError, match="epochs"):
        resolve("moco_v3", "resnet50", "imagenet", epochs=epochs)


@pytest.mark.parametrize(
    ("epochs", "rate", "decay", "momentum"),
    [(100, 0.6, 1e-6, 0.99), (150, 0.3, 1e-6, 0.99), (300, 0.3, 1e-6, 0.99), (1000, 0.3, 1.5e-6, 0.996)],
)
def test_r50_settings_by_epochs(epochs: int, rate: float, decay: float, momentum: float) -> None:
    config = resolve("moco_v3", "resnet50", "imagenet", epochs=epochs)
    assert config.optimizer.base_learning_rate == rate
    assert config.optimizer.weight_decay == decay
    assert config.method_options["target_momentum"] == momentum


@pytest.mark.parametrize(
    "options", [{"class_weight": float("inf")}, {"optimizer": {"base_learning_rate": float("inf")}}]
)
def test_infinite_numbers_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="finite"):
        resolve(**options)


def test_a_misspelt_nested_key_names_the_nearest() -> None:
    with pytest.raises(InputError, match=r"optimizer: unknown key 'warmup_epoch'; did you mean 'warmup_epochs'\?"):
        resolve(optimizer={"warmup_epoch": 3})
    with pytest.raises(InputError, match=r"linear: augmentation: unknown key 'flip'"):
        resolve_evaluation("linear", subject=resolve(), options={"augmentation": {"flip": 1}})


def test_only_what_differs_from_the_recipe_counts_as_changed() -> None:
    plain = resolve()
    spelt_out = resolve(arrangement="C", hidden_dimension=256, preset="official", precision="fp32", class_weight=0.5)
    assert spelt_out == plain
    assert plain.recipe.changed == ()
    assert resolve(arrangement="A", epochs=3).recipe.changed == ("arrangement", "epochs")
    assert resolve_evaluation("linear", subject=plain, options={"epochs": 12}).recipe.changed == ()
    assert resolve_evaluation("linear", subject=plain, options={"epochs": 3}).recipe.changed == ("epochs",)


def test_random_weights_are_trained_for_no_epoch() -> None:
    with pytest.raises(
        InputError, match="option epochs: method random_init trains nothing, so its epochs are 0, not 3"
    ):
        resolve("random_init", epochs=3)
