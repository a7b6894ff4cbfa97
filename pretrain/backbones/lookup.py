"""Finds backbones by name."""

from __future__ import annotations

from pretrain.backbones.interface import BackboneInfo, BackboneModule
from pretrain.plugins import PluginKind

BACKBONES = PluginKind[BackboneModule]("pretrain.backbones", "backbone", {"INFO": BackboneInfo, "build": None})
backbone_names, find_backbone = BACKBONES.names, BACKBONES.find


def usable_backbones() -> list[BackboneModule]:
    """Return every backbone that can be imported."""
    return [module for _, module in BACKBONES.usable()]
