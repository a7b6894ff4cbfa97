"""What goes into a cell: which runs, which statistics, and why there is no number."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import sem

import results
from results.declarations import OwnDeclaration
from results.index import load_rows
from results.tables import Cell, RunRows, build_table
from tests.results.fixed_runs import write_fixed_runs
from tests.results.synthetic import evaluation, make_record, pretraining, run_id_of, write_run

LINEAR_ONLY = OwnDeclaration.model_validate(
    {
        "id": "t",
        "title": "T",
        "caption": "c",
        "labels": ["Method"],
        "rows": [{"labels": ["OPERA"], "where": {"method": "opera"}}],
        "columns": {"top-1": {"protocol": "linear", "metric": "top1"}},
    }
)


def cell(runs: Path) -> Cell:
    return build_table(LINEAR_ONLY, results.load(runs)).rows[0].cells[0]


def write_linear(runs: Path, seed: int, top1: float = 90.0, state: str = "done", **fields: Any) -> str:
    return write_run(runs, evaluation(pretraining(seed=seed)), state=state, metrics={"top1": top1}, **fields)


@given(st.lists(st.floats(0, 100), min_size=2, max_size=6))
@settings(max_examples=15, deadline=None)
def test_mean_and_standard_error_are_scipys(values: list[float]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        for seed, value in enumerate(values):
            write_linear(Path(directory), seed, value)
        found = cell(Path(directory))
    assert found.mean == pytest.approx(sum(values) / len(values))
    assert found.standard_error == pytest.approx(sem(values, ddof=1), abs=1e-9)
    assert (found.n, found.seeds, found.state) == (len(values), len(values), "done")


def test_one_seed_has_no_standard_error(tmp_path: Path) -> None:
    write_linear(tmp_path, 0, 93.0)
    assert (cell(tmp_path).mean, cell(tmp_path).standard_error, cell(tmp_path).n) == (93.0, None, 1)


def test_no_runs_are_not_planned(tmp_path: Path) -> None:
    write_run(tmp_path, pretraining())
    write_run(tmp_path, evaluation(pretraining("moco_v3")))
    assert cell(tmp_path) == Cell("not planned")


@pytest.mark.parametrize("state", ["planned", "running", "unknown", "failed", "cancelled"])
def test_a_missing_number_says_why(tmp_path: Path, state: str) -> None:
    write_linear(tmp_path, 0, state=state)
    assert (cell(tmp_path).state, cell(tmp_path).mean) == (state, None)


def test_the_most_alive_state_stands_for_several(tmp_path: Path) -> None:
    write_linear(tmp_path, 0, state="failed", error="boom")
    write_linear(tmp_path, 1, state="running")
    assert (cell(tmp_path).state, cell(tmp_path).reason) == ("running", "1 running, 1 failed (boom)")


def test_some_seeds_done_and_some_not(tmp_path: Path) -> None:
    write_linear(tmp_path, 0, 90.0)
    write_linear(tmp_path, 1, 92.0)
    write_linear(tmp_path, 2, state="failed", error="boom")
    found = cell(tmp_path)
    assert (found.mean, found.n, found.seeds, found.reason) == (91.0, 2, 3, "1 failed (boom)")


def test_a_done_run_without_the_metric_is_missing(tmp_path: Path) -> None:
    run_id = write_run(tmp_path, evaluation(pretraining()), metrics={"top5": 99.0})
    assert (cell(tmp_path).state, cell(tmp_path).reason) == ("missing", f"{run_id} recorded no top1")


@pytest.mark.parametrize(
    ("other", "fields", "named"),
    [
        (evaluation(pretraining(seed=1)), {"fingerprint": "c" * 64}, "fingerprint"),
        (evaluation(pretraining(seed=1), version=2), {}, "protocol_recipe linear-tiny@1, linear-tiny@2"),
        (
            evaluation(pretraining(seed=1), changed=("epochs",)),
            {},
            "protocol_recipe linear-tiny@1, linear-tiny@1*",
        ),
        (evaluation(pretraining(seed=1, version=2)), {}, "pretrain_recipe tiny@1, tiny@2"),
        (evaluation(pretraining(seed=1, epochs=20)), {}, "pretrain_epochs 10, 20"),
        (evaluation(pretraining(seed=1), dataset="mnist"), {}, "dataset digits, mnist"),
        (evaluation(pretraining(seed=1, temperature=0.1)), {}, "2 runs differ: temperature 0.1, None"),
        (evaluation(pretraining(seed=1), power=2), {}, "2 runs differ: protocol_power 2, None"),
        (evaluation(pretraining(seed=1, heads={"a": 1, "b": 2})), {}, "2 runs differ: heads None, {"),
        (evaluation(pretraining(seed=1, note="{not JSON")), {}, "2 runs differ: note None, {not JSON"),
    ],
)
def test_runs_that_differ_are_never_averaged(
    tmp_path: Path, other: dict[str, Any], fields: dict[str, Any], named: str
) -> None:
    write_linear(tmp_path, 0, 90.0)
    write_run(tmp_path, other, metrics={"top1": 92.0}, **fields)
    found = cell(tmp_path)
    assert (found.state, found.mean, found.n) == ("mixed", None, 0)
    assert found.reason is not None
    assert named in found.reason


def strangers_table(where: dict[str, Any]) -> OwnDeclaration:
    return OwnDeclaration.model_validate(
        {
            "id": "t",
            "title": "T",
            "caption": "c",
            "labels": ["Temperature"],
            "where": {"method": "mine", "protocol": "probe", **where},
            "rows": [{"labels": [str(value)], "where": {"temperature": value}} for value in (0.1, 0.2)],
            "columns": {"top-1": {"metric": "top1"}},
        }
    )


def test_an_option_that_nobody_listed_is_an_axis_of_a_table(tmp_path: Path) -> None:
    for seed in range(2):
        for temperature, top1 in ((0.1, 80.0), (0.2, 85.0)):
            for power in (1, 2):
                config = evaluation(pretraining("mine", seed=seed, temperature=temperature), "probe", power=power)
                write_run(tmp_path, config, metrics={"top1": top1 + seed + 10 * power})
    frame = results.load(tmp_path)
    cells = [row.cells[0] for row in build_table(strangers_table({"protocol_power": 2}), frame).rows]
    assert [(cell.mean, cell.n) for cell in cells] == [(100.5, 2), (105.5, 2)]
    mixed = [row.cells[0] for row in build_table(strangers_table({}), frame).rows]
    assert {(cell.state, cell.reason) for cell in mixed} == {("mixed", "4 runs differ: protocol_power 1, 2")}


def test_a_misspelt_option_says_which_columns_the_runs_have(tmp_path: Path) -> None:
    write_run(tmp_path, evaluation(pretraining("mine", temperature=0.1), "probe", power=2))
    for runs in (results.load(tmp_path), RunRows(load_rows(tmp_path)[0])):
        cell = build_table(strangers_table({"protocol_pwer": 2}), runs).rows[0].cells[0]
        assert cell.state == "not planned"
        assert cell.reason is not None
        assert cell.reason.startswith("the runs have no column 'protocol_pwer'; they have ")
        assert {"protocol_power", "temperature"} <= set(cell.reason.partition("they have ")[2].split(", "))


def test_a_seed_counts_once(tmp_path: Path) -> None:
    """The same work under another parent's id is a second run of one seed."""
    values = {}
    for parent, top1 in (("a", 90.0), ("b", 70.0)):
        config = evaluation(pretraining(seed=0))
        values[run_id_of(config, (parent,))] = top1
        write_run(tmp_path, config, metrics={"top1": top1}, parents=(parent,))
    assert (cell(tmp_path).n, cell(tmp_path).mean) == (1, values[min(values)])


