"""Finds backbones by name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from pretrain.backbones.interface import BackboneInfo, BackboneModule
from pretrain.plugins import Offers, load_plugin, plugin_names, usable_plugins

PACKAGE, KIND = "pretrain.backbones", "backbone"
OFFERS: Offers = {"INFO": BackboneInfo, "build": None}


def backbone_names() -> tuple[str, ...]:
    return plugin_names(PACKAGE)


def find_backbone(name: str) -> BackboneModule:
    return cast(BackboneModule, load_plugin(PACKAGE, name, KIND, OFFERS))


def usable_backbones() -> Iterator[BackboneModule]:
    """Yield every backbone that can be imported."""
    for _, module in usable_plugins(PACKAGE, KIND, OFFERS):
        yield cast(BackboneModule, module)
