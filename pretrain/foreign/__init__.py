"""Checkpoints of other projects: pure functions between their state dicts and ours, one format a file.

A format module offers ``INFO``, ``recognise``, ``to_ours`` and, if its files are written here, ``from_ours``; see
``interface``. Reading files, finding out which backbone the weights are of, and writing them stand in ``parts``.
Nothing here is executed from a file, and importing this package imports no torch.
"""

from pretrain.foreign.lookup import format_names, writable_format_names

__all__ = ["format_names", "writable_format_names"]
