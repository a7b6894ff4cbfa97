"""Maps settings at full size to those of ``--tiny``, for the planner of sweeps and for tables in miniature."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NAMES: Mapping[str, Mapping[str, str]] = {
    "backbone": {
        "resnet50": "tiny_resnet",
        "vit_small": "tiny_vit",
        "vit_base": "tiny_vit_base",
        "deit_small": "tiny_vit",
        "deit_base": "tiny_vit_base",
        "beit_base": "tiny_beit",
    },
    # One dataset replaces all four of Table 3: no other suitable dataset comes with a package.
    "dataset": {
        "imagenet": "digits",
        "cifar10": "mnist5k",
        "cifar100": "mnist5k",
        "flowers102": "mnist5k",
        "pets": "mnist5k",
        "ade20k": "digit_scenes",
        "coco": "digit_objects",
        "folder": "tiny_folder",
    },
}
"""Setting → name at full size → name in miniature."""
_LABELLED = "folder_"
"""Prefix of own images with a word of the user's: ``folder_birds`` becomes ``tiny_folder_birds``."""

FULL_SIZE_ONLY = (
    "pretrain_recipe",
    "protocol_recipe",
    "protocol_changes",
    "setting",
    "fingerprint",
    "pretrain_fingerprint",
)
"""Columns whose values at full size no run of ``--tiny`` has: digits have recipes and data of their own."""

# Dimensions of the class head don't shrink: they cost almost no time. The divisors turn the values of the full recipes
# into those of the digits' recipes, so that an ablation's main setting gives the run that the tables need.
PRETRAINING_DIVISORS: Mapping[str, float] = {
    "global_batch_size": 16,
    "epochs": 25,
    "embedding_dimension": 4,
    "mlp_dimension": 16,
}
EVALUATION_DIVISORS: Mapping[str, float] = {"global_batch_size": 16, "epochs": 50}
EPOCH_DIVISORS: Mapping[str, float] = {"linear": 7.5}
"""Evaluator → divisor of its epochs, if it isn't that of ``EVALUATION_DIVISORS``; a linear probe's 90 become 12."""


def evaluation_divisors(evaluator: str) -> Mapping[str, float]:
    """Return setting of an evaluation → divisor."""
    return {**EVALUATION_DIVISORS, "epochs": EPOCH_DIVISORS.get(evaluator, EVALUATION_DIVISORS["epochs"])}


def shrink(setting: str, value: Any, divisors: Mapping[str, float]) -> Any:
    """Return a value, or each value of a list, in miniature; unchanged if the setting has no smaller form."""
    if isinstance(value, list):
        return list(dict.fromkeys(shrink(setting, item, divisors) for item in value))
    if setting == "dataset" and isinstance(value, str) and value.startswith(_LABELLED):
        return f"tiny_{value}"
    if setting in NAMES:
        return NAMES[setting].get(value, value)
    if setting in divisors and isinstance(value, int) and value > 0:
        return max(1, round(value / divisors[setting]))
    return value


def shrink_query(query: Mapping[str, Any]) -> dict[str, Any]:
    """Return a query on the columns of ``results.columns`` in miniature, without conditions on ``FULL_SIZE_ONLY``."""
    of_evaluation = evaluation_divisors(str(query.get("protocol")))
    small: dict[str, Any] = {}
    for column, value in query.items():
        if column in FULL_SIZE_ONLY:
            continue
        if column == "finetune_epochs" or column.startswith("protocol_"):
            setting = "epochs" if column == "finetune_epochs" else column.removeprefix("protocol_")
            small[column] = shrink(setting, value, of_evaluation)
        else:
            small[column] = shrink(column.removeprefix("pretrain_"), value, PRETRAINING_DIVISORS)
    return small
