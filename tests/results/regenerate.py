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
from results.tables import Table, build_table, paper_table
from tests.results.fixed_runs import write_fixed_runs

GOLDEN = Path(__file__).parents[1] / "golden" / "tables"


def golden_texts(runs: Path) -> Iterator[tuple[str, str]]:
    """(file name, text) of every golden table, made of the fixed runs written to ``runs``."""
    write_fixed_runs(runs)
    frame = results.load(runs)
    for name in ("digits", "digits-arrangements", "table1"):
        table = build_table(name, frame)
        for output_format in format_names():
            yield f"{name}.{output_format}", render_table(table, output_format)
        yield f"{name}.txt", terminal_text(table)
    for output_format in format_names():
        yield f"table5-paper.{output_format}", render_table(paper_table("table5"), output_format)


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