@pytest.fixture(scope="module")
def fixed_frame(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    runs = tmp_path_factory.mktemp("runs")
    write_fixed_runs(runs)
    return results.load(runs)


@given(data=st.data())
@settings(max_examples=10, deadline=None)
def test_order_repetition_and_strangers_change_nothing(fixed_frame: pd.DataFrame, data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(fixed_frame))))
    twice = data.draw(st.lists(st.integers(0, len(fixed_frame) - 1), max_size=5))
    stranger = fixed_frame.head(2).assign(run_id="stranger", method="byol", stage="pretrain", protocol=None)
    shuffled = pd.concat([fixed_frame.iloc[[*order, *twice]], stranger])
    for name in ("digits", "table1"):
        assert build_table(name, shuffled) == build_table(name, fixed_frame)


def test_digits_shows_arrangement_c_alone(fixed_frame: pd.DataFrame) -> None:
    opera = next(row for row in build_table("digits", fixed_frame).rows if row.labels == ("Tiny ViT", "OPERA"))
    assert opera.cells[0].state == "failed"
    by_arrangement = build_table("digits-arrangements", fixed_frame)
    assert [row.cells[0].state for row in by_arrangement.rows] == ["done", "not planned", "failed"]


def test_the_difference_is_ours_minus_the_papers(fixed_frame: pd.DataFrame) -> None:
    rows = {row.labels: row.cells for row in build_table("table1", fixed_frame).rows}
    moco = rows["MoCo-v3†", "1024", "300", "90", "R50"][0]
    assert (moco.published, moco.mean) == ("70.5", 72.8)
    assert moco.difference == pytest.approx(72.8 - 70.5)
    assert rows["MoCo-v1", "256", "200", "100", "R50"][1] == Cell("cited", published="-")
    opera = rows["OPERA", "1024", "150", "90", "R50"][0]
    assert opera.n == 3, "the run with a three-layer class head is an ablation and no repetition"


