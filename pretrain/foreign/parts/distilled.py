"""Checkpoints of DINO and of iBOT, which adds to DINO's: one network of a teacher and a student. Imports no torch."""

from __future__ import annotations

from pretrain.foreign.interface import Imported, State
from pretrain.foreign.parts import resnet, vit
from pretrain.foreign.parts.identify import Shapes
from pretrain.foreign.parts.names import part, rest_of
from pretrain.foreign.parts.released import batch_norm, feature_dimension, linear, released, size_of

BACKBONE, HEAD = "backbone.", "head."
MASKED_PATCH = "masked_embed"
"""iBOT's embedding of masked patches, which the student has."""
_LAST, _LAST_OF_PATCHES = "last_layer", "last_layer2"


def has_head(state: State) -> bool:
    """Return whether the names are those of a backbone beside DINO's head."""
    is_known = any(f"{BACKBONE}{name}" in state for name in ("cls_token", "conv1.weight"))
    return is_known and f"{HEAD}{_LAST}.weight_v" in state


def has_patch_head(state: State) -> bool:
    """Return whether there is iBOT's last layer for patches, or its embedding of masked patches."""
    return f"{HEAD}{_LAST_OF_PATCHES}.weight_v" in state or f"{BACKBONE}{MASKED_PATCH}" in state


def is_backbone(state: State) -> bool:
    """Return whether the names are those of a ViT or a ResNet, without a classifier."""
    return vit.looks_like_vit(state) or (resnet.looks_like_resnet(state) and "fc.weight" not in state)


def to_ours(method: str, state: State) -> Imported:
    """Return the backbone of a teacher, a student or a file of a backbone alone.

    Raises
    ------
    InputError
        A key is missing, left over or of another shape.
    """
    prefix = BACKBONE if has_head(state) else ""
    backbone = part(state, prefix)
    expected = _head(method, state, feature_dimension(backbone)) if prefix else {}
    if backbone.pop(MASKED_PATCH, None) is not None and method == "ibot":
        expected[f"{prefix}{MASKED_PATCH}"] = (1, feature_dimension(backbone))
    return released(method, backbone, rest_of(state, prefix, backbone), expected, where=prefix)


def _head(method: str, state: State, width: int) -> Shapes:
    """Return the shapes of the head: three linear layers, normalised or not, and weight-normalised last layers."""
    step = 3 if f"{HEAD}mlp.1.running_mean" in state else 2
    first, second, third = (f"{HEAD}mlp.{layer * step}" for layer in range(3))
    hidden, bottleneck = (size_of(state, f"{layer}.weight", method) for layer in (first, third))
    shapes = linear(first, width, hidden) | linear(second, hidden, hidden) | linear(third, hidden, bottleneck)
    if step > 2:
        shapes |= batch_norm(f"{HEAD}mlp.1", hidden) | batch_norm(f"{HEAD}mlp.4", hidden)
    for layer in (_LAST, _LAST_OF_PATCHES) if has_patch_head(state) else (_LAST,):
        outputs = size_of(state, f"{HEAD}{layer}.weight_v", method)
        shapes |= {f"{HEAD}{layer}.weight_g": (outputs, 1), f"{HEAD}{layer}.weight_v": (outputs, bottleneck)}
    return shapes
