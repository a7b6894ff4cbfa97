"""SimMIM's training checkpoints, as released: ViT-B with relative positions.

Layout
    ``model`` holds ``encoder.*``, BEiT's ViT with ``encoder.mask_token``, and ``decoder.0.*``, a 1×1 convolution to
    pixels. ``config`` and the optimiser's state are not read.
Source
    microsoft/SimMIM ``models/simmim.py``, ``models/vision_transformer.py`` and ``utils.py``.
Refused
    Swin transformers, which no backbone here is, and finetuned files, whose blocks have positions of their own.
"""

from __future__ import annotations

from pretrain.foreign.interface import Facts, FormatInfo, Imported, State
from pretrain.foreign.parts import beit
from pretrain.foreign.parts.masked import masked_beit
from pretrain.foreign.parts.names import part
from pretrain.foreign.parts.released import feature_dimension, size_of

ENCODER = "encoder."
INFO = FormatInfo(
    name="simmim",
    title="SimMIM training checkpoint",
    source="microsoft/SimMIM models/simmim.py",
    integers=("relative_position_index",),
    method="simmim",
)


def recognise(state: State, facts: Facts) -> bool:
    return beit.looks_like_beit(part(state, ENCODER)) and "decoder.0.weight" in state


def to_ours(state: State, facts: Facts) -> Imported:
    """Return the encoder without mask token and decoder.

    Raises
    ------
    InputError
        The file was finetuned, or a key is missing, left over or of another shape.
    """
    outputs = size_of(state, "decoder.0.weight", "simmim")
    width = feature_dimension(part(state, ENCODER))
    decoder = {"decoder.0.weight": (outputs, width, 1, 1), "decoder.0.bias": (outputs,)}
    return masked_beit("simmim", state, ENCODER, decoder)