@pytest.mark.parametrize("of_the_evaluation", [True, False])
def test_other_data_than_the_published_is_told_and_not_compared(tmp_path: Path, of_the_evaluation: bool) -> None:
    """A part of ImageNet is named like the whole; an evaluation elsewhere has its weights from it all the same."""
    differs = "imagenet is not the published set here: train has 18 images and not 1,281,167"
    (row,) = LINEAR_ONLY.rows
    declared = LINEAR_ONLY.model_copy(update={"rows": (row.model_copy(update={"official": {"top-1": "73.0"}}),)})
    parent = write_run(tmp_path, pretraining(), differs=None if of_the_evaluation else differs)
    write_linear(tmp_path, 0, 90.0, parents=[parent], differs=differs if of_the_evaluation else None)
    table = build_table(declared, results.load(tmp_path))
    found = table.rows[0].cells[0]
    assert (found.mean, found.published, found.difference, found.agreement) == (90.0, "73.0", None, None)
    assert found.other_data == (differs,)
    assert f"{differs}: no Δ to the printed number." in table.notes


def test_a_list_in_a_query_means_any_of_its_values(tmp_path: Path) -> None:
    either = LINEAR_ONLY.model_copy(update={"where": {"finetune_epochs": [5, 6]}})
    write_linear(tmp_path, 0, 90.0)
    assert build_table(either, results.load(tmp_path)).rows[0].cells[0].n == 1
    neither = LINEAR_ONLY.model_copy(update={"where": {"finetune_epochs": [6, 7]}})
    assert build_table(neither, results.load(tmp_path)).rows[0].cells[0].state == "not planned"


def test_supervised_training_itself_fills_table_2(tmp_path: Path) -> None:
    supervised = pretraining("supervised", "vit_small", dataset="imagenet", epochs=300, global_batch_size=1024)
    write_run(tmp_path, supervised, metrics={"loss": 1.0, "class_top1": 60.0, "top1": 79.9, "top5": 95.0})
    first = build_table("table2", results.load(tmp_path)).rows[0].cells
    assert [cell.mean for cell in first] == [79.9, 95.0]


def test_the_builder_of_synthetic_runs_names_runs_alike() -> None:
    assert make_record(pretraining(), {}).run_id == run_id_of(pretraining())


def test_the_digits_table_takes_no_run_on_other_data(tmp_path: Path) -> None:
    write_run(tmp_path, evaluation(pretraining("opera"), "linear"), metrics={"top1": 90.0})
    write_run(tmp_path, evaluation(pretraining("opera", dataset="mnist5k", seed=1), "linear"), metrics={"top1": 10.0})
    write_run(tmp_path, evaluation(pretraining("opera"), "linear", dataset="mnist5k"), metrics={"top1": 20.0})
    table = build_table("digits", results.load(tmp_path))
    (row,) = [row for row in table.rows if row.labels == ("Tiny ViT", "OPERA")]
    assert (row.cells[0].mean, row.cells[0].n) == (90.0, 1)
