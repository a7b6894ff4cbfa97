"""The paper's structure: an ordered list of spaces, each with a head, labels and an objective (section 3.2)."""

from pretrain.hierarchy.spaces import BACKBONE, ClassLabels, Head, Hierarchy, InstanceContrast, Space

__all__ = ["BACKBONE", "ClassLabels", "Head", "Hierarchy", "InstanceContrast", "Space"]
