"""Groups jobs into arrays."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from slurm.job import Job
from slurm.scheduler.profile import SlurmResources


class Group(NamedTuple):
    """Jobs of one ``sbatch`` call, the parents all of them wait for, and the resources of each of them."""

    jobs: tuple[Job, ...]
    parents: tuple[str, ...]
    resources: SlurmResources


def with_parents(jobs: Sequence[Job], held: Collection[str]) -> list[Job]:
    """Return the jobs whose parents are all in the result or ``held`` by the scheduler; parents come first."""
    there = set(held)
    found = []
    for job in _parents_first(jobs):
        if there.issuperset(job.parents):
            there.add(job.id)
            found.append(job)
    return found


def group_jobs(jobs: Sequence[Job], resources_of: Callable[[Job], SlurmResources], array_size: int) -> list[Group]:
    """Group jobs with equal resources and parents, at most ``array_size`` each; groups of parents come first."""
    together: dict[tuple[tuple[str, ...], SlurmResources], list[Job]] = {}
    for job in _parents_first(jobs):
        together.setdefault((job.parents, resources_of(job)), []).append(job)
    return [
        Group(tuple(group[start : start + array_size]), parents, resources)
        for (parents, resources), group in together.items()
        for start in range(0, len(group), array_size)
    ]


def _parents_first(jobs: Sequence[Job]) -> list[Job]:
    """Sort by level, stable within a level, so that jobs that can share an array stay together."""
    by_id = {job.id: job for job in jobs}
    depth: dict[str, int] = {}

    def level(job: Job) -> int:
        if job.id not in depth:
            depth[job.id] = 1 + max((level(by_id[p]) for p in job.parents if p in by_id), default=-1)
        return depth[job.id]

    return sorted(jobs, key=level)
