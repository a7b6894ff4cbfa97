"""The report: one HTML page that holds everything a sweep found out and everything needed to trust it.

The page stands alone. It loads nothing, its figures are inline SVG, and a content security policy in its head holds
it to that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from results.compare.formats import cells, header, heading, notes, unpaired_lines
from results.compare.pairing import Comparison, compare
from results.errors import InputError
from results.figures import find_figure
from results.figures._style import backbone_label, method_order, method_style
from results.figures._svg import inline_svg
from results.frame import recipe_label, to_frame
from results.metrics import HEADLINE_METRICS, metric
from results.render import render_table
from results.runs import RunDirectory, RunState, write_atomically
from results.store import Run, Store
from results.tables import Table
from results.variants import present, variant, variants

if TYPE_CHECKING:
    import pandas as pd

BASELINE = "moco_v3"
LOG_LINES = 15


def write_report(store: Store, tables: Iterable[Table], figures: Iterable[str], out_path: Path, title: str) -> None:
    """Write the page.

    Parameters
    ----------
    tables
        As ``results.tables.build_table`` makes them.
    figures
        Names of figures; one that has nothing to show yet is named with its reason.

    Raises
    ------
    InputError
        An unknown figure, or a path that can't be written.
    """
    page = render_report(store, tables, figures, title)
    try:
        out_path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(out_path, page)
    except OSError as error:
        raise InputError(f"{out_path}: the report can't be written there ({error.strerror})") from error


def render_report(store: Store, tables: Iterable[Table], figures: Iterable[str], title: str) -> str:
    """The page as text."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("results"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    frame = to_frame(store.runs)
    facts = _facts_by_run(frame)
    return environment.get_template("report.html.jinja").render(
        title=title,
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        summary=_summary(store.runs, frame),
        problems=store.problems,
        tables=[render_table(table, "html") for table in tables],
        comparisons=[_comparison(comparison) for comparison in _comparisons(frame)],
        baseline=BASELINE,
        figures=[_figure(name, store.runs, frame) for name in figures],
        failures=_failures(store.runs),
        runs=[_run(run, facts[run.run_id]) for run in store.runs],
        known={run.run_id for run in store.runs},
    )


def _facts_by_run(frame: pd.DataFrame) -> dict[str, dict[str, Any]]:
    rows = frame.drop_duplicates("run_id").to_dict("records")
    return {row["run_id"]: {str(key): present(value) for key, value in row.items()} for row in rows}


def _summary(runs: Sequence[Run], frame: pd.DataFrame) -> dict[str, Any]:
    """The headline: states, time, and what was varied."""
    timings = [run.record.timing for run in runs if run.record is not None]
    wall = max(t.finished_at for t in timings) - min(t.started_at for t in timings) if timings else None
    states = Counter(run.state for run in runs)
    varied = {
        "methods": [method_style(name).label for name in sorted(_methods(frame), key=method_order)],
        "backbones": [backbone_label(name) for name in _values(frame, "backbone")],
        "pretrained on": _values(frame, "pretrain_dataset"),
        "judged by": _values(frame, "protocol"),
        "judged on": _values(frame[frame["protocol"].notna()], "dataset"),
        "seeds": _values(frame, "seed"),
        "devices": _values(frame, "device"),
        "code": [commit[:10] for commit in _values(frame, "git_commit")],
    }
    return {
        "states": [(state.value, states[state]) for state in RunState if states[state]],
        "total": len(runs),
        "pretrainings": sum(run.stage == "pretrain" for run in runs),
        "compute": duration(sum(t.seconds for t in timings)),
        "wall": duration(wall.total_seconds()) if wall is not None else "–",
        "varied": {name: ", ".join(map(str, values)) for name, values in varied.items() if values},
    }


def _methods(frame: pd.DataFrame) -> set[str]:
    return {variant(row) for row in _facts_by_run(frame).values() if row["method"] is not None}


def _values(frame: pd.DataFrame, column: str) -> list[Any]:
    return sorted(frame[column].dropna().unique().tolist())


def _comparisons(frame: pd.DataFrame) -> list[Comparison]:
    """Every variant against the baseline, in the headline metrics; OPERA first, pairless ones last."""
    labels = variants(frame)
    if BASELINE not in labels:
        return []
    others = sorted((label for label in labels if label != BASELINE), key=lambda v: (v != "opera", method_order(v)))
    found = (compare(frame, label, BASELINE) for label in others)
    return sorted(found, key=lambda comparison: not comparison.groups)


def _comparison(comparison: Comparison) -> dict[str, Any]:
    return {
        "heading": heading(comparison),
        "header": header(comparison),
        "rows": [cells(comparison, group) for group in comparison.groups],
        "notes": notes(comparison),
        "unpaired": unpaired_lines(comparison),
    }


