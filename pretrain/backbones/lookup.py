"""Backbones by name."""

from __future__ import annotations

from typing import cast

from pretrain.backbones.interface import BackboneModule
from pretrain.plugins import load_plugin, plugin_names


def backbone_names() -> tuple[str, ...]:
    return plugin_names("pretrain.backbones")


def find_backbone(name: str) -> BackboneModule:
    return cast(BackboneModule, load_plugin("pretrain.backbones", name, "backbone"))
