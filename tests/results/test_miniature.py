"""The paper's tables filled by tiny runs: each row finds its runs, and nothing is compared with the paper."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import results
from bench.plan.graph import plan_sweep
from bench.sweep.load import load_sweep
from results.columns import settings_of
from results.declarations import find_declaration
from results.render import render_table
from results.scale import shrink_query
from results.tables import Table, build_table, published_table_names
from tests.results.paper_runs import PAPER, TINY, write_paper_runs
from tests.results.synthetic import evaluation, pretraining, write_run


@pytest.fixture(scope="module")
def frame(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    runs = tmp_path_factory.mktemp("tiny")
    write_paper_runs(runs, TINY, seeds=2)
    return results.load(runs)


def rows_of(table: Table) -> list[dict[str, Any]]:
    return [
        {**dict(zip(table.labels, row.labels, strict=True)), **dict(zip(table.columns, row.cells, strict=True))}
        for row in table.rows
    ]


@pytest.mark.parametrize("name", published_table_names())
def test_every_table_is_filled_and_claims_nothing(name: str, frame: pd.DataFrame) -> None:
    table = build_table(name, frame)
    assert table.title.endswith("in miniature")
    assert table.source is None
    cells = [cell for row in table.rows for cell in row.cells]
    assert cells
    assert {cell.state for cell in cells} == {"done"}
    assert {cell.n for cell in cells} == {2}
    assert all(cell.published is None and cell.difference is None and cell.agreement is None for cell in cells)
    assert not any("cited" in note for note in table.notes)


def test_rows_are_what_was_run(frame: pd.DataFrame) -> None:
    table = build_table("table2", frame)
    vit = [row for row in rows_of(table) if row["Backbone"] == "tiny ViT-B" and row["BS"] == "256"]
    assert [(row["Method"], row["P.T."], row["F.T."]) for row in vit] == [
        ("MoCo-v3†", "12", "3"),
        ("OPERA", "6", "3"),
        ("OPERA", "12", "3"),
    ]
    supervised = [row for row in rows_of(table) if row["Method"] == "Supervised"]
    assert {(row["P.T."], row["F.T."]) for row in supervised} == {("-", "12")}, "trained once, judged as is"
    assert set(table.labels) >= {"Backbone", "Pretrained on"}


def test_numbers_are_the_frames(frame: pd.DataFrame) -> None:
    row = next(
        row
        for row in rows_of(build_table("table1", frame))
        if (row["Method"], row["P.T."], row["Backbone"]) == ("OPERA", "6", "tiny ViT")
    )
    found = frame[
        (frame.method == "opera")
        & (frame.ablated == "none")
        & (frame.backbone == "tiny_vit")
        & (frame.pretrain_epochs == 6)
        & (frame.global_batch_size == int(row["BS"]))
        & (frame.protocol == "linear")
        & (frame.metric == "top1")
    ]
    assert len(found) == 2, "ablations are runs of their own"
    assert row["Top-1 Acc"].mean == pytest.approx(found.value.mean())
    assert row["Top-1 Acc"].run_ids == tuple(found.sort_values("seed").run_id)


def test_what_the_paper_holds_fixed_is_held_fixed(frame: pd.DataFrame) -> None:
    """Tables 7 and 8 and Figure 4 have one network, batch and pretraining: those that stand for the paper's."""
    told = {}
    for name in ("table7", "table8", "figure4"):
        table = build_table(name, frame)
        told[name] = next(note for note in table.notes if note.startswith("Held fixed"))
    seven = [(row["Method"], row["P.T."], row["Backbone."]) for row in rows_of(build_table("table7", frame))]
    assert seven == [(method, "4", "tiny ViT") for method in ("Supervised", "Supervised (MLP)", "OPERA")]
    eight = [(row["Method"], row["Pretraining Backbone"]) for row in rows_of(build_table("table8", frame))]
    assert eight == [("MoCo-v3†", "12 tiny ViT-B"), ("OPERA", "12 tiny ViT-B")]
    assert "global batch size 64; pretrain epochs 4; finetune epochs 2" in told["table7"]
    assert "global batch size 256" in told["table8"]
    assert "backbone tiny_vit; global batch size 64; pretrain epochs 4; finetune epochs 2." in told["figure4"]


