"""Identifies the backbone and method of a state dict: builds ours on torch's meta device and compares shapes."""

from __future__ import annotations

import functools

from pretrain.backbones.interface import BackboneInfo
from pretrain.backbones.lookup import find_backbone, usable_backbones
from pretrain.checkpoint import shapes_of
from pretrain.errors import InputError
from pretrain.foreign.interface import MethodParts, State
from pretrain.foreign.parts import resnet, vit
from pretrain.resolve import validate
from pretrain.wording import differences, listed

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
    shapes = shapes_of(state)
    return [
        info
        for info in _infos("vit")
        if info.width == geometry.width and backbone_shapes(info.name, geometry.image_size) == shapes
    ]


@functools.cache
def backbone_shapes(name: str, image_size: int) -> Shapes:
    """Return every key of a backbone with its shape; built on torch's meta device, without memory for numbers."""
    import torch

    with torch.device("meta"):
        return shapes_of(find_backbone(name).build(image_size).state_dict())


def method_shapes(backbone: str, image_size: int, parts: MethodParts) -> Shapes:
    """Return every key, with its shape, of the method that ``parts`` belong to, on this backbone."""
    import torch

    from pretrain.methods.interface import RunFacts
    from pretrain.methods.lookup import build_method, find_method

    module, run = find_method(parts.name), RunFacts(1, 1, 2, image_size, (image_size, image_size))
    options = validate(module.Config, parts.options).model_dump()
    with torch.device("meta"):
        method = build_method(parts.name, module, options, backbone=backbone, run=run, num_classes=parts.num_classes)
    return shapes_of(method.state_dict())


def _identify_resnet(state: State, what: str) -> BackboneInfo:
    found = shapes_of(state)
    # A ResNet's shapes don't depend on its image size.
    problems = {info: differences(found, backbone_shapes(info.name, 32)) for info in _infos("resnet")}
    nearest = min(problems, key=lambda info: len(problems[info]))
    if problems[nearest]:
        raise InputError(f"{what}: not {nearest.name}, the nearest backbone: {listed(problems[nearest])}")
    return nearest


def _infos(family: str) -> list[BackboneInfo]:
    """Return the backbones of a family whose shapes identify them: all but those with relative positions."""
    infos = (module.INFO for module in usable_backbones())
    return [info for info in infos if info.family == family and info.position_embedding != "relative"]
