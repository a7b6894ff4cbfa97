"""Writes the notes under a table: meaning of signs and marks, recipes, reasons for missing numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from results.tables.emphasis import groups
from results.tables.layout import Layout
from results.tables.model import Cell, Row, Table


def notes_for(table: Table, layout: Layout) -> tuple[str, ...]:
    """Return a filled table's notes: general ones, then the declaration's, then reasons for missing numbers."""
    return (
        *_signs(table),
        *_marks(table, layout),
        *_not_compared(table),
        *_other_data(table),
        *_recipes(table),
        *layout.notes,
        *_reasons(table),
    )


def notes_for_paper(table: Table, layout: Layout) -> tuple[str, ...]:
    """Return the notes of a table of published numbers alone: the meaning of its marks."""
    return tuple(_marks(table, layout))


def _cells(table: Table) -> Iterator[tuple[Row, str, Cell]]:
    for row in table.rows:
        for column, cell in zip(table.columns, row.cells, strict=True):
            yield row, column, cell


def _signs(table: Table) -> Iterator[str]:
    cells = [cell for _, _, cell in _cells(table)]
    if any(cell.standard_error is not None for cell in cells):
        yield "± is the sample standard error over seeds (ddof = 1), n the number of seeds."
    if any(cell.n == 1 for cell in cells):
        yield "A number from one seed has no spread to show."
    if any(cell.difference is not None for cell in cells):
        yield "Δ is ours minus the printed number."
    if any("†" in label for row in table.rows for label in row.labels):
        meaning = (
            "the paper's own reproductions" if table.source else "what the paper reproduced; here it is a run of ours"
        )
        yield f"† marks {meaning}."
    if any(row.published_by == "official" for row in table.rows):
        source = "MoCo-v3's own repository reports" if table.source else "the method's authors report"
        yield f"official: as {source} it, and ours from its released files."


def _marks(table: Table, layout: Layout) -> Iterator[str]:
    cells = [cell for _, _, cell in _cells(table)]
    better = [cell.published_better if table.published_only else cell.better for cell in cells]
    best = [cell.published_best if table.published_only else cell.best for cell in cells]
    if any(better):
        row = f"the {layout.baseline} row it belongs to"
        yield f"Bold: {layout.ours} better than {row}, as a mean and whatever the spread."
    if any(best):
        yield "Underlined: the best of its backbone."


def _not_compared(table: Table) -> Iterator[str]:
    """Yield one line for all columns in which the same rows have data of one name, but different data.

    Rows of a group that no mark compares would otherwise look as if they were worse.
    """
    columns: dict[str, list[str]] = {}
    for position, column in enumerate(table.columns if "Method" in table.labels else ()):
        for group in groups(table):
            for difference in _differences([table.rows[index] for index in group], position):
                columns.setdefault(difference, []).append(column)
    for difference, names in columns.items():
        yield f"{', '.join(names)}: bold and underlined compare only numbers on equal data. {difference}."


def _differences(rows: Sequence[Row], position: int) -> Iterator[str]:
    """Describe each dataset that has several fingerprints in these rows' cells at ``position``."""
    uses: dict[str, dict[str, list[str]]] = {}
    for row in rows:
        data = row.cells[position].data
        if data is not None:
            used = {f"evaluated on {data.dataset}": data.fingerprint}
            used |= {f"pretrained on {data.pretrain_dataset}": data.pretrain_fingerprint or ""}
            for use, fingerprint in used.items():
                uses.setdefault(use, {}).setdefault(fingerprint, []).append(", ".join(row.labels))
    for use, by_fingerprint in uses.items():
        known = {fingerprint: labels for fingerprint, labels in by_fingerprint.items() if fingerprint}
        if len(known) > 1:
            sets = (f"with data {fingerprint[:12]}: {', '.join(labels)}" for fingerprint, labels in known.items())
            yield f"Rows {use} {'; '.join(sets)}"


def _other_data(table: Table) -> Iterator[str]:
    if any(cell.other_data for _, _, cell in _cells(table)):
        compared = any(cell.other_data and cell.published is not None for _, _, cell in _cells(table))
        descriptions = sorted({words for _, _, cell in _cells(table) for words in cell.other_data})
        yield f"{'; '.join(descriptions)}{': no Δ to the printed number' if compared else ''}."


def _recipes(table: Table) -> Iterator[str]:
    recipes = sorted({recipe for _, _, cell in _cells(table) for recipe in cell.recipes})
    if recipes:
        changed = "; * marks a recipe of which something was set differently" if "*" in "".join(recipes) else ""
        yield f"Recipes: {', '.join(recipes)}{changed}."


def _reasons(table: Table) -> Iterator[str]:
    """Yield one line per row and reason, with all columns that share the reason."""
    columns: dict[tuple[str, str], list[str]] = {}
    for row, column, cell in _cells(table):
        if cell.reason is not None:
            what = f"{cell.n} of {cell.seeds} seeds" if cell.state == "done" else cell.state
            columns.setdefault((", ".join(row.labels), f"{what}: {cell.reason}"), []).append(column)
    for (labels, why), explained in columns.items():
        yield f"{labels}; {', '.join(explained)}: {why}."