def test_datasets_that_the_paper_names_in_columns(frame: pd.DataFrame) -> None:
    assert build_table("table3", frame).columns == ("MNIST 5k",)
    assert any(note == "Judged on digit scenes." for note in build_table("table4", frame).notes)


def test_bold_is_held_against_the_row_it_belongs_to(frame: pd.DataFrame) -> None:
    table = build_table("table1", frame)
    rows = rows_of(table)
    for at, row in enumerate(rows):
        if row["Method"] != "OPERA":
            assert not row["Top-1 Acc"].better
            continue
        baseline = next(
            other
            for other in reversed(rows[:at])
            if other["Method"] == "MoCo-v3†" and all(other[k] == row[k] for k in ("Backbone", "F.T."))
        )
        assert row["Top-1 Acc"].better == (row["Top-1 Acc"].mean > baseline["Top-1 Acc"].mean)


def test_one_run_of_the_papers_scale_brings_the_paper_back(frame: pd.DataFrame, tmp_path: Path) -> None:
    moco = pretraining("moco_v3", "resnet50", dataset="imagenet", epochs=300, global_batch_size=1024)
    write_run(tmp_path, evaluation(moco, epochs=90), metrics={"top1": 72.8})
    both = pd.concat([frame, results.load(tmp_path)])
    assert build_table("table1", both) == build_table("table1", results.load(tmp_path))
    assert build_table("table4", both) == build_table("table4", frame)


def small_opera() -> dict[str, Any]:
    return pretraining("opera", epochs=12, global_batch_size=64, embedding_dimension=64)


def test_rows_without_runs_are_not_planned(tmp_path: Path) -> None:
    write_run(tmp_path, evaluation(small_opera(), epochs=12))
    table = build_table("table1", results.load(tmp_path))
    states = {(row["Method"], row["P.T."], row["Backbone"]): row["Top-1 Acc"].state for row in rows_of(table)}
    assert states.pop(("OPERA", "12", "tiny ViT")) == "done"
    assert set(states.values()) == {"not planned"}
    assert len(states) == 5


def test_a_condition_that_only_full_size_runs_meet_is_named_and_not_applied(tmp_path: Path) -> None:
    write_run(tmp_path, evaluation(small_opera(), epochs=12))
    full = find_declaration("table1")
    recipes: dict[str, Any] = {"pretrain_recipe": "opera-vit@1", "protocol_recipe": ["linear@1", "linear@2"]}
    table = build_table(full.model_copy(update={"where": {**full.where, **recipes}}), results.load(tmp_path))
    assert table.title.endswith("in miniature")
    states = [row["Top-1 Acc"].state for row in rows_of(table)]
    assert states.count("done") == 1
    assert [note for note in table.notes if note.startswith("Conditions")] == [
        "Conditions that only full-size runs can meet, not applied here: pretrain_recipe opera-vit@1; "
        "protocol_recipe linear@1 or linear@2."
    ]


def test_unfinished_runs_have_their_state(tmp_path: Path) -> None:
    write_run(tmp_path, evaluation(small_opera(), epochs=12), state="failed", error="boom")
    (cells,) = (row.cells for row in build_table("table1", results.load(tmp_path)).rows if row.cells[0].seeds)
    assert [cell.state for cell in cells] == ["failed", "failed"]


