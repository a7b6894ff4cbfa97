"""Training checkpoints that a method's authors released: a backbone under timm's names, and heads that are left out.

A format states the name and shape of every tensor besides the backbone, so that nothing is dropped unseen.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pretrain.checkpoint import shapes_of
from pretrain.errors import InputError
from pretrain.foreign.interface import Imported, State
from pretrain.foreign.parts import resnet, vit
from pretrain.foreign.parts.identify import Shapes, usual_heads
from pretrain.foreign.parts.names import part, rest_of
from pretrain.wording import refuse_differences

if TYPE_CHECKING:
    from torch import Tensor


def released(
    method: str,
    backbone: dict[str, Tensor],
    rest: State,
    expected: Shapes,
    *,
    where: str = "",
    notes: tuple[str, ...] = (),
) -> Imported:
    """Return the backbone, after checking that the rest of the file is exactly the method's other parts.

    Parameters
    ----------
    backbone
        A ResNet or a ViT under timm's names; a relative one is checked by its own format.
    rest
        The other tensors of the file under their own names, which are left out.
    expected
        Names and shapes that the rest must have.
    where
        Prefix of the backbone's names in the file, for messages.

    Raises
    ------
    InputError
        Keys are missing, left over or of another shape.
    """
    num_heads = checked_heads(backbone, f"{method}: {where.rstrip('.') or 'the backbone'}")
    refuse_differences(shapes_of(rest), expected, f"{method}: beside the backbone")
    return Imported(backbone, num_heads, left_out=tuple(rest), trained_with=method, notes=notes)


def checked_heads(backbone: dict[str, Tensor], what: str) -> int | None:
    """Return the attention heads of a ViT, None for a ResNet, after checking that the names are exactly those of one.

    The methods of these checkpoints use timm's heads, one per 64 channels; MoCo-v3 alone differs.
    """
    if "conv1.weight" in backbone:
        resnet.refuse_missing(backbone, what)
        resnet.to_ours(backbone)
        return None
    return usual_heads(backbone, vit.checked_geometry(backbone, what))


def feature_dimension(backbone: State) -> int:
    """Return the width of the feature vector, from the last normalisation of a ViT or last convolution of a ResNet.

    Raises
    ------
    InputError
        There is neither, or it is a single number.
    """
    convolutions = [name for name in backbone if re.fullmatch(r"layer4\.0\.conv[1-3]\.weight", name)]
    name = "norm.weight" if "norm.weight" in backbone else max(convolutions, default="norm.weight")
    if name not in backbone or not backbone[name].shape:
        raise InputError(f"missing {name}, whose shape shows the width of the features")
    return int(backbone[name].shape[0])


def split_resnet(state: State, prefix: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the ResNet under ``prefix`` without ``fc``, which is a projector, and the other tensors of the file."""
    backbone = {name: tensor for name, tensor in part(state, prefix).items() if not name.startswith("fc.")}
    return backbone, rest_of(state, prefix, backbone)


def size_of(state: State, name: str, what: str, axis: int = 0) -> int:
    """Return one side of a tensor's shape.

    Raises
    ------
    InputError
        The tensor is missing, or has no such side.
    """
    if name not in state:
        raise InputError(f"{what}: missing {name}")
    if state[name].ndim <= axis:
        raise InputError(f"{what}: {name} has shape {tuple(state[name].shape)}, which no {what} has")
    return int(state[name].shape[axis])


def linear(name: str, inputs: int, outputs: int, *, bias: bool = True) -> Shapes:
    """Return the shapes of a linear layer."""
    return {f"{name}.weight": (outputs, inputs), **({f"{name}.bias": (outputs,)} if bias else {})}


def layer_norm(name: str, width: int) -> Shapes:
    """Return the shapes of a layer normalisation."""
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def batch_norm(name: str, width: int, *, affine: bool = True) -> Shapes:
    """Return the shapes of a batch normalisation and its statistics."""
    statistics: Shapes = {"running_mean": (width,), "running_var": (width,), "num_batches_tracked": ()}
    found = {f"{name}.{key}": shape for key, shape in statistics.items()}
    return {**layer_norm(name, width), **found} if affine else found
