"""What ``status`` tells a person to type next."""

from __future__ import annotations

import pytest

from bench.plan.graph import PlannedRun
from bench.runs.states import RunStatus
from bench.show.status import next_step
from results.runs import RunState
from slurm.job import JobReport, JobState

QUEUED = JobReport(JobState.WAITING, executor="SLURM")
RUNNING, WAITING, PLANNED, DONE = RunState.RUNNING, RunState.WAITING, RunState.PLANNED, RunState.DONE


@pytest.mark.parametrize(
    ("own", "shown", "said"),
    [
        ([RUNNING, PLANNED], [RUNNING, WAITING], "running; follow with: opera-bench status s --watch"),
        ([RUNNING, WAITING], [RUNNING, WAITING], "running; follow with: opera-bench status s --watch"),
        (
            [RUNNING, WAITING, PLANNED, PLANNED],
            [RUNNING, WAITING, WAITING, PLANNED],
            "2 runs are not with SLURM yet: the queue was full; submit the rest with: "
            "opera-bench run s --executor slurm",
        ),
        ([WAITING, WAITING], [WAITING, WAITING], "queued; follow with: opera-bench status s --watch"),
        ([WAITING, PLANNED], [WAITING, RunState.FAILED], "queued; follow with: opera-bench status s --watch"),
        ([DONE, PLANNED], [DONE, PLANNED], "next: opera-bench run s --executor slurm"),
    ],
)
def test_runs_that_were_held_back_are_told_apart(own: list[RunState], shown: list[RunState], said: str) -> None:
    found = [
        RunStatus(PlannedRun(f"knn-{number}", "knn", (), {}), *states, report=QUEUED)
        for number, states in enumerate(zip(own, shown, strict=True))
    ]
    assert next_step(found, "s", flags=" --executor slurm") == said
