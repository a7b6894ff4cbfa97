"""Summarises a plan: counts of its runs, runs saved because included sweeps share them, and resources of jobs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from bench.plan.graph import IMPORT, PRETRAIN, Plan, PlannedRun, deduplicated
from slurm.job import ExecutorOptions


def summary(plan: Plan) -> str:
    """Return one line of run counts; if the plan includes sweeps, a second line with the runs saved by sharing."""
    lines = [f"{plan.name}: {_count(plan.runs)}"]
    if plan.parts:
        asked = Counter(not run.parents for part in plan.parts for run in part.runs)
        unique = Counter(not run.parents for run in deduplicated(run for part in plan.parts for run in part.runs))
        lines.append(
            f"{len(plan.parts)} included sweeps ask for {_runs(asked[True], asked[False])}; each is run once, which "
            f"saves {_runs(asked[True] - unique[True], asked[False] - unique[False])}"
        )
    return "\n".join(lines)


def describe_resources(runs: Sequence[PlannedRun], options: ExecutorOptions) -> str:
    """Return what a job of each stage gets: ``cluster a100: finetune, pretrain: 8 GPUs, 24 h; knn: 1 GPU, 2 h``."""
    stages: dict[str, list[str]] = {}
    for stage in sorted({run.stage for run in runs}):
        resources = options.resources(stage)
        if resources is not None:
            stages.setdefault(resources.describe(), []).append(stage)
    parts = (f"{', '.join(names)}: {described}" for described, names in stages.items())
    return f"{options.summary()}: {'; '.join(parts)}"


def _count(runs: Sequence[PlannedRun]) -> str:
    """Return counts of runs: ``57 pretrainings, 30 evaluations (12 finetune, 6 linear, 12 transfer)``."""
    stages = Counter(run.stage for run in runs)
    pretrainings = stages.pop(PRETRAIN, 0)
    if imports := stages.pop(IMPORT, 0):
        return f"{_plural(imports, 'import')}, {_count([run for run in runs if run.stage != IMPORT])}"
    kinds = ", ".join(f"{count} {stage}" for stage, count in sorted(stages.items()))
    return _runs(pretrainings, stages.total()) + (f" ({kinds})" if kinds else "")


def _runs(pretrainings: int, evaluations: int) -> str:
    return f"{_plural(pretrainings, 'pretraining')}, {_plural(evaluations, 'evaluation')}"


def _plural(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
