"""Rows of methods that the paper cites: filled by runs if there are any, ``cited`` otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

import results
from bench.plan.graph import PlannedRun, plan_sweep
from bench.sweep.load import load_sweep
from results.declarations import PaperDeclaration, find_declaration
from results.tables import Table, build_table
from tests.results.synthetic import evaluation, pretraining, write_run

CITED = {
    "table1": ["MoCo-v1", "MoCo-v2", "MoCo-v2", "SimCLR", "SimSiam", "BYOL"],
    "table2": ["DINO†"],
    "table8": ["BEiT", "MSN", "MAE", "iBOT", "SimMIM", "DINO†"],
}


def write_plan(directory: Path, runs: tuple[PlannedRun, ...]) -> None:
    for run in runs:
        (directory / run.run_id).mkdir()
        planned = {"run_id": run.run_id, "stage": run.stage, "parents": list(run.parents), "config": run.config}
        (directory / run.run_id / "config.yaml").write_text(yaml.dump(planned, Dumper=yaml.CSafeDumper))


def states(table: Table) -> list[tuple[str, str]]:
    return [(row.labels[0], row.cells[0].state) for row in table.rows]


@pytest.mark.parametrize("name", CITED)
def test_full_size_runs_fill_the_cited_rows(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sweep's group and the table's queries name the same settings, one run for each row."""
    monkeypatch.setenv("BEIT_TOKENIZER_SHA256", "0" * 64)
    write_plan(tmp_path, plan_sweep(load_sweep(name, ("rows=cited",))).runs)
    found = [(method, state) for method, state in states(build_table(name, results.load(tmp_path))) if state]
    assert [method for method, state in found if state == "waiting"] == CITED[name]
    assert {state for method, state in found if method not in CITED[name]} == {"not planned"}


@pytest.mark.parametrize("name", CITED)
@pytest.mark.parametrize("rows", ["cited", "all"])
def test_tiny_runs_fill_the_cited_rows_in_miniature(
    name: str, rows: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BEIT_TOKENIZER_SHA256", "0" * 64)
    write_plan(tmp_path, plan_sweep(load_sweep(name, (f"rows={rows}",), tiny=True)).runs)
    table = build_table(name, results.load(tmp_path))
    assert [method for method, state in states(table) if state == "waiting" and method in CITED[name]] == CITED[name]
    assert all(cell.seeds <= 1 for row in table.rows for cell in row.cells)
    assert not any(note.startswith("Left out") for note in table.notes)


def test_a_miniature_names_the_cited_methods_that_were_not_run(tmp_path: Path) -> None:
    """Without a tokenizer BEiT is not planned, so the miniature has no row of it, and says why."""
    write_plan(tmp_path, plan_sweep(load_sweep("table8", tiny=True)).runs)
    table = build_table("table8", results.load(tmp_path))
    assert {state for _, state in states(table)} == {"waiting"}
    assert [method for method, _ in states(table)] == [*CITED["table8"][1:], "MoCo-v3†", "OPERA"]
    assert [note for note in table.notes if note.startswith("Left out")] == [
        "Left out, because the paper only cites them and none was planned here: BEiT (its tokenizer is a file that "
        "you name, see docs/methods.md)."
    ]


def test_a_miniature_prints_the_epochs_of_the_run_and_not_of_the_papers_row(tmp_path: Path) -> None:
    """SimCLR's row prints 100 and 1000 epochs; its run has 1000 and 90, which shrink to 40 and 12."""
    write_plan(tmp_path, plan_sweep(load_sweep("table1", ("rows=cited",), tiny=True)).runs)
    rows = {row.labels[0]: row.labels[1:] for row in build_table("table1", results.load(tmp_path)).rows}
    assert rows["SimCLR"] == ("256", "40", "12", "tiny ResNet", "digits")
    assert rows["SimSiam"] == ("16", "32", "12", "tiny ResNet", "digits")


def simclr(**changed: Any) -> dict[str, Any]:
    subject = pretraining(
        "simclr", "resnet50", dataset="imagenet", **{"epochs": 1000, "global_batch_size": 4096, **changed}
    )
    return evaluation(subject, epochs=90)


def test_a_cited_row_has_its_difference_from_the_printed_number(tmp_path: Path) -> None:
    write_run(tmp_path, simclr(), metrics={"top1": 69.0, "top5": 88.5})
    table = build_table("table1", results.load(tmp_path))
    row = next(row for row in table.rows if row.labels[0] == "SimCLR")
    assert row.labels == ("SimCLR", "4096", "100", "1000", "R50")
    assert [(cell.published, cell.mean, cell.agreement) for cell in row.cells] == [
        ("69.3", 69.0, "within"),
        ("89.0", 88.5, "below"),
    ]
    assert row.cells[0].difference == pytest.approx(-0.3)
    assert dict(states(table))["BYOL"] == "cited"


def test_a_run_with_other_settings_leaves_the_row_cited(tmp_path: Path) -> None:
    write_run(tmp_path, simclr(epochs=100), metrics={"top1": 64.5})
    assert dict(states(build_table("table1", results.load(tmp_path))))["SimCLR"] == "cited"


def test_every_difference_between_a_row_and_its_source_is_told() -> None:
    """A cited word with settings of its own differs from the row that is printed, so a note names the method."""
    for name in CITED:
        declared = find_declaration(name)
        assert isinstance(declared, PaperDeclaration)
        notes = " ".join(declared.notes)
        for title in {"table1": ("SimCLR", "SimSiam"), "table2": ("DINO",), "table8": ("iBOT", "DINO")}[name]:
            assert f"{title}'s row" in notes
