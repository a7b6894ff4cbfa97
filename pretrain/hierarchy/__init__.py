"""The paper's hierarchy: an ordered list of spaces, each with a head, labels and an objective (section 3.2)."""

from pretrain.hierarchy.objectives import ClassLabels, InstanceContrast, MaskedPixels
from pretrain.hierarchy.spaces import BACKBONE, MASKED_PATCHES, Head, Hierarchy, Masking, Space

__all__ = [
    "BACKBONE",
    "MASKED_PATCHES",
    "ClassLabels",
    "Head",
    "Hierarchy",
    "InstanceContrast",
    "MaskedPixels",
    "Masking",
    "Space",
]
