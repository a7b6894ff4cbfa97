"""Who wants a run: sweeps are told apart by what was typed, not by their names."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.runs.wanted import forget_sweep, remember_sweep, sweeps_by_run
from bench.sweep.load import load_sweep

SWEEP = "name: mine\npretrain: [{method: opera, backbone: tiny_vit, dataset: digits, epochs: 1}]\n"


def test_two_files_of_one_name_and_two_assignments_to_one_file_are_four_sweeps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text(SWEEP)
    monkeypatch.chdir(tmp_path)
    seeds = [("pretrain.*.seed=1",), ()]
    sweeps = [load_sweep(name, changes) for name in ("a.yaml", "b.yaml") for changes in seeds]
    for number, sweep in enumerate(sweeps):
        remember_sweep(sweep, [f"run-{number}", "shared"], tmp_path)
    assert sweeps_by_run(tmp_path) == {**{f"run-{n}": {"mine"} for n in range(4)}, "shared": {"mine"}}
    assert set(sweeps_by_run(tmp_path, but=sweeps[0])) == {"run-1", "run-2", "run-3", "shared"}
    # Typed another way, or edited since, it is the same one.
    (tmp_path / "a.yaml").write_text(SWEEP + "evaluate: [knn]\n")
    forget_sweep(load_sweep(str(tmp_path / "a.yaml")), tmp_path)
    assert set(sweeps_by_run(tmp_path)) == {"run-0", "run-2", "run-3", "shared"}
    (tmp_path / "b.yaml").rename(tmp_path / "c.yaml")
    assert set(sweeps_by_run(tmp_path)) == {"run-0", "shared"}, "nobody can cancel by a name that is gone"
