"""Prints tables as JSON. Keys and types don't change within one ``schema_version``."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from results.tables.model import Cell, Table

SCHEMA_VERSION = 1


def render(table: Table) -> str:
    """Return ``table`` as JSON; ``rows[i].cells[column]`` is a ``Cell`` with its unit, and missing values are null."""
    document = {
        "schema_version": SCHEMA_VERSION,
        "id": table.id,
        "title": table.title,
        "caption": table.caption,
        "source": table.source,
        "labels": table.labels,
        "columns": table.columns,
        "rows": [
            {
                "labels": dict(zip(table.labels, row.labels, strict=True)),
                "published_by": row.published_by,
                "cells": {name: _cell(cell) for name, cell in zip(table.columns, row.cells, strict=True)},
            }
            for row in table.rows
        ],
        "notes": table.notes,
    }
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


def _cell(cell: Cell) -> dict[str, Any]:
    fields = {name: value for name, value in asdict(cell).items() if name not in ("declaration", "data")}
    return {**fields, "unit": None if cell.declaration is None else cell.declaration.unit}
