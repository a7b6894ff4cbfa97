"""Golden tables. ``python -m tests.results.regenerate`` writes them anew.

Every shipped table is written as Markdown; Table 1, whose cells have every part that a renderer prints, in all formats.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

import results
from results.render import format_names, render_table
from results.render.terminal import render as render_terminal
from results.tables import RunRows, Table, build_table, paper_table, published_table_names
from tests.results.fixed_runs import write_fixed_runs
from tests.results.paper_runs import PAPER, TINY, write_paper_runs

GOLDEN = Path(__file__).parents[1] / "golden" / "tables"
IN_EVERY_FORMAT = "table1"


def golden_tables(runs: Path) -> Iterator[tuple[str, Table]]:
    """(file name without extension, table) of every golden table, made of fixed runs that are written below ``runs``.

    The shipped tables with cells in every state, the published numbers alone, and the published tables in miniature.
    """
    write_fixed_runs(runs / "fixed")
    write_paper_runs(runs / "paper", PAPER, seeds=2, unfinished=True)
    write_paper_runs(runs / "tiny", TINY, seeds=2)
    for directory, names in (
        ("fixed", ("digits", "digits-arrangements", "table1")),
        ("paper", [name for name in published_table_names() if name != "table1"]),
    ):
        rows = RunRows(results.load(runs / directory))
        yield from ((name, build_table(name, rows)) for name in names)
    yield from ((f"{name}-paper", paper_table(name)) for name in published_table_names())
    rows = RunRows(results.load(runs / "tiny"))
    yield from ((f"{name}-tiny", build_table(name, rows)) for name in published_table_names())


def golden_texts(runs: Path) -> Iterator[tuple[str, str]]:
    """(file name, text) of every golden file."""
    for name, table in golden_tables(runs):
        for output_format in format_names() if name == IN_EVERY_FORMAT else ("md",):
            yield f"{name}.{output_format}", render_table(table, output_format)
        if name == IN_EVERY_FORMAT:
            yield f"{name}.txt", terminal_text(table)


def terminal_text(table: Table, width: int = 120) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None, legacy_windows=False)
    with console.capture() as capture:
        console.print(render_terminal(table))
    return capture.get()


if __name__ == "__main__":
    GOLDEN.mkdir(parents=True, exist_ok=True)
    for file in GOLDEN.iterdir():
        file.unlink()
    with tempfile.TemporaryDirectory() as directory:
        for name, text in golden_texts(Path(directory)):
            (GOLDEN / name).write_text(text, encoding="utf-8")
