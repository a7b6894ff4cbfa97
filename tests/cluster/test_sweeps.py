"""Sweeps on a real cluster: what goes in, once, and comes out as it does anywhere else."""

from __future__ import annotations

import json
import os
import re
import time
from collections import Counter
from pathlib import Path

import pytest

from slurm.executors.slurm import SlurmExecutor
from slurm.job import Code, Job, JobState
from slurm.scheduler.profile import ClusterProfile
from tests.cluster.scheduler import ask, wait_until
from tests.cluster.sweeps import Sweep

pytestmark = pytest.mark.usefixtures("slurm_cluster")

SWEEP = """\
name: "'both' of 100 % \\"näme\\""
cluster: test
pretrain:
  - {method: [opera, moco_v3], backbone: tiny_vit, dataset: digits, epochs: 1}
evaluate: [knn, {linear: {epochs: 1}}]
tables: [digits]
"""


@pytest.mark.slow
def test_a_sweep_gives_the_same_runs_and_numbers_as_on_this_machine(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    here, there = Sweep(tmp_path / "here", SWEEP), Sweep(tmp_path / "there", SWEEP)

    said = there.submit()
    assert "6 runs are with SLURM, in 3 jobs" in said
    assert there.states() <= Counter(waiting=6, running=6), "submitted, and the command has returned"
    assert "starting 0 jobs" in there.submit()
    here("run", "--executor", "local", "--yes")
    there.wait_until_done()

    assert set(there.submitted().values()) == {1}
    expected, found = here.records(), there.records()
    assert expected.keys() == found.keys()
    assert there.metrics() == here.metrics()
    for record in found.values():
        assert re.fullmatch(r"\d+_\d+", record.machine.scheduler_job_id or "")
        assert record.machine.host in {"n1", "n2", "n3", "n4"}
        assert record.attempts == 1
    there.submit()
    assert there.tables == here.tables
    assert "digits.csv" in there.tables
    # What a table calls the same was the same code: the snapshot says which.
    assert {r.software.git_commit for r in found.values()} == {r.software.git_commit for r in expected.values()}


def test_hours_are_those_of_the_accounts(tmp_path: Path) -> None:
    """A pretraining and a probe, one allocation each; a call of sacct by hand says what each was charged."""
    sweep = Sweep(tmp_path, SWEEP.replace("[knn, {linear: {epochs: 1}}]", "[knn]").replace("opera, moco_v3", "moco_v3"))
    sweep.submit()
    sweep.wait_until_done()

    def are_charged() -> bool:
        return {job["hours_used_are"] for job in sweep.jobs()} == {"charged"}

    wait_until(are_charged, 90, "the ends of all jobs have reached the accounts, and status")
    charged = {job["run_id"]: (job["hours_used"], job["hours_unit"]) for job in sweep.jobs()}
    for run_id, record in sweep.records().items():
        seconds, held = ask(
            *("sacct", "--noheader", "--parsable2", "--allocations", "--format=ElapsedRaw,AllocTRES"),
            f"--jobs={record.machine.scheduler_job_id}",
        ).split("|")
        (processors,) = re.findall(r"\bcpu=(\d+)", held)
        hours = int(seconds) * int(processors) / 3600
        assert charged[run_id] == (pytest.approx(hours, abs=1e-4), "processor-hours")
    assert "processor-hours charged" in sweep("status")


def test_two_terminals_submit_each_run_once(tmp_path: Path) -> None:
    """Both really submit at the same moment; everything is held, so that nothing ends in between."""
    sweep = Sweep(tmp_path, SWEEP.replace("cluster: test", "cluster: {name: held, sbatch: {hold: true}}"))
    both = [sweep.start("run", "--executor", "slurm", "--yes") for _ in range(2)]
    try:
        for process in both:
            out, err = process.communicate(timeout=120)
            assert process.returncode == 0, out + err
        assert set(sweep.submitted().values()) == {1}
        assert sum(sweep.submitted().values()) == 6
        queued = ask("squeue", "--noheader", "--array", "--format=%i", f"--jobs={','.join(sweep.slurm_ids())}")
        assert len(queued.split()) == 6
        assert sweep.states() == Counter(waiting=6)
    finally:
        sweep("cancel", "--yes")
    assert sweep.states() == Counter(cancelled=6)


def held_executor(folder: Path, **settings: object) -> SlurmExecutor:
    """Nothing that it submits ever starts, or imports this suite."""
    profile = ClusterProfile.model_validate({"name": "held", "sbatch": {"hold": True}, **settings})
    return SlurmExecutor(folder, profile, "held", Code(("slurm",)))


def jobs(folder: Path, parents: int, children: int) -> list[Job]:
    """``children`` jobs behind each of ``parents``."""
    roots = [Job(f"parent-{p}", "time:sleep", {}, folder / f"{p}.log") for p in range(parents)]
    return roots + [
        Job(f"child-{p}-{c}", "time:sleep", {}, folder / f"{p}-{c}.log", parents=(f"parent-{p}",))
        for p in range(parents)
        for c in range(children)
    ]


@pytest.mark.slow
def test_a_thousand_evaluations_behind_twenty_pretrainings_take_few_calls(tmp_path: Path) -> None:
    executor = held_executor(tmp_path)
    started = time.monotonic()
    handles = executor.submit(jobs(tmp_path, parents=20, children=50))
    seconds = time.monotonic() - started
    try:
        rows = [json.loads(line) for line in (tmp_path / "ledger.jsonl").read_text().splitlines()]
        calls = [row["slurm_id"] for row in rows if "slurm_id" in row]
        print(f"{len(handles)} jobs in {len(calls)} sbatch calls and {seconds:.1f} s")
        assert len(calls) == 21
        queued = ask("squeue", "--noheader", "--array", "--format=%i %E", f"--jobs={','.join(calls)}").splitlines()
        assert len(queued) == 1020
        behind = Counter(line.split()[1] for line in queued if "afterok" in line)
        assert set(behind) == {f"afterok:{calls[0]}_{p}(unfulfilled)" for p in range(20)}
        assert set(behind.values()) == {50}
    finally:
        executor.cancel([handle.job.id for handle in handles])


@pytest.mark.usefixtures("breakable_cluster")
def test_arrays_are_split_and_what_finds_no_room_is_topped_up(tmp_path: Path) -> None:
    executor = held_executor(tmp_path, max_array_size=4, max_submitted_jobs=held_now() + 10)
    wanted = jobs(tmp_path, parents=1, children=12)
    handles = executor.submit(wanted)
    try:
        with_slurm = [handle for handle in handles if handle.number is not None]
        assert len(with_slurm) == 10
        left = [handle for handle in handles if handle not in with_slurm]
        assert {handle.state for handle in left} == {JobState.WAITING}
        assert all("not submitted" in str(handle.reason) or "held back" in str(handle.reason) for handle in left)
        arrays = Counter(handle.number.partition("_")[0] for handle in with_slurm)
        assert max(arrays.values()) == 4

        executor.cancel([handle.job.id for handle in with_slurm if handle.job.id != "parent-0"][:5])
        again = executor.submit([handle.job for handle in left])
        assert [handle.job.id for handle in again if handle.number is not None] == [h.job.id for h in left]
    finally:
        executor.cancel([handle.job.id for handle in executor.submit([]) + handles])
        for name in {row["name"] for row in map(json.loads, (tmp_path / "ledger.jsonl").read_text().splitlines())}:
            ask("scancel", f"--name={name}")


def test_scripts_are_shown_with_the_clusters_limits_and_parents_that_are_queued(tmp_path: Path) -> None:
    executor = held_executor(tmp_path)
    parent, *children = jobs(tmp_path, parents=1, children=500)
    handles = executor.submit([parent])
    try:
        shown = executor.preview(children)
        assert len(shown) == 2, "the cluster's arrays hold 401"
        for text in shown:
            assert f"#SBATCH --dependency=afterok:{handles[0].number}\n" in text
    finally:
        executor.cancel([handle.job.id for handle in handles])


def held_now() -> int:
    """Jobs in the queue, when those that ran have left it."""
    running = ("squeue", "--me", "--noheader", "--states=RUNNING,COMPLETING")
    wait_until(lambda: not ask(*running), 60, "what ran before has ended")
    return len(ask("squeue", "--me", "--noheader", "--array", "--format=%i").split())


def test_one_status_asks_the_scheduler_once(tmp_path: Path) -> None:
    """Counted by stand-ins that come first on PATH and pass everything on."""
    count = tmp_path / "count"
    shims = tmp_path / "shims"
    shims.mkdir()
    for name in ("squeue", "sacct", "scontrol"):
        real = ask("which", name)
        (shims / name).write_text(f"#!/bin/sh\necho {name} >> '{count}'\nexec {real} \"$@\"\n")
        (shims / name).chmod(0o755)
    (tmp_path / "sweep").mkdir()
    text = SWEEP.replace("cluster: test", "cluster: {name: held, sbatch: {hold: true}}")
    sweep = Sweep(tmp_path / "sweep", text, {"PATH": f"{shims}:{os.environ['PATH']}"})
    sweep.submit()
    try:
        count.write_text("")
        (sweep.runs / ".slurm" / "queue.json").unlink(missing_ok=True)
        assert sweep.states() == Counter(waiting=6)
        assert Counter(count.read_text().split()) <= Counter(squeue=1, sacct=1)
        sweep("status")
        assert Counter(count.read_text().split()) <= Counter(squeue=1, sacct=1), "the answer is kept for a while"
    finally:
        sweep("cancel", "--yes")
