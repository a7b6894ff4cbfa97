"""Prints and writes the tables, figures and report of a set of runs, made by the package ``results``."""

from __future__ import annotations

import contextlib
import hashlib
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import results
from bench.runs.states import load_with_executors
from bench.sweep.errors import InputError
from results.errors import InputError as NothingToShow
from results.runs import RunDirectory, RunState, modified_at, write_atomically
from results.store import Store

if TYPE_CHECKING:
    from bench.plan.graph import Plan
    from bench.sweep.model import Sweep
    from results.tables.model import Table

REPORTS = "report"
"""Folder in the runs directory for tables, figures and reports; all its files can be made again."""
STAMP = "made-from.txt"
TABLE_FORMATS = ("md", "tex", "csv")
FIGURE_FORMATS = ("png", "svg")


@dataclass(frozen=True)
class Selection:
    """The runs that a command shows, and the tables and figures of their sweep.

    ``run_ids`` is None for all runs; ``tables`` and ``figures`` are then empty.
    """

    run_ids: tuple[str, ...] | None = None
    tables: tuple[str, ...] = ()
    figures: tuple[str, ...] = ()


def select_runs(sweep: str | None, overrides: tuple[str, ...], *, tiny: bool) -> Selection:
    """Read the sweep, if one is named, and select its runs.

    Raises
    ------
    InputError
        The sweep is invalid, or ``--set`` or ``--tiny`` is given without a sweep.
    """
    if sweep is None:
        if overrides or tiny:
            raise InputError("--set and --tiny change a sweep; name it with --sweep SWEEP")
        return Selection()
    from bench.plan.graph import plan_sweep
    from bench.sweep.load import load_sweep

    loaded = load_sweep(sweep, overrides, tiny=tiny)
    return Selection(plan_sweep(loaded).run_ids, loaded.file.tables, loaded.file.figures)


def refuse_sweep(table: str) -> None:
    """Refuse the path of a sweep in the place of a table.

    Raises
    ------
    InputError
        The file is a sweep; the message names the command that takes one.
    """
    from bench.sweep.source import load_yaml
    from results.declarations import is_path

    path = Path(table)
    if not is_path(table) or not path.is_file():
        return
    data = load_yaml(path).data
    if isinstance(data, dict) and not data.keys().isdisjoint(("pretrain", "evaluate", "include")):
        raise InputError(f"{table} is a sweep and no table; type: opera-bench tables --sweep {shlex.quote(table)}")


def finish_sweep(sweep: Sweep, plan: Plan, runs_directory: Path) -> None:
    """Print a sweep's tables, and write them, its figures and its report unless they are up to date."""
    from results.frame import to_frame
    from results.tables import build_table

    store = load_with_executors(runs_directory, plan.run_ids)
    warn(store.problems)
    tables = [build_table(name, to_frame(store.runs)) for name in sweep.file.tables]
    for table in tables:
        print_table(table)
    out = runs_directory / REPORTS / sweep.name
    stamp = _stamp(sweep, plan.run_ids, runs_directory)
    stamp_file = out / STAMP
    is_made = stamp_file.is_file() and stamp_file.read_bytes() == stamp.encode() and (out / "report.html").is_file()
    if not is_made:
        stamp_file.unlink(missing_ok=True)
        write_tables(tables, out / "tables")
        write_figures(sweep.file.figures, store, out / "figures")
        write_report_page(sweep, store, out / "report.html")
        with _writable(out):
            write_atomically(stamp_file, stamp)
    print(f"report: {out / 'report.html'}", file=sys.stderr)


def print_table(table: Table) -> None:
    """Print a table: formatted by rich on a terminal, as Markdown elsewhere."""
    if sys.stdout.isatty():
        from rich.console import Console

        from results.render import terminal

        Console().print(terminal.render(table))
    else:
        from results.render import render_table

        print(render_table(table, "md"))


def write_tables(tables: Iterable[Table], out: Path, formats: Sequence[str] = TABLE_FORMATS) -> list[Path]:
    """Write ``<table>.<format>`` files and return their paths."""
    from results.render import render_table

    written = []
    with _writable(out):
        out.mkdir(parents=True, exist_ok=True)
        for table in tables:
            for name in formats:
                path = out / f"{table.id}.{name}"
                write_atomically(path, render_table(table, name))
                written.append(path)
    return written


def write_figures(names: Sequence[str], store: Store, out: Path, formats: Sequence[str] = FIGURE_FORMATS) -> list[Path]:
    """Write ``<figure>.<format>`` and ``<figure>.csv`` files; print why a figure has nothing to show, and skip it."""
    from results.figures import FORMATS, save_figure
    from results.frame import to_frame

    for name in formats:
        if name not in FORMATS:
            raise InputError(f"no figure format {name!r}; allowed: {', '.join(FORMATS)}")
    frame = to_frame(store.runs)
    written = []
    for name in names:
        for file_format in formats:
            try:
                with _writable(out):
                    written.append(save_figure(name, store.runs, frame, out, file_format))
            except NothingToShow as error:
                warn([f"figure {name}: {error}"])
                break
    return written


def write_report_page(sweep: Sweep | None, store: Store, out: Path) -> None:
    """Write the report of these runs: the sweep's tables and figures or, without a sweep, all that have data."""
    from results.declarations import table_names
    from results.figures import figure_names
    from results.frame import to_frame
    from results.report import write_report
    from results.tables import build_table

    frame = to_frame(store.runs)
    tables = [build_table(name, frame) for name in (sweep.file.tables if sweep else table_names())]
    if sweep is None:
        tables = [table for table in tables if any(cell.n for row in table.rows for cell in row.cells)]
    figures = sweep.file.figures if sweep else figure_names()
    write_report(store, tables, figures, out, sweep.name if sweep else "All runs")


@contextlib.contextmanager
def _writable(out: Path) -> Iterator[None]:
    """Turn the block's ``OSError`` into an ``InputError`` that names ``out``.

    Raises
    ------
    InputError
        ``out`` can't be written.
    """
    try:
        yield
    except OSError as error:
        raise InputError(f"{out}: can't write here ({error.strerror or error})") from error


def warn(sentences: Iterable[str]) -> None:
    """Print each sentence as a note on standard error."""
    for sentence in sentences:
        print(f"note: {sentence}", file=sys.stderr)


def status_of_damage(states: Iterable[str]) -> int:
    """Return the exit status of a command that shows runs in these states: 1 if one is damaged, else 0."""
    return 1 if RunState.DAMAGED in set(states) else 0


def _stamp(sweep: Sweep, run_ids: Iterable[str], runs_directory: Path) -> str:
    """Return a digest that changes with the ends and the number of the runs, and with what the outputs show of them.

    The latter is the sweep's tables and figures, the declarations of the tables, and code and data of ``results``.
    """
    from results.declarations import find_declaration
    from results.figures import find_figure

    digest = hashlib.sha256()
    for run_id in run_ids:
        run = RunDirectory(runs_directory / run_id)
        ends = [modified_at(path) for path in (run.record, run.failure)]
        digest.update(f"{run_id} {ends}\n".encode())
    declared = {name: find_declaration(name).model_dump_json() for name in sweep.file.tables}
    digest.update(f"{declared} {sweep.file.figures}\n".encode())
    drawn_by = {Path(file) for name in sweep.file.figures if (file := getattr(find_figure(name), "__file__", None))}
    shown_by = (path for path in Path(results.__file__).parent.rglob("*") if path.suffix in (".py", ".yaml"))
    for path in sorted({*shown_by, *drawn_by, Path(__file__)}):
        digest.update(path.read_bytes())
    return digest.hexdigest() + "\n"
