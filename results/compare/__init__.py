"""Compares one method with its baseline, paired run by run."""

from results.compare.formats import render_comparison
from results.compare.pairing import Comparison, Group, Unpaired, compare
from results.variants import variants

__all__ = ["Comparison", "Group", "Unpaired", "compare", "render_comparison", "variants"]
