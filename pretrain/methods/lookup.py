"""Methods by name."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, cast

from pydantic import BaseModel

from pretrain.backbones.lookup import find_backbone
from pretrain.errors import InputError
from pretrain.methods._class_space import StackedModule
from pretrain.methods.interface import MethodModule, RunFacts
from pretrain.plugins import Offers, load_plugin, plugin_names, usable_plugins

if TYPE_CHECKING:
    from pretrain.method import Method

PACKAGE, KIND = "pretrain.methods", "method"
OFFERS: Offers = {"Config": BaseModel, "build": None}
STACKED, OPERA_IS_ON = "opera_on_", "moco_v3"
"""Begin of the names of OPERA's class space on other methods, and the one that OPERA itself lies on."""


def method_names() -> tuple[str, ...]:
    return plugin_names(PACKAGE)


def find_method(name: str) -> MethodModule:
    """The module of a method, or of OPERA's class space on another method (``name_on``).

    Raises
    ------
    InputError
        There is none, it can't be used, or the other method has no instance space.
    """
    below = base_of(name)
    if below is None:
        return cast(MethodModule, load_plugin(PACKAGE, name, KIND, OFFERS))
    module = find_method(below)
    if not hasattr(module, "INSTANCE_DIMENSION"):
        usable = [
            other for other, found in usable_plugins(PACKAGE, KIND, OFFERS) if hasattr(found, "INSTANCE_DIMENSION")
        ]
        raise InputError(
            f"on: {below} has no instance space for OPERA's class space; allowed: {', '.join([OPERA_IS_ON, *usable])}",
            key=("on",),
        )
    return StackedModule(below, module)


def name_on(method: str, on: object) -> str:
    """The name of ``{method: opera, on: byol}``, opera_on_byol: another method, which no table takes for OPERA itself.

    Raises
    ------
    InputError
        ``method`` is not OPERA.
    """
    if method != "opera":
        raise InputError(f"on: only opera can be put on another method, not {method}; leave it out", key=("on",))
    return method if on == OPERA_IS_ON else f"{STACKED}{on}"


def base_of(name: str) -> str | None:
    """The method under OPERA's class space, byol of opera_on_byol; None for other methods."""
    return name.removeprefix(STACKED) if name.startswith(STACKED) and name not in plugin_names(PACKAGE) else None


def build_method(
    name: str, module: MethodModule, options: Any, *, backbone: str, run: RunFacts, num_classes: int
) -> Method:
    """The method of ``module`` around a fresh backbone, both drawn from torch's generator as it stands.

    Raises
    ------
    InputError
        ``build`` takes other arguments than these, or returns no ``Method``.
    """
    from pretrain.method import Method

    try:
        inspect.signature(module.build).bind(None, backbone=0, feature_dimension=0, num_classes=0, run=0)
    except TypeError as error:
        raise InputError(
            f"method {name}: build must take (config, *, backbone, feature_dimension, num_classes, run), and {error}"
        ) from error
    family = find_backbone(backbone)
    built = module.build(
        module.Config.model_validate(options),
        backbone=family.build(run.image_size),
        feature_dimension=family.INFO.width,
        num_classes=num_classes,
        run=run,
    )
    if not isinstance(built, Method):
        raise InputError(f"method {name}: build returns a {type(built).__name__}; subclass pretrain.method.Method")
    return built
