"""DINO's checkpoints, as released: ViT and ResNet-50.

Layout
    The full file holds ``student`` (``module.backbone.*``, ``module.head.*``) and ``teacher`` (``backbone.*``,
    ``head.*``). The backbone file has the names of timm's ViT or torchvision's ResNet without any head, as many other
    files have: it is read in this format if the format is named.
Source
    facebookresearch/dino ``main_dino.py``, ``vision_transformer.py`` and ``utils.py``.
Evaluated
    The teacher. ``weights: raw`` reads the student.
"""

from __future__ import annotations

from pretrain.foreign.interface import Facts, FormatInfo, Imported, State
from pretrain.foreign.parts import distilled

INFO = FormatInfo(
    name="dino",
    title="DINO checkpoint",
    source="facebookresearch/dino main_dino.py and vision_transformer.py",
    counts_finished_epochs=True,
    method="dino",
)


def recognise(state: State, facts: Facts) -> bool:
    return distilled.has_head(state) and not distilled.has_patch_head(state)


def can_hold(state: State, facts: Facts) -> bool:
    return distilled.is_backbone(state)


def to_ours(state: State, facts: Facts) -> Imported:
    """Return the backbone without the head.

    Raises
    ------
    InputError
        A key is missing, left over or of another shape.
    """
    return distilled.to_ours("dino", state)
