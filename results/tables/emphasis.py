"""Marks numbers by the paper's rule: bold if our method improves on its baseline row, underlined if best.

Section 4.1: "The bold number highlights the improvement of OPERA compared with the associated method", and a second
mark, red in print, for the best performance. A row's associated method is the nearest row above it that is the table's
baseline and has the same backbone, finetuning epochs and pretraining data. The declaration names our method and the
baseline. The best is chosen among the paper's rows of one backbone and pretraining dataset. Our numbers are compared
only if their data are equal (``Data.is_comparable``).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace

from results.reference import published_metric, published_number
from results.tables.model import Cell, Row, Table

_SAME = ("Backbone", "Backbone.", "F.T.", "Pretrained on")
_GROUP = ("Backbone", "Backbone.", "Pretrained on")


def emphasise(table: Table, baseline: str, ours: str, metrics: Sequence[str | None]) -> Table:
    """Return ``table`` with the marks set.

    Parameters
    ----------
    baseline, ours
        Words of the label column ``Method``, as in a declaration.
    metrics
        Metric of each column; None if its cells have several metrics.
    """
    if "Method" not in table.labels:
        return table
    rows = [list(row.cells) for row in table.rows]
    for column in range(len(table.columns)):
        direction = _direction(metrics[column], [row.cells[column] for row in table.rows])
        measured = [_directed(direction, _shown(row.cells[column])) for row in table.rows]
        printed = [_directed(direction, _number(row.cells[column].published)) for row in table.rows]
        is_comparable = functools.partial(_on_equal_data, [row.cells[column] for row in table.rows])
        for index in _improved(table, measured, baseline, ours, is_comparable):
            rows[index][column] = replace(rows[index][column], better=True)
        for index in _leading(table, measured, is_comparable):
            rows[index][column] = replace(rows[index][column], best=True)
        for index in _improved(table, printed, baseline, ours):
            rows[index][column] = replace(rows[index][column], published_better=True)
        for index in _leading(table, printed):
            rows[index][column] = replace(rows[index][column], published_best=True)
    filled = (replace(row, cells=tuple(cells)) for row, cells in zip(table.rows, rows, strict=True))
    return replace(table, rows=tuple(filled))


def _direction(metric: str | None, cells: Sequence[Cell]) -> int:
    """Return 1 if a higher number of the column is better, −1 if a lower one is, 0 if no direction is declared.

    A column of several metrics, and published numbers of an unknown metric, count as higher is better.
    """
    declared = {cell.declaration.higher_is_better for cell in cells if cell.declaration is not None}
    if not declared and metric is not None and (published := published_metric(metric)):
        declared = {published.higher_is_better}
    if len(declared) > 1 or None in declared:
        return 0
    return -1 if False in declared else 1


def _directed(direction: int, value: float | None) -> float | None:
    """Return ``direction * value``; None without value or direction, so that the number gets no mark."""
    return direction * value if direction and value is not None else None


def _shown(cell: Cell) -> float | None:
    """Return the mean rounded as printed: numbers that look equal must not count as an improvement."""
    return None if cell.mean is None else round(cell.mean, cell.decimals)


def _number(printed: str | None) -> float | None:
    return None if printed is None else published_number(printed)


def _on_equal_data(cells: Sequence[Cell], index: int, other: int) -> bool:
    """Return whether both cells have a number, and on comparable data."""
    data, theirs = cells[index].data, cells[other].data
    return data is not None and theirs is not None and data.is_comparable(theirs)


def _always(_index: int, _other: int) -> bool:
    return True


def _improved(
    table: Table,
    numbers: Sequence[float | None],
    baseline: str,
    ours: str,
    is_comparable: Callable[[int, int], bool] = _always,
) -> list[int]:
    """Return the indices of rows of our method whose number is better than that of their baseline row."""
    improved = []
    for index, row in enumerate(table.rows):
        number = numbers[index]
        if number is None or not _label_word(table, row, "Method").startswith(ours):
            continue
        above = [
            other
            for other in range(index)
            if _label_word(table, table.rows[other], "Method") == baseline
            and all(_label_word(table, table.rows[other], label) == _label_word(table, row, label) for label in _SAME)
        ]
        theirs = numbers[above[-1]] if above else None
        if theirs is not None and number > theirs and is_comparable(index, above[-1]):
            improved.append(index)
    return improved


def _leading(
    table: Table, numbers: Sequence[float | None], is_comparable: Callable[[int, int], bool] = _always
) -> list[int]:
    """Return the indices of rows whose number is the best of those in their group that are comparable with it.

    A number without a comparable one has no mark.
    """
    leading = []
    for group in groups(table):
        filled = {index: number for index in group if (number := numbers[index]) is not None}
        for index, number in filled.items():
            others = [value for other, value in filled.items() if other != index and is_comparable(index, other)]
            if others and number >= max(others):
                leading.append(index)
    return leading


def groups(table: Table) -> list[list[int]]:
    """Return the indices of the paper's rows, grouped by backbone and pretraining dataset."""
    found: dict[tuple[str, ...], list[int]] = {}
    for index, row in enumerate(table.rows):
        if row.published_by == "paper":
            found.setdefault(tuple(_label_word(table, row, label) for label in _GROUP), []).append(index)
    return list(found.values())


def _label_word(table: Table, row: Row, label: str) -> str:
    return row.labels[table.labels.index(label)] if label in table.labels else ""
