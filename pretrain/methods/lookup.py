"""Finds methods by name, and builds them."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from pretrain.backbones.lookup import find_backbone
from pretrain.errors import InputError
from pretrain.methods._class_space import StackedModule
from pretrain.methods.interface import MethodModule, RunFacts
from pretrain.metrics import require_metrics
from pretrain.plugins import PluginKind

if TYPE_CHECKING:
    from pretrain.method import Method

METHODS = PluginKind[MethodModule]("pretrain.methods", "method", {"Config": BaseModel, "build": None})
method_names = METHODS.names
STACKED, OPERA_IS_ON = "opera_on_", "moco_v3"
"""Prefix of the names of OPERA's class space on other methods, and the method that OPERA itself is on."""


def find_method(name: str) -> MethodModule:
    """Return the module of a method, or of OPERA's class space on another method (``name_on``).

    Raises
    ------
    InputError
        The name is unknown, the module can't be used, or the other method has no instance space.
    """
    below = base_of(name)
    if below is None:
        module = METHODS.find(name)
        require_metrics(f"method {name}", getattr(module, "METRICS", ()))
        return module
    module = find_method(below)
    if not hasattr(module, "INSTANCE_DIMENSION"):
        usable = [other for other, found in METHODS.usable() if hasattr(found, "INSTANCE_DIMENSION")]
        raise InputError(
            f"on: {below} has no instance space for OPERA's class space; allowed: {', '.join([OPERA_IS_ON, *usable])}",
            key=("on",),
        )
    return StackedModule(below, module)


def name_on(method: str, on: object) -> str:
    """Return the name of ``{method: opera, on: byol}``, opera_on_byol, which no table takes for OPERA itself.

    Raises
    ------
    InputError
        ``method`` is not OPERA.
    """
    if method != "opera":
        raise InputError(f"on: only opera can be put on another method, not {method}; leave it out", key=("on",))
    return method if on == OPERA_IS_ON else f"{STACKED}{on}"


def base_of(name: str) -> str | None:
    """Return the method under OPERA's class space, byol of opera_on_byol; None for other methods."""
    return name.removeprefix(STACKED) if name.startswith(STACKED) and name not in METHODS.names() else None


def build_method(
    name: str, module: MethodModule, options: Any, *, backbone: str, run: RunFacts, num_classes: int
) -> Method:
    """Return the method with a fresh backbone, both initialised from torch's global generator.

    Raises
    ------
    InputError
        ``build`` has another signature, or does not return a ``Method``.
    """
    from pretrain.method import Method

    try:
        inspect.signature(module.build).bind(None, backbone=0, feature_dimension=0, num_classes=0, run=0)
    except TypeError as error:
        raise InputError(
            f"method {name}: build must take (config, *, backbone, feature_dimension, num_classes, run): {error}"
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