@pytest.mark.parametrize("name", published_table_names())
def test_the_sweep_of_a_table_fills_its_miniature(name: str, tmp_path: Path) -> None:
    """The planner and the tables translate with one mapping: every cell is a run that ``--tiny`` plans."""
    runs = plan_sweep(load_sweep(name, tiny=True)).runs
    for run in runs:
        (tmp_path / run.run_id).mkdir()
        planned = {"run_id": run.run_id, "stage": run.stage, "parents": list(run.parents), "config": run.config}
        (tmp_path / run.run_id / "config.yaml").write_text(yaml.dump(planned, Dumper=yaml.CSafeDumper))
    table = build_table(name, results.load(tmp_path))
    assert table.title.endswith("in miniature")
    assert {cell.state for row in table.rows for cell in row.cells} <= {"planned", "waiting"}
    assert {cell.seeds for row in table.rows for cell in row.cells} == {1}


@given(data=st.data())
@settings(max_examples=5, deadline=None)
def test_order_repetition_and_strangers_change_nothing(frame: pd.DataFrame, data: st.DataObject) -> None:
    few = frame[frame["backbone"] == "tiny_vit"]
    order = data.draw(st.permutations(range(0, len(few), 7)))
    shuffled = pd.concat([few.iloc[list(reversed(range(len(few))))], few.iloc[list(order)]])
    stranger = few.head(2).assign(run_id="stranger", method="byol", pretrain_dataset="elsewhere")
    for name in ("table1", "table3", "table7", "figure4"):
        assert build_table(name, pd.concat([shuffled, stranger])) == build_table(name, few)


def test_official_numbers_have_rows_of_their_own(tmp_path: Path) -> None:
    write_paper_runs(tmp_path, PAPER)
    official = pretraining("moco_v3_official", "resnet50", dataset="imagenet", epochs=300, global_batch_size=4096)
    write_run(tmp_path, evaluation(official, epochs=90), metrics={"top1": 72.5, "top5": 91.0})
    table = build_table("table1", results.load(tmp_path))
    shown = {row.labels: row for row in table.rows if row.published_by == "official"}
    assert {labels[-1] for labels in shown} == {"R50", "ViT-S"}
    at = [row.labels for row in table.rows].index(("MoCo-v3 (official)", "4096", "300", "90", "R50"))
    assert table.rows[at - 1].labels[0] == "MoCo-v3†"
    cell = table.rows[at].cells[0]
    assert (cell.published, cell.mean, cell.agreement) == ("72.8", 72.5, "within")
    assert cell.difference == pytest.approx(-0.3)
    finetuned = build_table("table2", results.load(tmp_path))
    tuned = [row for row in finetuned.rows if row.published_by == "official"]
    assert [(row.labels[3], row.cells[0].published) for row in tuned] == [("150", "83.2")]
    assert any("ViT-S, 300, 300, 81.4" in note for note in finetuned.notes)


@pytest.mark.parametrize(("top1", "agreement"), [(73.0, "within"), (72.3, "below"), (73.3, "above")])
def test_the_released_checkpoints_are_held_against_what_their_authors_report(
    tmp_path: Path, top1: float, agreement: str
) -> None:
    official = pretraining("moco_v3_official", "resnet50", dataset="imagenet", epochs=300, global_batch_size=4096)
    write_run(tmp_path, evaluation(official, epochs=90), metrics={"top1": top1, "top5": 91.0})
    table = build_table("official-checkpoints", results.load(tmp_path))
    (row,) = [row for row in table.rows if row.labels == ("R50", "300")]
    assert [(cell.published, cell.agreement) for cell in row.cells] == [("72.8", agreement), (None, None)]
    assert f"official 72.8 · Δ {'+' if top1 > 72.8 else '−'}" in render_table(table, "md")


@pytest.mark.parametrize(
    ("top1", "agreement"), [(70.5, "within"), (70.9, "within"), (70.1, "within"), (71.0, "above"), (70.0, "below")]
)
def test_tolerance(tmp_path: Path, top1: float, agreement: str) -> None:
    moco = pretraining("moco_v3", "resnet50", dataset="imagenet", epochs=300, global_batch_size=1024)
    write_run(tmp_path, evaluation(moco, epochs=90), metrics={"top1": top1})
    table = build_table("table1", results.load(tmp_path))
    assert next(row for row in table.rows if row.labels[0] == "MoCo-v3†").cells[0].agreement == agreement


