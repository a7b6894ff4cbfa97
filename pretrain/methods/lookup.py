"""Methods by name."""

from __future__ import annotations

from typing import cast

from pretrain.methods.interface import MethodModule
from pretrain.plugins import load_plugin, plugin_names


def method_names() -> tuple[str, ...]:
    return plugin_names("pretrain.methods")


def find_method(name: str) -> MethodModule:
    return cast(MethodModule, load_plugin("pretrain.methods", name, "method"))
