"""The scripts that ``sbatch`` would be given, without SLURM. ``python -m tests.slurm.test_sbatch_text`` writes
the golden file anew.

They are as submitit writes them; another version of it may order or quote differently.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "sbatch" / "site.txt"
SWEEP = """\
name: site
cluster:
  name: site
  partition: gpu
  account: vision
  gpus_per_node: 4
  cpus_per_gpu: 8
  memory_gb_per_node: 120
  max_concurrent: 3
  setup: [module load cuda]
  python: /opt/a python/bin/python
  sbatch: {exclusive: true, mail-type: FAIL}
  stages:
    pretrain: {nodes: 2, hours: 48}
    knn: {gpus_per_node: 1, hours: 2, sbatch: {exclusive: false}}
pretrain:
  - {method: [opera, moco_v3], backbone: tiny_vit, dataset: digits}
evaluate: [knn, {linear: {epochs: 1}}, {linear: {epochs: 2}}]
"""


def written(folder: Path, *command: str) -> str:
    """What the command prints about ``SWEEP`` where nothing on PATH belongs to SLURM; ``folder`` reads ``FOLDER``."""
    (folder / "bin").mkdir(exist_ok=True)
    sweep = folder / "sweep.yaml"
    sweep.write_text(SWEEP, encoding="utf-8")
    call = [sys.executable, "-m", "bench.cli", command[0], str(sweep), "--runs", f"{folder}/rüns of 'one' sweep"]
    environment = {**os.environ, "PATH": str(folder / "bin"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*call, *command[1:]], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.replace(str(folder), "FOLDER")


def test_plan_prints_the_scripts(tmp_path: Path) -> None:
    assert written(tmp_path, "plan", "--format", "sbatch") == GOLDEN.read_text(encoding="utf-8")


def test_a_dry_run_prints_the_same_scripts_and_leaves_nothing(tmp_path: Path) -> None:
    shown = written(tmp_path, "run", "--executor", "slurm", "--dry-run")
    assert shown.endswith(GOLDEN.read_text(encoding="utf-8"))
    assert shown.count("would start ") == 8
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bin", "sweep.yaml"]


@pytest.mark.parametrize("name", ["100%", "run 23:59"])
def test_a_path_that_jobs_would_read_otherwise_is_refused_before_anything_is_written(name: str, tmp_path: Path) -> None:
    (tmp_path / "sweep.yaml").write_text(SWEEP, encoding="utf-8")
    call = [sys.executable, "-m", "bench.cli", "run", str(tmp_path / "sweep.yaml"), "--runs", f"{tmp_path}/{name}"]
    done = subprocess.run([*call, "--executor", "slurm"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert "have a meaning; choose another --runs" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.yaml"]


@pytest.mark.parametrize("number", range(1, 6))
def test_bash_accepts_every_script(number: int, tmp_path: Path) -> None:
    text = GOLDEN.read_text(encoding="utf-8").split(f"# ---- sbatch {number} of 5\n")[1].split("# ---- sbatch")[0]
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)


if __name__ == "__main__":
    GOLDEN.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        GOLDEN.write_text(written(Path(folder), "plan", "--format", "sbatch"), encoding="utf-8")
