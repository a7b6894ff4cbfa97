"""MAE's checkpoints, as released: ViT.

Layout
    ``model`` holds an encoder under timm's names; full files add ``mask_token`` and ``decoder_*``. The encoder's file
    is read in this format if the format is named. The position embedding is fixed and sin-cos, columns before rows.
Source
    facebookresearch/mae ``models_mae.py`` and ``main_pretrain.py``.
Refused
    Finetuned files, with ``fc_norm`` or ``head``; a ViT with another position embedding.
"""

from __future__ import annotations

from pretrain.errors import InputError
from pretrain.foreign.interface import Facts, FormatInfo, Imported, State
from pretrain.foreign.parts import vit
from pretrain.foreign.parts.identify import Shapes
from pretrain.foreign.parts.names import rest_of
from pretrain.foreign.parts.released import layer_norm, linear, released, size_of

INFO = FormatInfo(name="mae", title="MAE checkpoint", source="facebookresearch/mae models_mae.py", method="mae")
_DECODER = ("decoder_", "mask_token")
_FINETUNED = ("fc_norm.", "head.")


def recognise(state: State, facts: Facts) -> bool:
    return vit.looks_like_vit(state) and {"mask_token", "decoder_embed.weight"} <= state.keys()


def can_hold(state: State, facts: Facts) -> bool:
    return vit.looks_like_vit(state) and vit.is_sincos(state)


def to_ours(state: State, facts: Facts) -> Imported:
    """Return the encoder without the decoder.

    Raises
    ------
    InputError
        The file was finetuned, has another position embedding, or a key is missing, left over or of another shape.
    """
    if any(name.startswith(_FINETUNED) for name in state):
        raise InputError(
            "mae: it has a classifier or fc_norm, so it was finetuned; take the pretrained file it came from"
        )
    backbone = {name: tensor for name, tensor in state.items() if not name.startswith(_DECODER)}
    if not vit.is_sincos(backbone):
        raise InputError("mae: the position embedding is not MAE's, which is fixed and sin-cos; name another format")
    rest = rest_of(state, "", backbone)
    expected = _decoder(state, vit.checked_geometry(backbone, "mae: the encoder")) if rest else {}
    return released("mae", backbone, rest, expected)


def _decoder(state: State, encoder: vit.VitGeometry) -> Shapes:
    inner = size_of(state, "decoder_embed.weight", "mae")
    mlp_width = size_of(state, "decoder_blocks.0.mlp.fc1.weight", "mae")
    return {
        "mask_token": (1, 1, inner),
        "decoder_pos_embed": (1, 1 + encoder.grid**2, inner),
        **linear("decoder_embed", encoder.width, inner),
        **vit.blocks_shapes("decoder_blocks", vit.count_blocks(state, "decoder_blocks"), inner, mlp_width),
        **layer_norm("decoder_norm", inner),
        **linear("decoder_pred", inner, 3 * encoder.patch_size**2),
    }
