"""Describes single runs for the report: list entries, provenance, failures, pictures."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from results.figures._style import backbone_label, method_style
from results.frame import recipe_label, records
from results.metrics import Metric, number_or_undefined
from results.report.progress import device_seconds, duration
from results.runs import RunDirectory, RunState, modified_at
from results.store import Run
from results.variants import variant

if TYPE_CHECKING:
    import pandas as pd

LOG_LINES = 15
ARTIFACTS = "artifacts"
LARGEST_PICTURE_BYTES = 4 * 1024**2
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def facts_by_run(frame: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Return run id → the run's first row."""
    return {row["run_id"]: row for row in records(frame.drop_duplicates("run_id"))}


def failures(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Return failed runs with reason and log: runs with a ``failure.json``, then runs whose parent failed."""
    failed = [run for run in runs if run.state is RunState.FAILED]
    failed.sort(key=lambda run: modified_at(RunDirectory(run.directory).failure) == 0)
    return [
        {"run_id": run.run_id, "reason": run.reason, "log": "\n".join(last_log_lines(run.directory))} for run in failed
    ]


def last_log_lines(directory: Path, count: int = LOG_LINES) -> list[str]:
    """Return the last ``count`` lines of a run's newest log; empty without a log."""
    try:
        logs = [path for path in RunDirectory(directory).logs.glob("*") if path.is_file()]
        if not logs:
            return []
        newest = max(logs, key=modified_at)
        return newest.read_text(encoding="utf-8", errors="replace").splitlines()[-count:]
    except OSError as error:
        return [f"{error.filename or directory}: can't be read ({error.strerror or error})"]


def contact_sheets(runs: Sequence[Run], facts: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the PNG files in ``artifacts/`` of done runs as data URLs; ``why_not`` says why one can't be shown.

    Parameters
    ----------
    facts
        Result of ``facts_by_run``.
    """
    return [
        {
            "run_id": run.run_id,
            "name": path.stem.replace("_", " "),
            "about": _about(facts[run.run_id]),
            "result": _headline_result(run),
            **_picture(path),
        }
        for run in runs
        if run.state is RunState.DONE
        for path in _pictures(run.directory / ARTIFACTS)
    ]


def _pictures(folder: Path) -> list[Path]:
    try:
        return sorted(folder.glob("*.png"))
    except OSError:
        return []


def _picture(path: Path) -> dict[str, str | None]:
    where = f"{path.parent.parent.name}/{ARTIFACTS}/{path.name}"
    try:
        if path.stat().st_size > LARGEST_PICTURE_BYTES:
            return {"address": None, "why_not": f"{where} is larger than {LARGEST_PICTURE_BYTES // 1024**2} MB"}
        content = path.read_bytes()
    except OSError as error:
        return {"address": None, "why_not": f"{where} can't be read ({error.strerror})"}
    if not content.startswith(PNG_SIGNATURE):
        return {"address": None, "why_not": f"{where} is no PNG"}
    return {"address": f"data:image/png;base64,{base64.b64encode(content).decode()}", "why_not": None}


def describe_run(run: Run, facts: dict[str, Any]) -> dict[str, Any]:
    """Return a run's entry in the list of runs, with its provenance."""
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


def _about(facts: Mapping[str, Any]) -> str:
    """Return method, backbone and pretraining epochs of a run, such as ``OPERA, tiny ResNet, 12 epochs``."""
    epochs = facts["pretrain_epochs"]
    parts = (
        method_style(variant(facts)).label if facts["method"] else None,
        backbone_label(facts["backbone"]) if facts["backbone"] else None,
        f"{epochs} epochs" if epochs else None,
    )
    return ", ".join(part for part in parts if part)


def _headline_result(run: Run) -> str:
    """Return the headline metrics with label and unit, or the first metric if none is a headline."""
    if run.record is None:
        return ""
    metrics, declared = run.record.metrics, run.record.declared()
    shown = sorted(name for name in metrics if declared[name].headline) or list(metrics)[:1]
    return ", ".join(_number(metrics[name], declared[name], f".{declared[name].decimals}f") for name in shown)


def _number(value: float | None, metric: Metric, form: str = ".6g") -> str:
    """Return a value with its metric's label and unit, such as ``Top-1 accuracy 97.0 %``."""
    unit = f" {metric.unit}" if metric.unit and value is not None else ""
    return f"{metric.label} {number_or_undefined(value, form)}{unit}"


def _provenance(run: Run) -> dict[str, str]:
    record = run.record
    assert record is not None
    recipe, data, machine, software = record.recipe, record.dataset, record.machine, record.software
    dirty = {True: ", with uncommitted changes", False: "", None: ""}[software.git_dirty]
    sizes = ", ".join(f"{split} {size:,}" for split, size in data.sizes.items())
    facts = {
        "record": f"{run.run_id}/record.json, schema {record.schema_version}",
        "metrics": ", ".join(_number(record.metrics[name], metric) for name, metric in record.declared().items()),
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
        "computed with": ", ".join(f"{name} {value}" for name, value in record.compute.items()),
        "peak memory": f"{machine.peak_memory_bytes / 2**20:,.0f} MiB",
        "throughput": "" if record.images_per_second is None else f"{record.images_per_second:,.0f} images/s",
        "started": f"{record.timing.started_at:%Y-%m-%d %H:%M:%S %Z}",
        "finished": f"{record.timing.finished_at:%Y-%m-%d %H:%M:%S %Z}",
        "time": f"{duration(record.timing.seconds)} in {record.attempts} attempt{'s' if record.attempts > 1 else ''}",
        "cost": f"{device_seconds(run) / 3600:.3g} device-hours",
    }
    return {name: value for name, value in facts.items() if value}