def test_a_query_shrinks_every_setting_that_the_planner_shrinks(tmp_path: Path) -> None:
    """Columns of the planned runs at both scales: a query on those of the one becomes a query on those of the other."""
    sweep = {
        "name": "mine",
        "description": "settings that shrink",
        "pretrain": [
            {
                "method": "moco_v3",
                "backbone": "resnet50",
                "dataset": "imagenet",
                "epochs": 300,
                "batch_size": 4096,
                "mlp_dimension": 2048,
                "embedding_dimension": 128,
            }
        ],
        "evaluate": [
            {"linear": {"epochs": 45, "global_batch_size": 4096}},
            {"transfer": {"dataset": "cifar10", "epochs": 50, "global_batch_size": 256}},
        ],
    }
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(sweep))
    asked = set()
    for full, tiny in zip(*(plan_sweep(load_sweep(str(path), tiny=tiny)).runs for tiny in (False, True)), strict=True):
        assert full.stage == tiny.stage
        recipes = [part["recipe"] for part in full.config.values() if "recipe" in part]
        changed = {name for recipe in recipes for name in recipe["changed"]}
        columns = [{**settings_of(run.config), "protocol": run.stage} for run in (full, tiny)]
        names = {f"{prefix}{name}" for name in changed for prefix in ("", "pretrain_", "protocol_")}
        names = (names | {"backbone", "dataset", "pretrain_dataset", "finetune_epochs"}) & {*columns[0]}
        query = {name: columns[0][name] for name in names}
        assert shrink_query({**query, "protocol": full.stage}) == {
            **{name: columns[1][name] for name in names},
            "protocol": full.stage,
        }
        asked |= names
    assert asked >= {"global_batch_size", "protocol_global_batch_size", "mlp_dimension", "embedding_dimension"}


LIFTED = {"Top-1 Acc": {"metric": "top1", "pretrain_dataset": "any"}, "Top-5 Acc": {"metric": "top5"}}


@pytest.mark.parametrize(
    ("changed", "shown"),
    [
        ({"where": {"protocol": "linear", "dataset": "imagenet"}}, "any"),
        ({"columns": LIFTED}, "any"),
        ({"where": {"protocol": "linear", "pretrain_dataset": "imagenet"}}, "digits"),
        ({"where": {"protocol": "linear"}}, "any"),
        (
            {
                "where": {
                    "protocol": "linear",
                    "pretrain_dataset": ["imagenet", "cifar10"],
                    "dataset": ["imagenet", "ade20k"],
                }
            },
            "digits or MNIST 5k",
        ),
        ({"where": {"pretrain_epochs": "any", "finetune_epochs": "any"}}, "-"),
        ({"where": {"protocol": "linear", "backbone": "any", "global_batch_size": "any"}}, "any"),
    ],
)
@pytest.mark.parametrize("has_runs", [False, True])
def test_a_table_that_leaves_data_open(changed: dict[str, Any], shown: str, has_runs: bool, tmp_path: Path) -> None:
    declared = find_declaration("table1").model_copy(update={"id": "mine", **changed})
    write_run(tmp_path, evaluation(small_opera(), epochs=12), metrics={"top1": 90.0} if has_runs else None)
    if not has_runs:
        for path in tmp_path.glob("linear-*/*"):
            path.unlink()
    table = build_table(declared, results.load(tmp_path))
    assert table.title.endswith("in miniature") == has_runs
    if has_runs:
        found = [row for row in rows_of(table) if row["Method"] == "OPERA" and row["Top-1 Acc"].state == "done"]
        assert {(row["Pretrained on"], row["Top-1 Acc"].mean) for row in found} == {(shown, 90.0)}
