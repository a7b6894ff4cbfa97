"""What a submission forgets: how runs ended before it, and nothing that has happened since."""

from __future__ import annotations

import os
from pathlib import Path

from bench.launch.options import Launch
from bench.launch.run_sweep import earlier_ends, hand_over
from results.runs import RunDirectory
from slurm.executors.slurm import SlurmExecutor
from slurm.job import Handle, Job


def failed(directory: Path, run_id: str, text: str) -> RunDirectory:
    run = RunDirectory(directory / run_id)
    run.path.mkdir(exist_ok=True)
    run.failure.write_text(text)
    return run


def test_only_ends_from_before_it_are_forgotten(tmp_path: Path) -> None:
    launch = Launch(tmp_path, "slurm")
    retried, quick, held_back = (failed(tmp_path, name, "earlier") for name in ("retried", "quick", "held-back"))
    places = [retried.path.name, quick.path.name, held_back.path.name]
    before = earlier_ends(places, launch)
    # The job that was submitted first fails while the others are being submitted.
    quick.failure.unlink()
    failed(tmp_path, "quick", "since then")
    os.utime(quick.failure, ns=(1, 1))

    handles = [Handle(Job(name, "m:f", {}, tmp_path / "log")) for name in places]
    for handle in handles[:2]:
        handle.number = "7"
    hand_over(handles, before, SlurmExecutor(tmp_path), "sweep.yaml")
    assert not retried.failure.exists()
    assert quick.failure.read_text() == "since then"
    assert held_back.failure.read_text() == "earlier"
