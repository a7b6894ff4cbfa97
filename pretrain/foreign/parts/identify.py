"""Identifies the backbone and method of a state dict: builds ours on torch's meta device and compares shapes."""

from __future__ import annotations

import functools

from pretrain.backbones.interface import BackboneInfo
from pretrain.backbones.lookup import find_backbone, usable_backbones
from pretrain.checkpoint import shapes_of
from pretrain.errors import InputError
from pretrain.foreign.interface import MethodParts, State
from pretrain.foreign.parts import beit, resnet, vit
from pretrain.resolve import validate
from pretrain.wording import differences, listed

Shapes = dict[str, tuple[int, ...]]
_TIMM_WIDTHS = (192, 384, 768, 1024, 1280)
"""Widths of timm's ViTs, which have one head per 64 channels. For other widths the number of heads is unknown."""


def identify_backbone(state: State, num_heads: int | None, what: str) -> BackboneInfo:
    """Return the backbone whose keys, shapes, heads and kind of position embedding all fit.

    Raises
    ------
    InputError
        None fits; the message describes the weights, or their differences from the nearest backbone.
    """
    if resnet.looks_like_resnet(state):
        return _identify_resnet(state, what)
    if beit.looks_relative(state):
        return _identify_relative(state, what)
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


def usual_heads(state: State, geometry: vit.VitGeometry) -> int:
    """Return timm's number of heads; if timm has no ViT of this width, that of our one ViT with these shapes."""
    if geometry.width not in _TIMM_WIDTHS:
        heads = {info.num_heads for info in _fitting(state, geometry) if info.num_heads is not None}
        if len(heads) == 1:
            return heads.pop()
    return max(geometry.width // vit.CHANNELS_PER_HEAD, 1)


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


def _identify_relative(state: State, what: str) -> BackboneInfo:
    """Return the backbone with BEiT's relative positions that has these shapes; they show the heads, too."""
    geometry, shapes = beit.checked_geometry(state, what), shapes_of(state)
    infos = [info for info in _infos("vit", relative=True) if info.patch_size == geometry.patch_size]
    for info in infos:
        if info.width == geometry.width and backbone_shapes(info.name, geometry.image_size) == shapes:
            return info
    known = ", ".join(info.name for info in _infos("vit", relative=True))
    raise InputError(f"{what}: {geometry} with relative positions fits no backbone here; there are {known}")


def _infos(family: str, *, relative: bool = False) -> list[BackboneInfo]:
    """Return the backbones of a family; those with relative positions have names and shapes of their own."""
    infos = (module.INFO for module in usable_backbones())
    return [info for info in infos if info.family == family and (info.position_embedding == "relative") == relative]
