"""The OPERA repository's training checkpoints: MoCo-v3's layout with the class head.

Layout
    MoCo-v3's keys and ``module.fully_projector.*``, the class head on the predictor's output: linear, batch
    normalisation, ReLU, linear to the classes; the linear layers have no bias.
Source
    wangck20/OPERA ``moco/builder.py`` and ``main_moco.py``; the repository releases code, no weights.
Heads
    12, as in MoCo-v3.
"""

from __future__ import annotations

from pretrain.errors import InputError
from pretrain.foreign import moco_v3
from pretrain.foreign.interface import Facts, FormatInfo, Imported, MethodParts, State
from pretrain.foreign.parts import resnet
from pretrain.foreign.parts.names import part, prefixed, unknown_keys_refused

INFO = FormatInfo(
    name="opera",
    title="OPERA training checkpoint",
    source="wangck20/OPERA moco/builder.py",
    encoders=(moco_v3.ONLINE, moco_v3.TARGET),
    counts_finished_epochs=True,
)
CLASS_HEAD = "module.fully_projector."


def recognise(state: State, facts: Facts) -> bool:
    return any(name.startswith(moco_v3.ONLINE) for name in state) and any(name.startswith(CLASS_HEAD) for name in state)


def to_ours(state: State, facts: Facts) -> Imported:
    """Return the backbone and all parts of our method ``opera``, arrangement C; the optimiser's state is left out.

    Raises
    ------
    InputError
        A part is missing, or keys or shapes are not exactly this layout's.
    """
    prefixes = (moco_v3.ONLINE, moco_v3.TARGET, moco_v3.PREDICTOR, CLASS_HEAD)
    with unknown_keys_refused("opera", state, prefixes):
        for prefix in prefixes:
            if not part(state, prefix):
                raise InputError(f"opera: missing {prefix}*; this is no whole training checkpoint")
        backbone, projector = moco_v3.split_encoder(part(state, moco_v3.ONLINE), "opera: module.base_encoder")
        contrastive = moco_v3.contrastive_parts(state, projector, "opera")
        head = part(state, CLASS_HEAD)
        classifies = moco_v3.checked_mlp(
            head, contrastive.options["embedding_dimension"], "opera: module.fully_projector"
        )
        options = {
            **contrastive.options,
            "arrangement": "C",
            "mlp_layers": classifies.layers,
            "hidden_dimension": classifies.hidden_dimension,
        }
        parts = {**contrastive.state, **prefixed("heads.class.", head)}
        num_heads = None if resnet.looks_like_resnet(backbone) else moco_v3.NUM_HEADS
        return Imported(backbone, num_heads, MethodParts("opera", options, classifies.output_dimension, parts))
