"""Finds methods by name, and builds them."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from pretrain.backbones.lookup import find_backbone
from pretrain.errors import InputError
from pretrain.methods.interface import MethodModule, RunFacts
from pretrain.metrics import require_metrics
from pretrain.plugins import PluginKind

if TYPE_CHECKING:
    from pretrain.method import Method

METHODS = PluginKind[MethodModule]("pretrain.methods", "method", {"Config": BaseModel, "build": None})
method_names = METHODS.names


def find_method(name: str) -> MethodModule:
    """Return the method's module.

    Raises
    ------
    InputError
        The name is unknown, or the module can't be used.
    """
    module = METHODS.find(name)
    require_metrics(f"method {name}", getattr(module, "METRICS", ()))
    return module


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
