"""Defines a filled table: cells, rows, header and notes."""

from __future__ import annotations

from dataclasses import dataclass

from results.metrics import Metric

WITHOUT_RUNS = ("not planned", "cited", "published")
"""States of cells without runs."""


@dataclass(frozen=True)
class Data:
    """The data behind a cell's number: names and fingerprints of the datasets of pretraining and evaluation.

    ``pretrain_fingerprint`` is None for untrained and imported weights, and without the pretraining's record.
    """

    dataset: str
    fingerprint: str
    pretrain_dataset: str
    pretrain_fingerprint: str | None

    def is_comparable(self, other: Data) -> bool:
        """Return whether marks may compare two numbers.

        Both must be evaluated on the same data. If both were pretrained on a dataset of the same name, the fingerprints
        must be equal; an unknown one equals any other.
        """
        if (self.dataset, self.fingerprint) != (other.dataset, other.fingerprint):
            return False
        known = {self.pretrain_fingerprint, other.pretrain_fingerprint} - {None}
        return self.pretrain_dataset != other.pretrain_dataset or len(known) < 2


@dataclass(frozen=True)
class Cell:
    """One number with its spread, or the reason why the number is missing.

    Parameters
    ----------
    state
        ``done``; ``mixed`` (runs that must not be averaged); ``missing`` (done, but without this metric);
        ``not defined`` (done, but the metric has no value on this data, such as an AP without objects);
        a state of the unfinished runs (``running``, ``waiting``, ``planned``, ``damaged``, ``unknown``, ``failed``,
        ``cancelled``); ``not planned``; ``cited`` (a row of a method that the paper cites, without runs);
        ``published`` (a cell of a table of published numbers alone).
    mean, standard_error
        Over seeds, in the metric's unit; the sample standard error (ddof = 1) is None for a single seed.
    n, seeds
        Number of finished seeds, and of all planned seeds.
    published
        The published number as printed.
    difference
        ``mean`` minus the published number; None if either is missing or ``other_data`` makes them incomparable.
    reason
        One sentence about runs that are unfinished, lack the metric, or must not be averaged.
    recipes
        ``<protocol> <id>@<version>``, followed by ``*`` if the sweep changed some of the recipe's settings.
    declaration
        The metric as the evaluator declares it; None without a number.
    decimals
        Number of digits printed after the decimal point.
    run_ids
        The averaged runs, by seed.
    other_data
        How the runs' data differ from the published datasets of the same names.
    data
        The data of the averaged runs; None without a number.
    agreement
        ``within`` if the difference is at most the metric's tolerance, else ``above`` or ``below``.
    better, best
        Our number is better than our number in the row's baseline; our number is the best of its backbone. Only
        numbers on the same data are compared.
    published_better, published_best
        The published number is better than its baseline's, or the best of its backbone.
    """

    state: str
    mean: float | None = None
    standard_error: float | None = None
    n: int = 0
    seeds: int = 0
    published: str | None = None
    difference: float | None = None
    metric: str | None = None
    declaration: Metric | None = None
    reason: str | None = None
    recipes: tuple[str, ...] = ()
    decimals: int = 1
    run_ids: tuple[str, ...] = ()
    other_data: tuple[str, ...] = ()
    data: Data | None = None
    agreement: str | None = None
    better: bool = False
    best: bool = False
    published_better: bool = False
    published_best: bool = False


@dataclass(frozen=True)
class Row:
    """One row; ``published_by`` names the source of its published numbers: ``paper`` or ``official``."""

    labels: tuple[str, ...]
    cells: tuple[Cell, ...]
    published_by: str = "paper"


@dataclass(frozen=True)
class Table:
    """A filled table. Its header is ``labels``, which name a row, followed by ``columns``, which hold numbers.

    ``source`` says where the published numbers were printed; None for an own table.
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
        """Whether any cell has a run, in whatever state."""
        return any(cell.state not in WITHOUT_RUNS for row in self.rows for cell in row.cells)
