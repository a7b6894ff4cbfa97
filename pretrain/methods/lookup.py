"""Methods by name."""

from __future__ import annotations

from typing import cast

from pydantic import BaseModel

from pretrain.methods.interface import MethodModule
from pretrain.plugins import Offers, load_plugin, plugin_names

PACKAGE, KIND = "pretrain.methods", "method"
OFFERS: Offers = {"Config": BaseModel, "build": None}


def method_names() -> tuple[str, ...]:
    return plugin_names(PACKAGE)


def find_method(name: str) -> MethodModule:
    return cast(MethodModule, load_plugin(PACKAGE, name, KIND, OFFERS))
