"""Checkpoints of other projects: conversion between their state dicts and ours, one module per format.

A format module has ``INFO``, ``recognise``, ``to_ours`` and, if files of it are written, ``from_ours``; see
``interface``. ``parts`` reads and writes files and identifies backbones. No code from a file is ever executed, and
importing this package imports no torch.
"""

from pretrain.foreign.lookup import format_names, writable_format_names

__all__ = ["format_names", "writable_format_names"]
