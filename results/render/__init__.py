"""Prints tables. Each format is one module of its name with ``render(table)``.

``render`` returns text, except in ``terminal``, where it returns a rich Table for a rich console.
"""

from __future__ import annotations

import importlib
import pkgutil

from results.errors import InputError
from results.tables.model import Table

SHORT_NAMES = {"md": "markdown", "tex": "latex"}
"""File name extension → module, for formats whose module has another name."""


def format_names() -> tuple[str, ...]:
    """File name extensions of the formats that ``render_table`` accepts."""
    extensions = {module: extension for extension, module in SHORT_NAMES.items()}
    modules = (module.name for module in pkgutil.iter_modules(__path__))
    text = (name for name in modules if not name.startswith("_") and name != "terminal")
    return tuple(sorted(extensions.get(name, name) for name in text))


def render_table(table: Table, output_format: str) -> str:
    """``table`` as text, e.g. ``md``, ``tex``, ``csv``, ``html``, ``json``; ends with a newline.

    Raises
    ------
    InputError
        Unknown format; the message lists all formats.
    """
    names = format_names()
    if output_format not in (*names, *SHORT_NAMES.values()):
        raise InputError(f"unknown table format {output_format!r}; allowed: {', '.join(names)}")
    module = importlib.import_module(f"results.render.{SHORT_NAMES.get(output_format, output_format)}")
    text: str = module.render(table)
    return text
