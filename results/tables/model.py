"""What a table is."""

from __future__ import annotations

from dataclasses import dataclass

WITHOUT_RUNS = ("not planned", "cited", "published")
"""States of cells that no run belongs to."""


@dataclass(frozen=True)
class Cell:
    """One number with its spread, or the reason why there is none.

    Parameters
    ----------
    state
        ``done``; ``mixed`` (runs that must not be averaged); ``missing`` (done, but without this metric);
        ``not defined`` (done, but the metric has no value on this data, such as an AP without objects);
        ``running``, ``waiting``, ``planned``, ``unknown``, ``failed``, ``cancelled`` as of the runs; ``not planned``;
        ``cited`` (a method the paper cites and this suite does not run); ``published`` (of the paper alone).
    mean, standard_error
        Over seeds, in the metric's unit; the sample standard error (ddof = 1) is None for a single seed.
    n, seeds
        Seeds done, and seeds there are in all.
    published
        The printed number, as printed.
    difference
        ``mean`` minus the published number; None too where ``other_data`` says that they can't be compared.
    reason
        One sentence about what is not done, missing or mixed.
    recipes
        ``<protocol> <id>@<version>``, ``*`` marking recipes of which the sweep changed something.
    decimals
        Digits after the point that the metric is printed with.
    run_ids
        The runs averaged, by seed.
    other_data
        How the data of its runs differ from the published sets of their names.
    agreement
        ``within`` when the difference is no larger than the metric's tolerance, else ``above`` or ``below``.
    better, best
        Ours is better than our number of the row's baseline; the best of ours on its backbone.
    published_better, published_best
        The same of the published numbers.
    """

    state: str
    mean: float | None = None
    standard_error: float | None = None
    n: int = 0
    seeds: int = 0
    published: str | None = None
    difference: float | None = None
    metric: str | None = None
    reason: str | None = None
    recipes: tuple[str, ...] = ()
    decimals: int = 1
    run_ids: tuple[str, ...] = ()
    other_data: tuple[str, ...] = ()
    agreement: str | None = None
    better: bool = False
    best: bool = False
    published_better: bool = False
    published_best: bool = False


@dataclass(frozen=True)
class Row:
    """One line; ``published_by`` is who printed the published numbers: ``paper`` or ``official``."""

    labels: tuple[str, ...]
    cells: tuple[Cell, ...]
    published_by: str = "paper"


@dataclass(frozen=True)
class Table:
    """``labels`` and ``columns`` are the header: the words that name a row, then what is measured.

    ``source`` says where the published numbers were printed; None for a table of our own.
    """

    id: str
    title: str
    caption: str
    source: str | None
    labels: tuple[str, ...]
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    published_only: bool = False

    @property
    def has_runs(self) -> bool:
        """Whether any run belongs to the table, whatever its state."""
        return any(cell.state not in WITHOUT_RUNS for row in self.rows for cell in row.cells)
