"""Vision transformers as BEiT pretrains them, on timm's ``Beit``: SimMIM's encoder is the same.

Source: BEiT (arXiv 2106.08254), the official ``modeling_pretrain.py``, and SimMIM's ``vision_transformer.py``: one
relative position bias that all blocks share, no absolute position embedding, layer scale, query and value biases but
none for keys. Initial weights are drawn from a normal distribution of deviation 0.02, cut off at one deviation.
"""

from __future__ import annotations

from functools import partial
from typing import Any, cast

from timm.layers.weight_init import trunc_normal_
from timm.models.beit import Beit
from torch import Tensor, nn

from pretrain.errors import InputError

STD = 0.02


class SharedBiasBeit(Beit):
    """timm's Beit with the official initialisation and the official rule for weight decay."""

    def no_weight_decay(self) -> set[str]:
        """Return the class token's name. The official optimisers decay the table of position biases, timm's do not."""
        return {"cls_token"}


def build_beit(*, image_size: int, patch_size: int, width: int, depth: int, num_heads: int) -> SharedBiasBeit:
    """Return a Beit without a head whose forward returns the normalised class token, shape (B, width).

    It takes images of ``image_size`` alone.
    """
    model = SharedBiasBeit(
        img_size=image_size,
        patch_size=patch_size,
        embed_dim=width,
        depth=depth,
        num_heads=num_heads,
        num_classes=0,
        global_pool="token",
        norm_layer=partial(nn.LayerNorm, eps=1e-6),  # type: ignore[arg-type]
        init_values=0.1,
        use_abs_pos_emb=False,
        use_shared_rel_pos_bias=True,
    )
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            truncated_normal(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    truncated_normal(model.cls_token)
    model.fix_init_weight()  # divides the last layers of block i's branches by √(2i)
    return model


def unshare_position_bias(model: nn.Module) -> None:
    """Give each block a copy of the table of position biases that all blocks share; the network computes the same.

    Source: BEiT's ``run_class_finetuning.py`` and SimMIM's ``utils.py``, which copy the table to every block.

    Raises
    ------
    InputError
        The model has no such table.
    """
    if not isinstance(model, Beit) or model.rel_pos_bias is None:
        raise InputError(
            f"position_bias: per_block needs a backbone whose blocks share a position bias, such as beit_base; "
            f"{type(model).__name__} has none; set position_bias: shared",
            key=("position_bias",),
        )
    shared = model.rel_pos_bias
    table, index = shared.relative_position_bias_table, cast(Tensor, shared.relative_position_index)
    for block in model.blocks:
        attention: Any = block.attn
        attention.window_size = shared.window_size
        attention.num_relative_distance = len(table)
        attention.relative_position_bias_table = nn.Parameter(table.detach().clone())
        del attention.relative_position_index  # None, in the place of the buffer
        attention.register_buffer("relative_position_index", index.clone(), persistent=False)
    model.rel_pos_bias = None  # type: ignore[assignment]  # timm's Beit tests for None


def truncated_normal(parameter: Tensor) -> None:
    """Draw from a normal distribution of deviation 0.02 that is cut off at ±0.02."""
    # timm inverts the distribution function; torch draws again until every value fits, which takes minutes for a ViT-B.
    trunc_normal_(parameter, std=STD, a=-STD, b=STD)
