"""Methods by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from pydantic import BaseModel

from pretrain.backbones.lookup import find_backbone
from pretrain.errors import InputError
from pretrain.methods.interface import MethodModule, RunFacts
from pretrain.plugins import Offers, load_plugin, plugin_names

if TYPE_CHECKING:
    from torch import nn

    from pretrain.method import Method

PACKAGE, KIND = "pretrain.methods", "method"
OFFERS: Offers = {"Config": BaseModel, "build": None}


def method_names() -> tuple[str, ...]:
    return plugin_names(PACKAGE)


def find_method(name: str) -> MethodModule:
    return cast(MethodModule, load_plugin(PACKAGE, name, KIND, OFFERS))


def build_method(
    name: str,
    options: Any,
    *,
    backbone: str,
    run: RunFacts,
    num_classes: int,
    module: nn.Module | None = None,
) -> Method:
    """The method around a fresh backbone, or around ``module``, drawn from torch's generator as it stands.

    Raises
    ------
    InputError
        What is built is no ``Method``.
    """
    found, family = find_method(name), find_backbone(backbone)
    built = found.build(
        found.Config.model_validate(options),
        backbone=family.build(run.image_size) if module is None else module,
        feature_dimension=family.INFO.width,
        num_classes=num_classes,
        run=run,
    )
    from pretrain.method import Method

    if not isinstance(built, Method):
        raise InputError(f"method {name}: build() gives a {type(built).__name__}; subclass pretrain.method.Method")
    return built
