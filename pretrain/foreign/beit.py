"""BEiT's pretraining checkpoints, as released: ViT-B.

Layout
    ``model`` holds a ViT with biases for query and value alone, ``mask_token`` and ``lm_head``, the classifier of
    visual words. All blocks share relative positions. The released file of ImageNet-1k (``pt1k_800ep``) has a position
    embedding and no layer scale; it becomes a plain ViT that computes the same.
Source
    microsoft/unilm ``beit/modeling_pretrain.py`` and ``beit/run_beit_pretraining.py``.
Pixels
    The files of ImageNet-22k (``pt22k``) were trained with mean and deviation 0.5; layout and names don't show it.
Refused
    Finetuned files, whose blocks have positions of their own.
"""

from __future__ import annotations

from pretrain.foreign.interface import Facts, FormatInfo, Imported, State
from pretrain.foreign.parts import beit
from pretrain.foreign.parts.masked import masked_beit
from pretrain.foreign.parts.released import feature_dimension, linear, size_of

INFO = FormatInfo(
    name="beit",
    title="BEiT pretraining checkpoint",
    source="microsoft/unilm beit/modeling_pretrain.py",
    integers=("relative_position_index",),
    method="beit",
)
_PIXELS = (
    "BEiT's layout does not show the pixels: files of ImageNet-22k (pt22k in the name) need normalisation: inception, "
    "mean and deviation 0.5; those of ImageNet-1k have ImageNet's, which is the default"
)


def recognise(state: State, facts: Facts) -> bool:
    return beit.looks_like_beit(state)


def to_ours(state: State, facts: Facts) -> Imported:
    """Return the ViT without mask token and classifier of visual words.

    Raises
    ------
    InputError
        The file was finetuned, or a key is missing, left over or of another shape.
    """
    words = size_of(state, "lm_head.weight", "beit") if "lm_head.weight" in state else 0
    head = linear("lm_head", feature_dimension(state), words) if words else {}
    return masked_beit("beit", state, "", head, notes=(_PIXELS,))
