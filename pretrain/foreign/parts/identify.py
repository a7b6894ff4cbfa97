"""Identifies the backbone and method of a state dict: builds ours on torch's meta device and compares shapes."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from pretrain.backbones.interface import BackboneInfo
from pretrain.backbones.lookup import find_backbone, usable_backbones
from pretrain.errors import InputError
from pretrain.foreign.interface import MethodParts, State
from pretrain.foreign.parts import resnet, vit
from pretrain.foreign.parts.differences import differences, listed
from pretrain.resolve import checked

if TYPE_CHECKING:
    from torch import nn

Shapes = dict[str, tuple[int, ...]]


def identify_backbone(state: State, num_heads: int | None, what: str) -> BackboneInfo:
    """Return the backbone whose keys, shapes, heads and kind of position embedding all fit.

    Raises
    ------
    InputError
        None fits; the message describes the weights, or their differences from the nearest backbone.
    """
    if resnet.looks_like_resnet(state):
        return _identify_resnet(state, what)
    geometry = vit.checked_geometry(state, what)
    fitting = _fitting(state, geometry)
    position = "sincos-2d" if vit.is_sincos(state) else "learned"
    # Match by number of heads; use the position embedding only to break ties: finetuning changes a sin-cos embedding.
    found = sorted(
        (info for info in fitting if info.num_heads == num_heads), key=lambda info: info.position_embedding != position
    )
    if found:
        return found[0]
    known = ", ".join(f"{info.name} ({info.num_heads} heads)" for info in fitting or _infos("vit"))
    raise InputError(f"{what}: {geometry} and {num_heads} heads fits no backbone here; there are {known}")


def fitting_heads(state: State, geometry: vit.VitGeometry) -> list[int]:
    """Return the numbers of attention heads of our ViTs with exactly these keys and shapes."""
    return sorted({info.num_heads for info in _fitting(state, geometry) if info.num_heads is not None})


def _fitting(state: State, geometry: vit.VitGeometry) -> list[BackboneInfo]:
    shapes = {key: tuple(tensor.shape) for key, tensor in state.items()}
    return [
        info
        for info in _infos("vit")
        if info.width == geometry.width and backbone_shapes(info.name, geometry.image_size) == shapes
    ]


@functools.cache
def backbone_shapes(name: str, image_size: int) -> Shapes:
    """Return every key of a backbone with its shape; built on torch's meta device, without memory for numbers."""
    return _shapes(_on_meta(name, image_size))


def method_shapes(backbone: str, image_size: int, parts: MethodParts) -> Shapes:
    """Return every key, with its shape, of the method that ``parts`` belong to, on this backbone."""
    import torch

    from pretrain.methods.interface import RunFacts
    from pretrain.methods.lookup import build_method, find_method

    module, run = find_method(parts.name), RunFacts(1, 1, 2, image_size, (image_size, image_size))
    options = checked(module.Config, parts.options).model_dump()
    with torch.device("meta"):
        method = build_method(parts.name, module, options, backbone=backbone, run=run, num_classes=parts.num_classes)
    return _shapes(method)


def _identify_resnet(state: State, what: str) -> BackboneInfo:
    found = {key: tuple(tensor.shape) for key, tensor in state.items()}
    # A ResNet's shapes don't depend on its image size.
    problems = {info: differences(found, backbone_shapes(info.name, 32)) for info in _infos("resnet")}
    nearest = min(problems, key=lambda info: len(problems[info]))
    if problems[nearest]:
        raise InputError(f"{what}: not {nearest.name}, the nearest backbone: {listed(problems[nearest])}")
    return nearest


def _infos(family: str) -> list[BackboneInfo]:
    """Return the backbones of a family that can be recognised by their shapes: not those with a relative position."""
    infos = (module.INFO for module in usable_backbones())
    return [info for info in infos if info.family == family and info.position_embedding != "relative"]


def _on_meta(name: str, image_size: int) -> nn.Module:
    import torch

    with torch.device("meta"):
        return find_backbone(name).build(image_size)


def _shapes(module: nn.Module) -> Shapes:
    return {key: tuple(tensor.shape) for key, tensor in module.state_dict().items()}
