"""From the records that runs leave to data frames, tables, figures and a report. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def load(runs_directory: str | Path) -> pd.DataFrame:
    """Every run under ``runs_directory`` as a tidy frame, see ``results.frame.COLUMNS``.

    A record that can't be read is warned about; the others are returned.
    """
    import warnings

    from results.frame import rows_to_frame
    from results.index import load_rows

    rows, problems = load_rows(Path(runs_directory))
    for problem in problems:
        warnings.warn(problem, stacklevel=2)
    return rows_to_frame(rows)


__all__ = ["load"]
