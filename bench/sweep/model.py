"""A checked sweep. Imports no torch."""

from __future__ import annotations

from bench.sweep.file import SweepFile
from bench.sweep.source import Source


class Sweep:
    """A checked sweep beside its source, which knows the line of every part.

    Parameters
    ----------
    file
        What the sweep says itself; its data, tables and figures are joined by those of ``parts``.
    parts
        The included sweeps.

    ``asked_as`` stands for what was typed, file, assignments and all: two sweeps may have one name. ``path`` is the
    file, None for a sweep that comes with the package.
    """

    def __init__(self, file: SweepFile, source: Source, parts: tuple[Sweep, ...] = ()) -> None:
        self.file = file
        self.source = source
        self.parts = parts
        self.asked_as = ""
        self.path: str | None = None

    @property
    def name(self) -> str:
        return self.file.name

    def where(self, *path: str | int) -> str:
        return self.source.where(path)