def _figure(name: str, runs: Sequence[Run], frame: pd.DataFrame) -> dict[str, Any]:
    module = find_figure(name)
    described = {"name": name, "title": module.TITLE, "caption": module.CAPTION}
    try:
        numbers = module.data(runs, frame)
        csv = numbers.to_csv(index=False, float_format="%.6g")
        return {**described, "svg": inline_svg(name, runs, frame), "csv": csv, "why_not": None}
    except InputError as error:
        return {**described, "svg": None, "csv": None, "why_not": str(error)}


def _failures(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Runs that failed of themselves first, then those that only lack a parent."""
    failed = [run for run in runs if run.state is RunState.FAILED]
    failed.sort(key=lambda run: not RunDirectory(run.directory).failure.exists())
    return [
        {"run_id": run.run_id, "reason": run.reason, "log": "\n".join(last_log_lines(run.directory))} for run in failed
    ]


def last_log_lines(directory: Path, count: int = LOG_LINES) -> list[str]:
    """The end of a run's newest log; empty when there is none."""
    logs = [path for path in RunDirectory(directory).logs.glob("*") if path.is_file()]
    if not logs:
        return []
    newest = max(logs, key=lambda path: path.stat().st_mtime)
    return newest.read_text(encoding="utf-8", errors="replace").splitlines()[-count:]


def _run(run: Run, facts: dict[str, Any]) -> dict[str, Any]:
    """One line of the list of runs, and its provenance."""
    record = run.record
    return {
        "run_id": run.run_id,
        "state": run.state.value,
        "reason": run.reason,
        "stage": run.stage,
        "method": method_style(variant(facts)).label if facts["method"] else "–",
        "backbone": backbone_label(facts["backbone"] or "–"),
        "dataset": facts["dataset"] or "–",
        "seed": facts["seed"],
        "seconds": facts["seconds"],
        "duration": duration(facts["seconds"]) if facts["seconds"] is not None else "–",
        "result": _headline_result(run),
        "config": yaml.safe_dump(run.config, sort_keys=False, allow_unicode=True, default_flow_style=None, width=100),
        "parents": run.parents,
        "provenance": {} if record is None else _provenance(run),
    }


def _headline_result(run: Run) -> str:
    metrics = {} if run.record is None else run.record.metrics
    shown = [name for name in HEADLINE_METRICS if name in metrics] or list(metrics)[:1]
    return ", ".join(f"{name} {metrics[name]:.{metric(name).decimals}f}" for name in shown)


def _provenance(run: Run) -> dict[str, str]:
    record = run.record
    assert record is not None
    recipe, data, machine, software = record.recipe, record.dataset, record.machine, record.software
    dirty = {True: ", with uncommitted changes", False: "", None: ""}[software.git_dirty]
    sizes = ", ".join(f"{split} {size:,}" for split, size in data.sizes.items())
    facts = {
        "metrics": ", ".join(f"{name} {value:.6g}" for name, value in record.metrics.items()),
        "recipe": f"{recipe_label(recipe.model_dump())}: {recipe.source}",
        "changed": ", ".join(recipe.changed),
        "seed": str(record.seed),
        "data": f"{data.name}, version {data.version} ({sizes})",
        "data fingerprint": data.fingerprint,
        **{f"parent {p.run_id}": f"checkpoint SHA-256 {p.checkpoint_sha256}" for p in record.parents},
        **{f"wrote {c.path}": f"SHA-256 {c.sha256}" for c in record.checkpoints},
        "code": f"{software.git_commit}{dirty}" if software.git_commit else "",
        "packages": ", ".join(f"{name} {version}" for name, version in software.packages.items()),
        "machine": f"{machine.host}, {machine.world_size} × {machine.device}",
        "scheduler job": machine.scheduler_job_id or "",
        "peak memory": f"{machine.peak_memory_bytes / 2**20:,.0f} MiB",
        "throughput": "" if record.images_per_second is None else f"{record.images_per_second:,.0f} images/s",
        "started": f"{record.timing.started_at:%Y-%m-%d %H:%M:%S %Z}",
        "finished": f"{record.timing.finished_at:%Y-%m-%d %H:%M:%S %Z}",
        "time": f"{duration(record.timing.seconds)} in {record.attempts} attempt{'s' if record.attempts > 1 else ''}",
    }
    return {name: value for name, value in facts.items() if value}


def duration(seconds: float) -> str:
    """``41 s``, ``12 min 5 s``, ``3 h 20 min``, ``2 d 4 h``: the two largest units."""
    whole = round(seconds)
    for unit, size, smaller, smaller_size in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // smaller_size} {smaller}"
    return f"{whole} s"
