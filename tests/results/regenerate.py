"""Golden tables: what each format looks like. ``python -m tests.results.regenerate`` writes them anew."""

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


def golden_texts(runs: Path) -> Iterator[tuple[str, str]]:
    """(file name, text) of every golden table, made of fixed runs written below ``runs``.

    Every table of the suite in every format, with cells in every state; the paper's own tables alone; and the paper's
    tables in miniature, for the eye.
    """
    write_fixed_runs(runs / "fixed")
    write_paper_runs(runs / "paper", PAPER, seeds=2, unfinished=True)
    write_paper_runs(runs / "tiny", TINY, seeds=2)
    for directory, names in (
        ("fixed", ("digits", "digits-arrangements", "table1")),
        ("paper", [name for name in published_table_names() if name != "table1"]),
    ):
        rows = RunRows(results.load(runs / directory))
        for name in names:
            table = build_table(name, rows)
            for output_format in format_names():
                yield f"{name}.{output_format}", render_table(table, output_format)
            yield f"{name}.txt", terminal_text(table)
    for name in published_table_names():
        for output_format in format_names() if name == "table5" else ("md",):
            yield f"{name}-paper.{output_format}", render_table(paper_table(name), output_format)
    rows = RunRows(results.load(runs / "tiny"))
    for name in published_table_names():
        for output_format in ("md", "tex"):
            yield f"{name}-tiny.{output_format}", render_table(build_table(name, rows), output_format)


def terminal_text(table: Table, width: int = 120) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None, legacy_windows=False)
    with console.capture() as capture:
        console.print(render_terminal(table))
    return capture.get()


if __name__ == "__main__":
    GOLDEN.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        for name, text in golden_texts(Path(directory)):
            (GOLDEN / name).write_text(text, encoding="utf-8")
