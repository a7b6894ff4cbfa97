"""Defines the style of all figures: one Okabe–Ito colour and one marker per method.

Each method has both, so that figures are readable in grey print and with any colour vision (Okabe & Ito, *Color
Universal Design*, 2008).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from results.titles import BACKBONES, METHODS, PROTOCOLS, place, title

INK = "#222222"
MUTED = "#6b6b6b"
GRID = "#e3e3e3"


@dataclass(frozen=True)
class MethodStyle:
    """Label, colour and marker of one method variant."""

    label: str
    colour: str
    marker: str


_LOOKS = {
    "random_init": ("#7f7f7f", "X"),
    "supervised": ("#009E73", "^"),
    "supervised_mlp": ("#56B4E9", "v"),
    "moco_v3": ("#0072B2", "s"),
    "opera": ("#D55E00", "o"),
    "opera (A)": ("#E69F00", "<"),
    "opera (B)": ("#CC79A7", ">"),
    "opera_mim": ("#000000", "P"),
}
_STYLES = {name: MethodStyle(title(METHODS, name), *look) for name, look in _LOOKS.items()}
_OTHER_COLOURS = ("#000000", "#56B4E9", "#009E73", "#CC79A7", "#E69F00")
_OTHER_MARKERS = ("D", "d", "p", "h", "*")


def method_style(variant: str) -> MethodStyle:
    """The style of a variant label; for an unknown variant, colour and marker depend only on its name."""
    if variant in _STYLES:
        return _STYLES[variant]
    choice = zlib.crc32(variant.encode())
    marker = _OTHER_MARKERS[choice // len(_OTHER_COLOURS) % len(_OTHER_MARKERS)]
    return MethodStyle(title(METHODS, variant), _OTHER_COLOURS[choice % len(_OTHER_COLOURS)], marker)


def backbone_label(name: str) -> str:
    return title(BACKBONES, name)


def protocol_label(name: str) -> str:
    return title(PROTOCOLS, name)


def method_order(variant: str) -> tuple[int, str]:
    """Sort key of a variant: from random initialisation to OPERA, then all others by name."""
    return place(METHODS, variant)


def backbone_order(name: str) -> tuple[int, str]:
    return place(BACKBONES, name)


def protocol_order(name: str) -> tuple[int, str]:
    return place(PROTOCOLS, name)


def panel_grid(count: int) -> tuple[int, int]:
    """Rows and columns for ``count`` panels: at most four columns, rows filled as evenly as possible."""
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
    }
    with matplotlib.rc_context(settings):
        yield
