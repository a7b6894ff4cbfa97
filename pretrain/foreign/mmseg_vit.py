"""The VisionTransformer of MMSegmentation.

Layout
    ``patch_embed.projection``, ``layers.N.{ln1,attn.attn.in_proj_*,attn.attn.out_proj,ln2,ffn.layers.0.0,
    ffn.layers.1}`` and, with ``final_norm=True``, ``ln1``. Query, key and value are stacked as they are here.
Source
    mmseg ``models/backbones/vit.py`` and ``tools/model_converters/vit2mmseg.py``.
Heads
    The names do not tell; files that this suite writes do, and the configuration must say ``num_heads``.
Traps
    mmseg loads without strictness. By default it has no bias in the patch projection (``patch_bias=True`` keeps ours),
    no final normalisation (``final_norm=True``), and normalises with an epsilon of 1e-5 where ours is 1e-6.
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

_OF_BLOCK = {
    "norm1.": "ln1.",
    "attn.qkv.": "attn.attn.in_proj_",
    "attn.proj.": "attn.attn.out_proj.",
    "norm2.": "ln2.",
    "mlp.fc1.": "ffn.layers.0.0.",
    "mlp.fc2.": "ffn.layers.1.",
}
_AROUND = {"patch_embed.proj.": "patch_embed.projection.", "norm.": "ln1."}


def recognise(state: State, facts: Facts) -> bool:
    return {"cls_token", "patch_embed.projection.weight", "layers.0.attn.attn.in_proj_weight"} <= state.keys()


def to_ours(state: State, facts: Facts) -> Imported:
    """
    Raises
    ------
    InputError
        Keys or shapes that are not exactly a ViT's, or a number of heads that the file does not tell.
    """
    if facts.num_heads is None:
        raise InputError(
            "mmseg ViT: nothing in the file tells its number of attention heads (DeiT-S has 6, MoCo-v3's ViT-S 12); "
            "convert the checkpoint it was made from"
        )
    backbone = {our_name(name): tensor for name, tensor in state.items()}
    if len(backbone) != len(state):
        raise InputError(
            "mmseg ViT: keys under mmseg's and under timm's names side by side; which ones count is unclear"
        )
    vit.checked_geometry(backbone, "mmseg ViT in timm's names")
    return Imported(backbone, facts.num_heads)


def from_ours(state: State, header: CheckpointHeader) -> Exported:
    """
    Raises
    ------
    InputError
        A backbone that is no ViT.
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
    """mmseg's name of our key; a name that is ours alone stays."""
    block = re.fullmatch(r"blocks\.(\d+)\.(.+)", name)
    if block is None:
        return _renamed(name, _AROUND)
    return f"layers.{block[1]}.{_renamed(block[2], _OF_BLOCK)}"


def our_name(name: str) -> str:
    """Our name of mmseg's key; a name that is theirs alone stays."""
    block = re.fullmatch(r"layers\.(\d+)\.(.+)", name)
    if block is None:
        return _renamed(name, {theirs: ours for ours, theirs in _AROUND.items()})
    return f"blocks.{block[1]}.{_renamed(block[2], {theirs: ours for ours, theirs in _OF_BLOCK.items()})}"


def _renamed(name: str, prefixes: dict[str, str]) -> str:
    for old, new in prefixes.items():
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name
