"""One look for every figure: Okabe–Ito colours and distinct markers, fixed per method.

Colour and marker say the same thing, so that a figure reads in grey print and with any colour vision
(Okabe & Ito, *Color Universal Design*, 2008).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

INK = "#222222"
MUTED = "#6b6b6b"
GRID = "#e3e3e3"


@dataclass(frozen=True)
class MethodStyle:
    """How one method variant is drawn, and what it is called."""

    label: str
    colour: str
    marker: str


_STYLES = {
    "random_init": MethodStyle("Random init.", "#7f7f7f", "X"),
    "supervised": MethodStyle("Supervised", "#009E73", "^"),
    "supervised_mlp": MethodStyle("Supervised (MLP)", "#56B4E9", "v"),
    "moco_v3": MethodStyle("MoCo-v3", "#0072B2", "s"),
    "opera": MethodStyle("OPERA", "#D55E00", "o"),
    "opera_mim": MethodStyle("OPERA-MIM", "#000000", "D"),
    "opera (A)": MethodStyle("OPERA (A)", "#E69F00", "<"),
    "opera (B)": MethodStyle("OPERA (B)", "#CC79A7", ">"),
}
_OTHER_COLOURS = ("#000000", "#56B4E9", "#009E73", "#CC79A7", "#E69F00")
_OTHER_MARKERS = ("D", "P", "p", "h", "*")

_BACKBONES = {
    "resnet50": "ResNet-50",
    "vit_small": "ViT-S",
    "vit_base": "ViT-B",
    "tiny_vit": "tiny ViT",
    "tiny_resnet": "tiny ResNet",
}
_PROTOCOLS = {
    "linear": "Linear probe",
    "finetune": "Finetuning",
    "knn": "k-NN",
    "transfer": "Transfer",
    "segmentation": "Segmentation",
    "detection": "Detection",
}


def method_style(variant: str) -> MethodStyle:
    """The style of a variant label; one that is not ours gets a lasting choice derived from its name."""
    if variant in _STYLES:
        return _STYLES[variant]
    choice = zlib.crc32(variant.encode())
    marker = _OTHER_MARKERS[choice // len(_OTHER_COLOURS) % len(_OTHER_MARKERS)]
    return MethodStyle(variant, _OTHER_COLOURS[choice % len(_OTHER_COLOURS)], marker)


def backbone_label(name: str) -> str:
    return _BACKBONES.get(name, name)


def protocol_label(name: str) -> str:
    return _PROTOCOLS.get(name, name)


def method_order(variant: str) -> tuple[int, str]:
    """Sort key: from random initialisation to OPERA, then everything else by name."""
    known = list(_STYLES)
    return (known.index(variant) if variant in known else len(known), variant)


def backbone_order(name: str) -> tuple[int, str]:
    known = list(_BACKBONES)
    return (known.index(name) if name in known else len(known), name)


def protocol_order(name: str) -> tuple[int, str]:
    known = list(_PROTOCOLS)
    return (known.index(name) if name in known else len(known), name)


def panel_grid(count: int) -> tuple[int, int]:
    """Rows and columns for ``count`` panels: at most four side by side, rows as even as they can be."""
    rows = -(-count // 4)
    return rows, -(-count // rows)


@contextmanager
def style(name: str) -> Iterator[None]:
    """matplotlib's settings while figure ``name`` is drawn and written; equal input gives equal SVG bytes."""
    import matplotlib

    # Any: only some versions of matplotlib type its keys one by one.
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
