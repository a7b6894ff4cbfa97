"""Defines the style of all figures; ``results/reference/methods.yaml`` declares colours and markers of methods."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from results.reference import load_methods
from results.titles import BACKBONES, PROTOCOLS, listing_order, title

INK = "#222222"
MUTED = "#6b6b6b"
GRID = "#e3e3e3"


@dataclass(frozen=True)
class MethodStyle:
    """Label, colour and marker of one method variant."""

    label: str
    colour: str
    marker: str


_OTHER_COLOURS = ("#000000", "#56B4E9", "#009E73", "#CC79A7", "#E69F00")
_OTHER_MARKERS = ("D", "d", "p", "h", "*")


def method_style(variant: str) -> MethodStyle:
    """Return the style of a variant label; for an unknown variant, colour and marker depend only on its name."""
    look = load_methods().variants.get(variant)
    if look is not None and look.colour and look.marker:
        return MethodStyle(look.title, look.colour, look.marker)
    choice = zlib.crc32(variant.encode())
    marker = _OTHER_MARKERS[choice // len(_OTHER_COLOURS) % len(_OTHER_MARKERS)]
    return MethodStyle(load_methods().title(variant), _OTHER_COLOURS[choice % len(_OTHER_COLOURS)], marker)


def backbone_label(name: str) -> str:
    return title(BACKBONES, name)


def protocol_label(name: str) -> str:
    return title(PROTOCOLS, name)


def method_order(variant: str) -> tuple[int, str]:
    """Return a variant's sort key: the declared variants in their order, then all others by name."""
    return listing_order(load_methods().variants, variant)


def backbone_order(name: str) -> tuple[int, str]:
    return listing_order(BACKBONES, name)


def protocol_order(name: str) -> tuple[int, str]:
    return listing_order(PROTOCOLS, name)


def panel_grid(count: int) -> tuple[int, int]:
    """Return rows and columns for ``count`` panels: at most four columns, rows filled as evenly as possible."""
    rows = -(-count // 4)
    return rows, -(-count // rows)


@contextmanager
def style(name: str) -> Iterator[None]:
    """Apply the suite's matplotlib settings while figure ``name`` is drawn and written; equal input gives equal SVG."""
    import matplotlib

    # Typed Any, because only some versions of matplotlib have types for these keys.
    settings: Any = {
        "font.size": 9,
        "axes.titlesize": 9.5,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.labelsize": 9,
        "axes.labelcolor": INK,
        "axes.edgecolor": MUTED,
        "axes.linewidth": 0.8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": False,
        "grid.color": GRID,
        "grid.linewidth": 0.8,
        "axes.axisbelow": True,
        "xtick.color": MUTED,
        "ytick.color": MUTED,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "legend.frameon": False,
        "legend.fontsize": 8.5,
        "figure.dpi": 100,
        "savefig.dpi": 200,
        "figure.constrained_layout.use": True,
        "svg.hashsalt": name,
        "pdf.fonttype": 42,
        "text.parse_math": False,  # labels and units are other people's text, which may hold a $
    }
    with matplotlib.rc_context(settings):
        yield
