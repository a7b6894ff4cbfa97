"""iBOT's checkpoints, as released: ViT.

Layout
    The full file holds ``student`` (``module.backbone.*``, ``module.head.*``) and ``teacher`` (``backbone.*``,
    ``head.*``). The head is DINO's with a second last layer for patches, ``last_layer2``. ``checkpoint_teacher.pth``
    and ``checkpoint_student.pth`` hold a backbone under timm's names. The student's has ``masked_embed``, too. The
    teacher's is read in this format if the format is named.
Source
    bytedance/ibot ``main_ibot.py``, ``models/head.py`` and ``models/vision_transformer.py``.
Evaluated
    The teacher. ``weights: raw`` reads the student.
"""

from __future__ import annotations

from pretrain.foreign.interface import Facts, FormatInfo, Imported, State
from pretrain.foreign.parts import distilled, vit

INFO = FormatInfo(
    name="ibot",
    title="iBOT checkpoint",
    source="bytedance/ibot main_ibot.py and models/head.py",
    counts_finished_epochs=True,
    method="ibot",
)


def recognise(state: State, facts: Facts) -> bool:
    is_student = vit.looks_like_vit(state) and distilled.MASKED_PATCH in state
    return is_student or (distilled.has_head(state) and distilled.has_patch_head(state))


def can_hold(state: State, facts: Facts) -> bool:
    return vit.looks_like_vit(state) and distilled.is_backbone(state)


def to_ours(state: State, facts: Facts) -> Imported:
    """Return the backbone without the heads and the embedding of masked patches.

    Raises
    ------
    InputError
        A key is missing, left over or of another shape.
    """
    return distilled.to_ours("ibot", state)
