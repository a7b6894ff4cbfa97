"""The layout of a ResNet; timm, torchvision, OpenMMLab and our backbones share it. Imports no torch."""

from __future__ import annotations

import re

from pretrain.errors import InputError
from pretrain.foreign.interface import Imported, State
from pretrain.wording import listed

_CLASSIFIER = ("fc.weight", "fc.bias")
_LANDMARKS = {"conv1.weight", "bn1.weight", "layer1.0.conv1.weight", "layer4.0.conv1.weight"}
"""Names by which a ResNet with a plain stem is recognised."""
_INPUT_VARIANCE = 4.0
"""Upper bound of the input's variance: 1 on average for normalised pixels, rarely above 4 for one image."""
_DEAD = 1e-3
"""A channel with weights below this share of the largest is dead: its statistics are rounding errors."""
_NORM = "(weight|bias|running_mean|running_var|num_batches_tracked)"
_KEY = re.compile(
    rf"conv1\.weight|bn1\.{_NORM}|layer[1-4]\.\d+\.(conv[1-3]\.weight|bn[1-3]\.{_NORM}|"
    rf"downsample\.0\.weight|downsample\.1\.{_NORM})"
)


def looks_like_resnet(state: State) -> bool:
    """Return whether the names are those of a ResNet with a plain stem."""
    return state.keys() >= _LANDMARKS


def refuse_missing(state: State, what: str) -> None:
    """Check that a network is one that ``looks_like_resnet`` recognises.

    Raises
    ------
    InputError
        Names by which it does are missing; the message begins with ``what``.
    """
    if missing := sorted(_LANDMARKS - state.keys()):
        raise InputError(f"{what}: {listed(f'missing {name}' for name in missing)}")


def to_ours(state: State) -> Imported:
    """Return the backbone without a linear classifier. Missing keys are reported when the backbone is identified.

    Raises
    ------
    InputError
        The state has a key that no ResNet has.
    """
    backbone = {name: tensor for name, tensor in state.items() if name not in _CLASSIFIER}
    strange = [name for name in backbone if not _KEY.fullmatch(name)]
    if strange:
        raise InputError(f"ResNet: {listed(f'unexpected {name}' for name in strange)}")
    return Imported(backbone, None, left_out=tuple(name for name in _CLASSIFIER if name in state))


def refuse_caffe_style(state: State) -> None:
    """Check that a ResNet is not in Caffe's style.

    Raises
    ------
    InputError
        The numbers show a ResNet in Caffe's style.
    """
    if looks_like_resnet(state) and (why := _caffe_trait(state)):
        raise InputError(
            f"ResNet: {why}, so this is a network in Caffe's style (BGR pixels, stride in the first convolution), and "
            "the backbones here are torchvision's; take weights that were trained with torchvision, timm or "
            "OpenMMLab's pytorch style"
        )


def _caffe_trait(state: State) -> str | None:
    """Return the evidence that a ResNet was trained on Caffe's pixels, or None; names and shapes are torchvision's.

    For inputs of variance 1, the output variance of the first convolution is at most the squared sum of its absolute
    weights. For pixels from 0 to 255 it is some 3,000 times as large.
    """
    if "conv1.bias" in state:
        return "conv1 has a bias"
    if (weight := state.get("conv1.weight")) is None or (variance := state.get("bn1.running_var")) is None:
        return None
    mean = state.get("bn1.running_mean")
    if weight.ndim != 4 or variance.shape != weight.shape[:1] or mean is None:
        return None
    has_counter = "bn1.num_batches_tracked" in state
    scale = state.get("bn1.weight")
    is_fresh = scale is not None and bool((scale == 1).all())
    if not has_counter and not is_fresh and bool((mean == 0).all()) and bool((variance == 1).all()):
        return "its batch normalisations are folded into scale and shift"
    largest = weight.double().abs().flatten(1).sum(1)
    alive = largest > largest.max() * _DEAD
    if bool((variance.double()[alive] > largest[alive] ** 2 * _INPUT_VARIANCE).any()):
        return "its first batch normalisation has seen pixels from 0 to 255"
    return None
