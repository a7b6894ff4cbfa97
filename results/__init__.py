"""Reads the records of runs; makes data frames, tables, figures and a report. Doesn't import torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def load(runs_directory: str | Path) -> pd.DataFrame:
    """Return every run under ``runs_directory`` as a tidy frame, see ``results.frame.COLUMNS``.

    Warns about each record that can't be read, and leaves it out.
    """
    import warnings

    from results.frame import rows_to_frame
    from results.index import load_rows

    rows, problems = load_rows(Path(runs_directory))
    for problem in problems:
        warnings.warn(problem, stacklevel=2)
    return rows_to_frame(rows)


__all__ = ["load"]
