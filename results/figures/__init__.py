"""Figures, one module each, found by name.

A figure module offers

``TITLE: str``, ``CAPTION: str``
    what it shows, and how to read it; the caption is also its text for those who can't see it.
``draw(runs, frame) -> matplotlib.figure.Figure``
    the picture;
``data(runs, frame) -> pandas.DataFrame``
    every number in it.

Both raise ``InputError`` when there is nothing to show. Adding a figure is adding a module here.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from results.errors import InputError
from results.figures._style import style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from results.store import Run

FORMATS = ("png", "svg", "pdf")


class FigureModule(Protocol):
    """The shape of a module in ``results.figures``."""

    TITLE: str
    CAPTION: str

    def draw(self, runs: Sequence[Run], frame: pd.DataFrame) -> Figure: ...

    def data(self, runs: Sequence[Run], frame: pd.DataFrame) -> pd.DataFrame: ...


def figure_names() -> tuple[str, ...]:
    """Every figure there is, sorted."""
    names = (module.name for module in pkgutil.iter_modules(__path__))
    return tuple(sorted(name for name in names if not name.startswith("_")))


def find_figure(name: str) -> FigureModule:
    """The figure called ``name``.

    Raises
    ------
    InputError
        No such figure; the message lists what there is and the nearest match.
    """
    names = figure_names()
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise InputError(f"unknown figure {name!r}; {hint}allowed: {', '.join(names)}")
    return cast(FigureModule, importlib.import_module(f"{__name__}.{name}"))


def save_figure(
    name: str,
    runs: Sequence[Run],
    frame: pd.DataFrame,
    out_dir: Path,
    format: str = "png",  # noqa: A002
) -> Path:
    """Write ``<name>.<format>`` and ``<name>.csv``, the numbers in it, to ``out_dir``; returns the picture's path.

    Raises
    ------
    InputError
        Unknown figure or format, or nothing to show.
    """
    if format not in FORMATS:
        raise InputError(f"no figure format {format!r}; allowed: {', '.join(FORMATS)}")
    module = find_figure(name)
    with style(name):
        figure = module.draw(runs, frame)
        out_dir.mkdir(parents=True, exist_ok=True)
        picture = out_dir / f"{name}.{format}"
        # A date in the file would make equal figures differ.
        figure.savefig(picture, metadata={"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(format))
    module.data(runs, frame).to_csv(out_dir / f"{name}.csv", index=False)
    return picture


__all__ = ["FORMATS", "FigureModule", "figure_names", "find_figure", "save_figure"]
