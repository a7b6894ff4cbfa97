"""Finds, draws and saves figures. Each figure is one module; ``_ablation.py`` holds those that vary one setting.

A figure module has

``TITLE: str``, ``CAPTION: str``
    what the figure shows and how to read it; the caption is also the text for readers who can't see the figure.
``draw(runs, frame) -> matplotlib.figure.Figure``
    draws the picture;
``data(runs, frame) -> pandas.DataFrame``
    returns all numbers in the picture.

``draw`` and ``data`` raise ``InputError`` if there is nothing to show. To add a figure, add a module here, or offer one
from another distribution under the entry point group ``opera_bench.figures``.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Sequence
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from results.errors import InputError
from results.figures._ablation import ABLATIONS
from results.figures._style import style
from results.plugins import Offer, entry_points_of, find, find_refusals, load, owner_of

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from results.store import Run

FORMATS = ("png", "svg", "pdf")
ENTRY_POINTS = "opera_bench.figures"


class FigureModule(Protocol):
    """The interface of a figure module."""

    TITLE: str
    CAPTION: str

    def draw(self, runs: Sequence[Run], frame: pd.DataFrame) -> Figure: ...

    def data(self, runs: Sequence[Run], frame: pd.DataFrame) -> pd.DataFrame: ...


def figure_names() -> tuple[str, ...]:
    """Return the names of all shipped and offered figures, sorted."""
    return tuple(sorted({*_shipped(), *(offer.name for offer in _offers())}))


def find_figure(name: str) -> FigureModule:
    """Return the figure called ``name``.

    Raises
    ------
    InputError
        No such figure: the message gives the nearest match and lists all figures. Or the module can't be used.
    """
    offer = find("figure", name, _shipped(), _offers())
    if offer is not None:
        return cast(FigureModule, load("figure", offer))
    return cast(FigureModule, ABLATIONS.get(name) or importlib.import_module(f"{__name__}.{name}"))


def refused_figures() -> list[str]:
    """Return one sentence for each figure of another distribution that can't be used."""
    return find_refusals(find_figure, _offers())


@functools.cache
def _shipped() -> tuple[str, ...]:
    modules = (module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))
    return (*modules, *ABLATIONS)


@functools.cache
def _offers() -> tuple[Offer, ...]:
    points = entry_points_of(ENTRY_POINTS)
    return tuple(Offer(point.name, owner_of(point), point.value, functools.partial(_load, point)) for point in points)


def _load(point: EntryPoint) -> object:
    module = point.load()
    for attribute in ("TITLE", "CAPTION", "draw", "data"):
        if not hasattr(module, attribute):
            raise InputError(f"it has no {attribute}")
    return module


def save_figure(
    name: str,
    runs: Sequence[Run],
    frame: pd.DataFrame,
    out_dir: Path,
    format: str = "png",  # noqa: A002
) -> Path:
    """Write the picture ``<name>.<format>`` and its numbers ``<name>.csv`` to ``out_dir``; return the picture's path.

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
        # Write no date, so that equal figures give equal files.
        figure.savefig(picture, metadata={"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(format))
    module.data(runs, frame).to_csv(out_dir / f"{name}.csv", index=False)
    return picture


__all__ = ["FORMATS", "FigureModule", "figure_names", "find_figure", "refused_figures", "save_figure"]
