"""One run on several nodes, in several processes each, trains as one process does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.cluster.scheduler import ask
from tests.cluster.sweeps import STEPS_PER_EPOCH, Sweep, copy_of_the_code, one_pretraining, uninterrupted

pytestmark = [pytest.mark.usefixtures("slurm_cluster"), pytest.mark.slow]

TWO_NODES_OF_TWO = "{name: pair, nodes: 2, processes_per_node: 2, memory_gb_per_node: 2}"
SHARED_PORT = "setup: ['export MASTER_PORT=29512 MASTER_ADDR=n2'], sbatch: {nodelist: n2, hold: true}"
LED_TO_THE_OTHER = """

def _find(path, seconds_to_meet):
    import glob, re
    mine = path.parent.parent.parent.parent.name
    for _ in range(600):
        for other in glob.glob("{folder}/[01]/*/.slurm/*/meeting-*.json"):
            if not re.search(f"/{{mine}}/[^/]*/.slurm/", other):
                said = json.loads(Path(other).read_text())
                return "localhost", said["port"]
        time.sleep(0.1)
    raise TimeoutError("the other job does not come")
"""
SAME_STEPS = 5
"""Steps of which float32's rounding shows in the seventh digit only; after them it grows severalfold a step."""
DRIFT = 2e-2
"""How far losses may part in an epoch of twenty steps: five times as far as they do (by 0.004) when a single process
computes with two threads instead of one, which also changes nothing but the order of sums."""


def test_two_nodes_of_two_processes_train_like_one_process(tmp_path: Path, calm_runs: Path) -> None:
    sweep = Sweep(tmp_path, one_pretraining(1, cluster=TWO_NODES_OF_TWO, evaluate="[]"))
    sweep.submit()
    calm = uninterrupted(calm_runs, sweep)
    sweep.wait_until_done()

    assert (sweep.record("pretrain").machine.world_size, calm.record("pretrain").machine.world_size) == (4, 1)
    logs = sweep.directory("pretrain").logs
    said = [(logs / name).read_text() for name in ("job.log", "job.rank1.log", "job.rank2.log", "job.rank3.log")]
    for rank, text in enumerate(said):
        assert f"process {rank} of 4 on n" in text
    assert len({text.splitlines()[0].rpartition(" ")[2] for text in said}) == 2

    four, one = ([row["loss"] for row in s.directory("pretrain").read_progress()] for s in (sweep, calm))
    assert len(one) == STEPS_PER_EPOCH
    assert four[:SAME_STEPS] == pytest.approx(one[:SAME_STEPS], rel=1e-6)
    assert four == pytest.approx(one, rel=DRIFT)


def two_jobs_on_one_node(folder: Path, **options: Any) -> tuple[Sweep, Sweep]:
    """Two sweeps of one job each, of two processes on node n2, which start together."""
    sweeps = []
    for seed in (0, 1):
        cluster = f"{{name: pair, processes_per_node: 2, memory_gb_per_node: 2, {SHARED_PORT}}}"
        text = one_pretraining(1, cluster=cluster, evaluate="[]").replace("epochs: 1", f"epochs: 1, seed: {seed}")
        place = folder / str(seed)
        place.mkdir()
        sweeps.append(Sweep(place, text, {"MASTER_PORT": "29511", "WORLD_SIZE": "8", "RANK": "3"}, **options))
    for sweep in sweeps:
        sweep.submit()
    for sweep in sweeps:
        ask("scontrol", "release", *sweep.slurm_ids())
    return sweeps[0], sweeps[1]


def test_two_jobs_on_one_node_train_apart_whatever_port_the_shell_names(tmp_path: Path, calm_runs: Path) -> None:
    for sweep in two_jobs_on_one_node(tmp_path):
        sweep.wait_until_done()
        record = sweep.record("pretrain")
        assert (record.machine.world_size, record.attempts) == (2, 1)
        calm = uninterrupted(calm_runs, sweep)
        both, alone = ([row["loss"] for row in s.directory("pretrain").read_progress()] for s in (sweep, calm))
        assert both[:SAME_STEPS] == pytest.approx(alone[:SAME_STEPS], rel=1e-3)
        assert both == pytest.approx(alone, rel=DRIFT)
        assert not list(sweep.runs.glob(".slurm/*/meeting-*"))


def test_processes_of_two_jobs_that_are_led_to_each_other_stop_before_they_train(tmp_path: Path) -> None:
    """Each rank 1 is sent to the other job's rank 0, as a port that both jobs believe in would do."""
    checkout = copy_of_the_code(tmp_path / "checkout")
    (meeting := checkout / "slurm" / "scheduler" / "meeting.py").write_text(
        meeting.read_text() + LED_TO_THE_OTHER.format(folder=tmp_path)
    )
    sweeps = two_jobs_on_one_node(tmp_path, checkout=checkout)
    for sweep in sweeps:
        sweep.wait(lambda states: states == {"failed": 1}, "the run has stopped")
        run = sweep.directory("pretrain")
        assert not run.record.exists()
        assert not list(run.path.glob("checkpoints/*"))
        said = str(run.read_failure()["error"])
        assert all(other.directory("pretrain").run_id in said for other in sweeps)
        assert all(f"SLURM job {other.slurm_ids()[0]}, start " in said for other in sweeps)
        assert "they must not train together, so nothing was computed: start both again" in said
