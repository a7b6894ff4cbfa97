"""A metric that is not defined on a run's data: null in the record, words everywhere else, in no mean."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

import results
from results.compare import compare, render_comparison
from results.declarations import OwnDeclaration
from results.figures._points import evaluation_points
from results.frame import to_frame
from results.index import load_rows
from results.record import read_record
from results.render import format_names, render_table
from results.report.runs import _headline_result, _provenance
from results.store import load_runs
from results.tables import Cell, RunRows, build_table
from tests.results.synthetic import evaluation, pretraining, write_run

TABLE = OwnDeclaration.model_validate(
    {
        "id": "t",
        "title": "T",
        "caption": "c",
        "labels": ["Method"],
        "rows": [{"labels": ["OPERA"], "where": {"method": "opera"}}],
        "columns": {"mIoU": {"protocol": "segmentation", "metric": "mIoU"}},
    }
)


def write(runs: Path, values: Sequence[float | None], method: str = "opera") -> list[str]:
    config = "digit_scenes"
    return [
        write_run(
            runs,
            evaluation(pretraining(method, seed=seed), "segmentation", dataset=config),
            metrics={"mIoU": value, "aAcc": 90.0},
        )
        for seed, value in enumerate(values)
    ]


def cell(runs: Path) -> Cell:
    return build_table(TABLE, results.load(runs)).rows[0].cells[0]


def test_it_is_null_in_the_record_and_counts_in_no_mean(tmp_path: Path) -> None:
    first, second, third = write(tmp_path, [40.0, None, 50.0])
    assert '"mIoU": null' in (tmp_path / second / "record.json").read_text(encoding="utf-8")
    assert read_record(tmp_path / second / "record.json").metrics == {"mIoU": None, "aAcc": 90.0}
    found = cell(tmp_path)
    assert (found.state, found.mean, found.n, found.seeds) == ("done", 45.0, 2, 3)
    assert found.run_ids == (first, third)
    assert found.reason == f"mIoU is not defined on the data of {second}"
    rows, _ = load_rows(tmp_path)  # once without and once with the index
    again, _ = load_rows(tmp_path)
    for read in (rows, again):
        assert build_table(TABLE, RunRows(read)).rows[0].cells[0] == found


@pytest.mark.parametrize("form", format_names())
def test_a_cell_says_not_defined(form: str, tmp_path: Path) -> None:
    write(tmp_path, [None, None])
    assert (cell(tmp_path).state, cell(tmp_path).mean) == ("not defined", None)
    text = render_table(build_table(TABLE, results.load(tmp_path)), form)
    assert "not defined" in text
    assert "nan" not in text.lower()


def test_comparisons_and_figures_leave_it_out_with_a_word(tmp_path: Path) -> None:
    _, undefined, _ = write(tmp_path, [40.0, None, 50.0])
    partner = write(tmp_path, [30.0, 35.0, 45.0], "moco_v3")[1]
    frame = to_frame(load_runs(tmp_path).runs)
    found = compare(frame, "opera")
    (group,) = found.groups
    assert (group.seeds, group.method_mean, group.baseline_mean) == ((0, 2), 45.0, 37.5)
    reasons = {unpaired.run_id: unpaired.reason for unpaired in found.unpaired}
    assert reasons == {
        undefined: "its mIoU is not defined",
        partner: "its partner has a mIoU that is not defined",
    }
    assert "not defined" in str(render_comparison(found, "md"))
    assert sorted(evaluation_points(frame)["value"]) == [30.0, 35.0, 40.0, 45.0, 50.0]


def test_the_report_says_it(tmp_path: Path) -> None:
    write(tmp_path, [None])
    (run,) = [run for run in load_runs(tmp_path).runs if run.stage == "segmentation"]
    assert _headline_result(run) == "mIoU not defined"
    assert _provenance(run)["metrics"] == "mIoU not defined, Pixel accuracy 90 %"
