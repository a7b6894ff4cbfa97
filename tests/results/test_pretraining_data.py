"""Runs of one dataset's name that were pretrained on different images are never averaged, paired or drawn alike."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import results
from results.compare import compare
from results.declarations import OwnDeclaration
from results.figures import find_figure
from results.frame import to_frame, to_rows
from results.index import load_rows
from results.record import NOT_SEEN, read_record, record_text
from results.store import load_runs
from results.tables import Cell, RunRows, build_table
from tests.results.paper_runs import write_similarity
from tests.results.synthetic import evaluation, pretraining, write_run

WHOLE, PART = "a" * 64, "b" * 64
DIFFERS = "imagenet is not the published set here: train has 18 images and not 1,281,167"
TABLE = OwnDeclaration.model_validate(
    {
        "id": "t",
        "title": "T",
        "caption": "c",
        "labels": ["Method"],
        "rows": [{"labels": ["OPERA"], "where": {"method": "opera"}, "official": {"top-1": "85.0"}}],
        "columns": {"top-1": {"protocol": "transfer", "metric": "top1"}},
    }
)


def write_seeds(
    runs: Path, method: str = "opera", data: Sequence[str] = (WHOLE, PART, WHOLE), **options: Any
) -> list[str]:
    """One pretraining on ImageNet a seed, with these fingerprints, and its transfer to CIFAR-10; the parents' ids."""
    parents = []
    for seed, fingerprint in enumerate(data):
        subject = pretraining(method, seed=seed, dataset="imagenet", **options)
        differs = DIFFERS if fingerprint == PART else None
        parents.append(write_run(runs, subject, metrics={"loss": 1.0}, fingerprint=fingerprint, differs=differs))
        judged = evaluation(subject, "transfer", dataset="cifar10")
        write_run(runs, judged, metrics={"top1": 85.0 + seed}, parents=parents[-1:])
    return parents


def cell(rows: pd.DataFrame | RunRows) -> Cell:
    return build_table(TABLE, rows).rows[0].cells[0]


def test_a_cell_does_not_average_them(tmp_path: Path) -> None:
    write_seeds(tmp_path)
    for rows in (results.load(tmp_path), RunRows(load_rows(tmp_path)[0])):
        found = cell(rows)
        assert (found.state, found.mean) == ("mixed", None)
        assert found.reason == f"3 runs differ: pretrain_fingerprint {WHOLE[:12]}, {PART[:12]}"


def test_a_cell_names_the_data_of_its_own_parents_alone(tmp_path: Path) -> None:
    """Equal weights, as those of a pretraining of 0 epochs, have equal checksums whatever the data."""
    write_seeds(tmp_path, data=(PART, PART))
    write_seeds(tmp_path, "moco_v3", data=(WHOLE, WHOLE))
    assert (cell(results.load(tmp_path)).other_data, cell(results.load(tmp_path)).difference) == ((DIFFERS,), None)
    evaluations = [path.name for path in tmp_path.iterdir() if path.name.startswith("transfer-")]
    rows = load_rows(tmp_path, evaluations)[0]
    assert cell(RunRows(rows)).other_data == (DIFFERS,), "the parents aren't among the rows"
    assert rows == to_rows(load_runs(tmp_path, evaluations).runs)
    by_method = {row["method"]: (row["pretrain_fingerprint"], row["pretrain_data_differs"]) for row in rows}
    assert by_method == {"opera": (PART, DIFFERS), "moco_v3": (WHOLE, None)}


def test_an_unknown_parent_is_named(tmp_path: Path) -> None:
    parents = write_seeds(tmp_path, data=(WHOLE, WHOLE))
    (tmp_path / parents[1] / "record.json").unlink()
    found = cell(results.load(tmp_path))
    assert (found.mean, found.n) == (85.5, 2)
    assert found.reason == f"the data pretrained on is unknown for {found.run_ids[1]}"


def test_the_index_follows_the_parents_record(tmp_path: Path) -> None:
    parent = write_seeds(tmp_path, data=(WHOLE,))[0]
    path = tmp_path / parent / "record.json"
    before = read_record(path)
    changed = before.model_copy(update={"dataset": before.dataset.model_copy(update={"fingerprint": PART})})

    def seen() -> list[str | None]:
        rows = load_rows(tmp_path)[0]
        assert rows == to_rows(load_runs(tmp_path).runs)
        return [row["pretrain_fingerprint"] for row in rows if row["protocol"]]

    assert seen() == seen() == [WHOLE]
    path.write_text(record_text(changed))
    assert seen() == seen() == [PART]
    path.write_text("{")
    assert seen() == seen() == [None]
    path.unlink()
    assert seen() == seen() == [None]


