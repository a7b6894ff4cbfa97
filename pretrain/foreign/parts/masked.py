"""Training checkpoints of SimMIM and BEiT: BEiT's ViT with a mask token, and a head that is left out."""

from __future__ import annotations

from pretrain.checkpoint import shapes_of
from pretrain.errors import InputError
from pretrain.foreign.interface import Imported, State
from pretrain.foreign.parts import beit
from pretrain.foreign.parts.identify import Shapes
from pretrain.foreign.parts.names import part, rest_of
from pretrain.foreign.parts.released import feature_dimension, released
from pretrain.wording import refuse_differences

_MASK_TOKEN = "mask_token"


def masked_beit(method: str, state: State, prefix: str, head: Shapes, *, notes: tuple[str, ...] = ()) -> Imported:
    """Return the ViT under ``prefix``, with relative positions or, if it has none, as a plain ViT.

    Raises
    ------
    InputError
        The file was finetuned, or a key is missing, left over or of another shape.
    """
    network = {name: tensor for name, tensor in part(state, prefix).items() if f"{prefix}{name}" not in head}
    has_token = network.pop(_MASK_TOKEN, None) is not None
    what = f"{method}: {prefix.removesuffix('.')}" if prefix else method
    kept = beit.without_index(network, what)
    expected = dict(head)
    if head or has_token:
        expected[f"{prefix}{_MASK_TOKEN}"] = (1, 1, feature_dimension(kept))
    if beit.INDEX in network and beit.looks_relative(kept):
        expected[f"{prefix}{beit.INDEX}"] = tuple(network[beit.INDEX].shape)
    rest = rest_of(state, prefix, kept)
    if not beit.looks_relative(kept):
        if "pos_embed" not in kept:
            raise InputError(f"{method}: missing {prefix}{beit.TABLE}, and there is no pos_embed in its place")
        return released(method, beit.plain(kept, what), rest, expected, where=prefix, notes=notes)
    beit.checked_geometry(kept, what)
    refuse_differences(shapes_of(rest), expected, f"{method}: beside the backbone")
    return Imported(kept, int(kept[beit.TABLE].shape[1]), left_out=tuple(rest), trained_with=method, notes=notes)
