"""Summarises a sweep's progress for the report: states by stage, time spent, running runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from results.figures._style import backbone_label, method_order, method_style
from results.frame import records
from results.runs import RunDirectory, RunState
from results.store import Run
from results.titles import PROTOCOLS, listing_order, title
from results.variants import variant

if TYPE_CHECKING:
    import pandas as pd


def summary(runs: Sequence[Run], frame: pd.DataFrame) -> dict[str, Any]:
    """Return the report's headline: run counts by state, time spent, and the values of each varied setting."""
    timings = [run.record.timing for run in runs if run.record is not None]
    wall = max(t.finished_at for t in timings) - min(t.started_at for t in timings) if timings else None
    states = Counter(run.state for run in runs)
    methods = {variant(row) for row in records(frame.drop_duplicates("run_id")) if row["method"] is not None}
    varied = {
        "methods": [method_style(name).label for name in sorted(methods, key=method_order)],
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
        "compute": duration(sum(device_seconds(run) for run in runs)),
        "wall": duration(wall.total_seconds()) if wall is not None else "–",
        "varied": {name: ", ".join(map(str, values)) for name, values in varied.items() if values},
    }


def progress(runs: Sequence[Run]) -> dict[str, Any]:
    """Return one entry per stage with the share of each state in percent, and one per running run."""
    by_stage: dict[str, list[Run]] = {}
    for run in runs:
        by_stage.setdefault(run.stage, []).append(run)
    order = {"pretrain": "Pretraining", **PROTOCOLS}
    stages = sorted(by_stage, key=lambda stage: listing_order(order, stage))
    return {
        "stages": [_stage(title(order, stage), by_stage[stage]) for stage in stages],
        "running": [_running(run) for run in runs if run.state is RunState.RUNNING],
    }


def device_seconds(run: Run) -> float:
    """Return a finished run's device-seconds: seconds over all attempts × number of devices; 0 if unfinished."""
    return 0.0 if run.record is None else run.record.timing.seconds * run.record.machine.world_size


def _stage(name: str, runs: Sequence[Run]) -> dict[str, Any]:
    states = Counter(run.state for run in runs)
    shares = [(state.value, states[state], 100 * states[state] / len(runs)) for state in RunState if states[state]]
    costs = [device_seconds(run) for run in runs if run.record is not None]
    return {
        "name": name,
        "total": len(runs),
        "done": states[RunState.DONE],
        "shares": sorted(shares, key=lambda share: share[0] != RunState.DONE),
        "each": duration(sum(costs) / len(costs)) if costs else "–",
        "cost": duration(sum(costs)) if costs else "–",
        "seconds": sum(costs),
    }


def _running(run: Run) -> dict[str, Any]:
    rows = RunDirectory(run.directory).read_progress()
    epoch, total = (rows[-1].get(name) if rows else None for name in ("epoch", "total_epochs"))
    known = isinstance(epoch, int | float) and isinstance(total, int | float) and total > 0
    return {"run_id": run.run_id, "epoch": epoch if known else None, "total": total if known else None}


def _values(frame: pd.DataFrame, column: str) -> list[Any]:
    return sorted(frame[column].dropna().unique().tolist())


def duration(seconds: float) -> str:
    """Return a duration in its two largest units: ``41 s``, ``12 min 5 s``, ``3 h 20 min``, ``2 d 4 h``."""
    whole = round(seconds)
    for unit, size, smaller, smaller_size in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // smaller_size} {smaller}"
    return f"{whole} s"
