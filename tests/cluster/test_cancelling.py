"""Cancelling names what will stop, stops that, and can be given again."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster.sweeps import Sweep, one_pretraining, shim

pytestmark = [pytest.mark.usefixtures("slurm_cluster"), pytest.mark.slow]


def test_cancelling_leaves_alone_what_another_sweep_wants(tmp_path: Path) -> None:
    text = one_pretraining(1, cluster="{name: h, memory_gb_per_node: 2, sbatch: {hold: true}}")
    ours = Sweep(tmp_path, text)
    ours.submit()
    theirs = Sweep(tmp_path, text.replace("name: faults", "name: other").replace("[knn]", "[{linear: {epochs: 1}}]"))
    theirs.submit()
    said = ours("cancel", "--yes")
    assert "another sweep needs it: pretrain-" in said
    assert "will stop: knn-" in said
    assert "will stop: pretrain-" not in said
    assert ours.states() == {"waiting": 1, "cancelled": 1}
    late = Sweep(tmp_path, theirs.text.replace("name: other", "name: late"))
    assert "starting 0 jobs" in late.submit()
    assert "nothing else is running or queued" in theirs("cancel", "--yes"), "the late one wants them all"
    late("cancel", "--yes")
    assert late.states() == {"cancelled": 2}, "the last who wanted them has cancelled them"


def test_a_cancellation_that_failed_can_be_repeated(tmp_path: Path) -> None:
    text = one_pretraining(1, cluster="{name: h, memory_gb_per_node: 2, sbatch: {hold: true}}")
    shims = shim(tmp_path, "scancel", "echo Socket timed out >&2; exit 1")
    sweep = Sweep(tmp_path, text)
    sweep.submit()
    process = Sweep(tmp_path, text, shims).start("cancel", "--yes")
    assert "scancel failed: Socket timed out" in process.communicate(timeout=120)[1]
    assert process.returncode == 2
    assert sweep.states() == {"waiting": 2}
    note = sweep.directory("pretrain").cancelled
    note.write_text("{}")  # as a command leaves it that was killed before it reached scancel
    assert "2 runs cancelled" in sweep("cancel", "--yes")
    assert sweep.states() == {"cancelled": 2}


def test_cancelling_one_run_names_who_wants_it_and_what_waits_for_it(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, one_pretraining(1, cluster="{name: h, memory_gb_per_node: 2, sbatch: {hold: true}}"))
    sweep.submit()
    run_id = sweep.directory("pretrain").path.name
    said = sweep("cancel", "--yes", of=run_id)
    assert f"will stop: {run_id}, which faults asked for" in said
    assert f"will not start without it: {sweep.directory('knn').path.name}" in said