def test_compare_pairs_only_equal_data(tmp_path: Path) -> None:
    write_seeds(tmp_path)
    write_seeds(tmp_path, "moco_v3", data=(WHOLE, WHOLE, WHOLE))
    found = compare(results.load(tmp_path), "opera", "moco_v3")
    assert [group.seeds for group in found.groups] == [(0, 2)]
    reasons = [one.reason for one in found.unpaired]
    assert len(reasons) == 2
    assert f"differs in pretrain_fingerprint ({PART[:12]}, there {WHOLE[:12]})" in reasons[0]


@pytest.mark.parametrize("imported", [{}, {"epochs": 0}])
def test_compare_pairs_imported_and_untrained_weights_with_all(tmp_path: Path, imported: dict[str, int]) -> None:
    write_seeds(tmp_path, data=(WHOLE, PART))
    write_seeds(tmp_path, "other", data=(WHOLE, WHOLE) if imported else (NOT_SEEN, NOT_SEEN), **imported)
    found = compare(results.load(tmp_path), "opera", "other")
    assert found.unpaired == ()
    assert sorted(seed for group in found.groups for seed in group.seeds) == [0, 1]


@pytest.mark.parametrize("name", ["methods", "seeds"])
def test_figures_name_the_data(tmp_path: Path, name: str) -> None:
    write_seeds(tmp_path, data=(WHOLE, WHOLE))
    write_seeds(tmp_path, "moco_v3", data=(PART, PART))
    store = load_runs(tmp_path)
    shown = find_figure(name).data(store.runs, to_frame(store.runs))
    assert {row.rpartition(", ")[2] for row in shown["row"]} == {f"pretraining data {d[:12]}" for d in (WHOLE, PART)}
    find_figure(name).draw(store.runs, to_frame(store.runs))


def test_a_row_of_a_figure_does_not_average_them(tmp_path: Path) -> None:
    write_seeds(tmp_path)
    store = load_runs(tmp_path)
    shown = find_figure("methods").data(store.runs, to_frame(store.runs))
    assert {row: set(found["seed"]) for row, found in shown.groupby("row")} == {
        f"OPERA, pretraining data {WHOLE[:12]}": {0, 2},
        f"OPERA, pretraining data {PART[:12]}": {1},
    }


def test_bars_belong_to_equal_data(tmp_path: Path) -> None:
    write_seeds(tmp_path)
    write_seeds(tmp_path, "moco_v3")
    store = load_runs(tmp_path)
    bars = find_figure("figure1").data(store.runs, to_frame(store.runs))
    assert set(zip(bars["pretraining_data"], bars["n"], strict=True)) == {(WHOLE[:12], 2)}
    (axes,) = find_figure("figure1").draw(store.runs, to_frame(store.runs)).axes
    assert f"data {WHOLE[:12]}" in axes.get_title()


def test_lines_join_equal_data(tmp_path: Path) -> None:
    for layers, data in ((1, (WHOLE, PART)), (2, (WHOLE, PART)), (3, (WHOLE,))):
        write_seeds(tmp_path, data=data, mlp_layers=layers)
    store = load_runs(tmp_path)
    shown = find_figure("figure6").data(store.runs, to_frame(store.runs))
    assert set(shown["series"]) == {f"tiny ViT, pretraining data {WHOLE[:12]}"}, "the series with the most values"
    assert sorted(shown["mlp_layers"]) == [1, 2, 3]


def test_similarities_add_up_of_equal_data(tmp_path: Path) -> None:
    for seed, data in enumerate((WHOLE, PART, WHOLE)):
        subject = pretraining(seed=seed)
        write_similarity(tmp_path, subject, write_run(tmp_path, subject, fingerprint=data))
    store = load_runs(tmp_path)
    bins = find_figure("similarity").data(store.runs, to_frame(store.runs))
    assert set(zip(bins["pretraining_data"], bins["n"], strict=True)) == {(WHOLE[:12], 2), (PART[:12], 1)}
    axes = find_figure("similarity").draw(store.runs, to_frame(store.runs)).axes
    assert {PART[:12], WHOLE[:12]} == {panel.get_ylabel()[-12:] for panel in axes if panel.get_ylabel()}
