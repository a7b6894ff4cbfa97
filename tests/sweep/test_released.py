"""The sweep ``released``: each released file is planned under its own protocol and fills one row of the table."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

import pytest
import yaml

import results
from bench.plan.graph import IMPORT, plan_sweep
from bench.sweep.load import load_sweep
from results.declarations import OwnDeclaration, find_declaration
from results.tables import build_table

TEXT = files("bench").joinpath("sweep", "shipped", "released.yaml").read_text(encoding="utf-8")
DIRECTORIES = sorted({*re.findall(r"\$\{(\w+_DIR)\}", TEXT)} - {"IMAGENET_DIR"})
PROTOCOLS = {
    "moco_v1_official": "linear-moco",
    "moco_v2_official": "linear-moco",
    "simsiam_official": "linear-simsiam",
    "dino_official": "finetune-dino",
    "msn_official": "finetune-msn",
    "mae_official": "finetune-mae",
    "ibot_official": "finetune-ibot",
    "simmim_official": "finetune-simmim",
}


def test_each_file_is_judged_by_its_own_protocol_and_fills_one_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in DIRECTORIES:
        monkeypatch.setenv(name, "/weights")
    runs = plan_sweep(load_sweep("released")).runs
    judged = [run for run in runs if "evaluator" in run.config and run.config["pretrain"]["method"] in PROTOCOLS]
    assert {(run.config["pretrain"]["method"], run.config["evaluator"]["recipe"]["id"]) for run in judged} == set(
        PROTOCOLS.items()
    )
    for run in runs:
        (tmp_path / run.run_id).mkdir()
        planned = {"run_id": run.run_id, "stage": run.stage, "parents": list(run.parents), "config": run.config}
        (tmp_path / run.run_id / "config.yaml").write_text(yaml.dump(planned, Dumper=yaml.CSafeDumper))
    table = build_table("released", results.load(tmp_path))
    assert [(row.cells[0].state, row.cells[0].seeds) for row in table.rows] == [("waiting", 1)] * len(judged)
    assert all(row.cells[0].published for row in table.rows)


def test_only_files_whose_directory_is_set_are_planned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without directories, the sweep is the one that it includes; a note names each variable to set."""
    for name in DIRECTORIES:
        monkeypatch.delenv(name, raising=False)
    plan = plan_sweep(load_sweep("released"))
    assert plan.run_ids == plan_sweep(load_sweep("official-checkpoints")).run_ids
    assert all("is left out: checkpoint needs the environment variable" in note for note in plan.notes)
    assert {name for name in DIRECTORIES for note in plan.notes if name in note} == {*DIRECTORIES}
    monkeypatch.setenv("MAE_DIR", "/weights")
    imports = [run.config for run in plan_sweep(load_sweep("released")).runs if run.stage == IMPORT]
    assert [config["import"]["format"] for config in imports] == ["moco_v3"] * 5 + ["mae"]


def test_the_table_repeats_the_numbers_that_the_paper_cites() -> None:
    """Where the paper cites the same model, the authors' number is in both tables."""
    declared = find_declaration("released")
    assert isinstance(declared, OwnDeclaration)
    ours = {(row.labels[0], row.labels[3]): row.official["Top-1 Acc"] for row in declared.rows}
    cited = results.reference.load_reference().tables
    for method, number in [(row[0], row[-2]) for row in cited["table1"].rows if row[:3] == ("MoCo-v2", "256", "800")]:
        assert ours[method, "800"] == number
    for method in ("MSN", "MAE", "SimMIM"):
        (number,) = [row[-1] for row in cited["table8"].rows if row[0] == method]
        assert number in {value for (name, _), value in ours.items() if name == method}
