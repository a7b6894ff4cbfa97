"""Summarises a plan: counts of its runs, and the runs and hours saved because included sweeps share runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from bench.hours.estimate import Basis, Estimate, Unit
from bench.plan.graph import IMPORT, PRETRAIN, Plan, PlannedRun

_SHOWN_HOURS = 0.05
"""Hours below this print as 0.0 and are left out."""


def summary(plan: Plan, estimates: Mapping[str, Estimate]) -> str:
    """One line of run counts; if the plan includes sweeps, a second line with the runs and hours saved by sharing.

    Parameters
    ----------
    estimates
        Run id → estimate, for runs whose duration is known.
    """
    lines = [f"{plan.name}: {_count(plan.runs)}"]
    if plan.parts:
        asked = Counter(not run.parents for part in plan.parts for run in part.runs)
        unique = Counter(not run.parents for run in plan.runs)
        lines.append(
            f"{len(plan.parts)} included sweeps ask for {_runs(asked[True], asked[False])}; each is run once, which "
            f"saves {_runs(asked[True] - unique[True], asked[False] - unique[False])}{_saved_hours(plan, estimates)}"
        )
    return "\n".join(lines)


def _saved_hours(plan: Plan, estimates: Mapping[str, Estimate]) -> str:
    """The saved hours: ``: 480.0 GPU-hours by measured rates``, with "more than" if runs are unknown; '' for none."""
    asked = Counter(run_id for part in plan.parts for run_id in part.run_ids)
    again = {run_id: times - 1 for run_id, times in asked.items() if times > 1}
    known = {run_id: estimates[run_id] for run_id in again if run_id in estimates}
    hours = {
        unit: sum(again[run_id] * found.hours for run_id, found in known.items() if found.unit is unit) for unit in Unit
    }
    sums = [f"{total:,.1f} {unit.value}" for unit, total in hours.items() if total >= _SHOWN_HOURS]
    if not sums:
        return ""
    bases = [basis.value for basis in Basis if any(found.basis is basis for found in known.values())]
    more = "more than " if len(known) < len(again) else ""
    return f": {more}{' and '.join(sums)} by {' and '.join(bases)}"


def _count(runs: Sequence[PlannedRun]) -> str:
    """Run counts: ``57 pretrainings, 30 evaluations (12 finetune, 6 linear, 12 transfer)``."""
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
