"""The VisionTransformer of MMSegmentation.

Layout
    ``patch_embed.projection``, ``layers.N.{ln1,attn.attn.in_proj_*,attn.attn.out_proj,ln2,ffn.layers.0.0,
    ffn.layers.1}`` and, with ``final_norm=True``, ``ln1``. Query, key and value are stacked as in timm.
Source
    mmseg ``models/backbones/vit.py`` and ``tools/model_converters/vit2mmseg.py``.
Heads
    The names don't show the number of heads. Files that this suite writes state it; set ``num_heads`` in mmseg.
Traps
    mmseg does not load strictly. Its defaults drop the bias of the patch projection (``patch_bias=True`` keeps it) and
    the final normalisation (``final_norm=True``), and normalise with epsilon 1e-5 where ours is 1e-6.
"""

from __future__ import annotations

import re

from pretrain.checkpoint import CheckpointHeader
from pretrain.errors import InputError
from pretrain.foreign.interface import Exported, Facts, FormatInfo, Imported, State
from pretrain.foreign.parts import resnet, vit

INFO = FormatInfo(
    name="mmseg_vit",
    title="MMSegmentation VisionTransformer",
    source="mmseg models/backbones/vit.py",
    written_as=(".pth",),
)

_BLOCK_NAMES = {
    "norm1.": "ln1.",
    "attn.qkv.": "attn.attn.in_proj_",
    "attn.proj.": "attn.attn.out_proj.",
    "norm2.": "ln2.",
    "mlp.fc1.": "ffn.layers.0.0.",
    "mlp.fc2.": "ffn.layers.1.",
}
_OUTER_NAMES = {"patch_embed.proj.": "patch_embed.projection.", "norm.": "ln1."}


def recognise(state: State, facts: Facts) -> bool:
    return {"cls_token", "patch_embed.projection.weight", "layers.0.attn.attn.in_proj_weight"} <= state.keys()


def to_ours(state: State, facts: Facts) -> Imported:
    """Return the backbone under timm's names.

    Raises
    ------
    InputError
        Keys or shapes are not exactly a ViT's, or the file does not state the number of heads.
    """
    if facts.num_heads is None:
        raise InputError(
            "mmseg ViT: the file does not state its number of attention heads (DeiT-S has 6, MoCo-v3's ViT-S 12); "
            "convert the checkpoint it was made from"
        )
    backbone = {our_name(name): tensor for name, tensor in state.items()}
    if len(backbone) != len(state):
        raise InputError("mmseg ViT: the file has keys under both mmseg's and timm's names; save only one of the two")
    vit.checked_geometry(backbone, "mmseg ViT in timm's names")
    return Imported(backbone, facts.num_heads)


def from_ours(state: State, header: CheckpointHeader) -> Exported:
    """Return a ViT under mmseg's names.

    Raises
    ------
    InputError
        The backbone is not a ViT.
    """
    if resnet.looks_like_resnet(state):
        raise InputError(f"mmseg_vit: {header.backbone} is a ResNet; convert it to mm_resnet")
    geometry = vit.checked_geometry(state, "our ViT")
    usage = (
        f'backbone=dict(type="VisionTransformer", img_size={geometry.image_size}, patch_size={geometry.patch_size}, '
        f"embed_dims={geometry.width}, num_layers={geometry.depth}, num_heads={header.num_heads}, patch_bias=True, "
        'final_norm=True, norm_cfg=dict(type="LN", eps=1e-6), init_cfg=dict(type="Pretrained", checkpoint="PATH"))'
    )
    return Exported({their_name(name): tensor for name, tensor in state.items()}, usage)


def their_name(name: str) -> str:
    """Return mmseg's name of our key; a name that mmseg does not have is returned unchanged."""
    block = re.fullmatch(r"blocks\.(\d+)\.(.+)", name)
    if block is None:
        return _renamed(name, _OUTER_NAMES)
    return f"layers.{block[1]}.{_renamed(block[2], _BLOCK_NAMES)}"


def our_name(name: str) -> str:
    """Return our name of mmseg's key; a name that we don't have is returned unchanged."""
    block = re.fullmatch(r"layers\.(\d+)\.(.+)", name)
    if block is None:
        return _renamed(name, {theirs: ours for ours, theirs in _OUTER_NAMES.items()})
    return f"blocks.{block[1]}.{_renamed(block[2], {theirs: ours for ours, theirs in _BLOCK_NAMES.items()})}"


def _renamed(name: str, prefixes: dict[str, str]) -> str:
    for old, new in prefixes.items():
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name
