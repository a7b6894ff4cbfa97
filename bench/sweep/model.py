"""Defines the checked sweep. Doesn't import torch."""

from __future__ import annotations

from bench.sweep.file import SweepFile
from bench.sweep.source import Source


class Sweep:
    """A checked sweep and its source, which knows the line of every key.

    Parameters
    ----------
    file
        The sweep file's content; its data, tables and figures include those of ``parts``.
    parts
        The included sweeps.
    groups
        The chosen groups of rows, as sweeps.

    ``asked_as`` is a digest of name, path, ``--set`` and ``--tiny``, because two sweeps may share a name. ``path`` is
    the sweep file, None for a shipped sweep.
    """

    def __init__(
        self, file: SweepFile, source: Source, parts: tuple[Sweep, ...] = (), groups: tuple[Sweep, ...] = ()
    ) -> None:
        self.file = file
        self.source = source
        self.parts = parts
        self.groups = groups
        self.asked_as = ""
        self.path: str | None = None

    @property
    def name(self) -> str:
        return self.file.name

    def where(self, *path: str | int) -> str:
        return self.source.where(path)
