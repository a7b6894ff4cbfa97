"""Label, unit and direction of a metric come from the record: of a stranger's evaluator, and of records without any."""

from __future__ import annotations

import html
import json
from pathlib import Path

import pytest

import results
from evaluators.lookup import evaluator_names, find_evaluator
from pretrain.metrics import Metric
from results.compare import compare, render_comparison
from results.declarations import OwnDeclaration
from results.errors import InputError
from results.figures import find_figure, save_figure
from results.frame import to_rows
from results.index import load_rows
from results.record import SCHEMA_VERSION, read_record
from results.reference import load_reference
from results.render import render_table
from results.report import write_report
from results.report.runs import _headline_result, _provenance
from results.seal import seal, unseal
from results.store import load_runs
from results.tables import build_table
from tests.results.synthetic import evaluation, pretraining, write_run

OWN = (
    Metric(name="drift", label="Drift", unit="px", higher_is_better=False, decimals=2, tolerance=0.5, headline=True),
    Metric(name="side", label="Side", unit="", higher_is_better=None, headline=True),
    Metric(name="extra", label="Extra", unit="s", higher_is_better=True),
)
TABLE = OwnDeclaration.model_validate(
    {
        "id": "t",
        "title": "T",
        "caption": "c",
        "labels": ["Method"],
        "baseline": "MoCo",
        "ours": "OPERA",
        "rows": [
            {"labels": ["MoCo"], "where": {"method": "moco_v3"}},
            {"labels": ["OPERA"], "where": {"method": "opera"}},
        ],
        "columns": {name: {"protocol": "stranger", "metric": name} for name in ("drift", "side", "extra")},
    }
)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """OPERA has the smaller drift, the greater side and the greater extra, with three seeds."""
    for seed in range(3):
        for method, by in (("opera", 0.0), ("moco_v3", 2.0 + seed / 10)):
            metrics = {"drift": 1.0 + by, "side": 9.0 - by, "extra": 5.0 - by}
            write_run(tmp_path, evaluation(pretraining(method, seed=seed), "stranger"), metrics=metrics, declared=OWN)
    return tmp_path


def of_schema_2(record: Path) -> None:
    """Rewrite a record as schema 2 had it."""
    document = json.loads(unseal(record.read_bytes()) or "")
    document["schema_version"] = 2
    del document["declarations"]
    record.write_text(seal(json.dumps(document, indent=2)))


def test_a_comparison_knows_which_direction_is_better(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    found = compare(results.load(runs), "opera", "moco_v3")
    groups = {group.fields["metric"]: group for group in found.groups}
    assert set(groups) == {"drift", "side"}, "headlines only"
    assert groups["drift"].difference.mean < 0
    assert groups["drift"].verdict == "n = 3: opera better, the interval excludes 0"
    assert (groups["drift"].difference.wins, groups["drift"].difference.losses) == (3, 0)
    assert groups["side"].verdict == "n = 3: the interval excludes 0; no direction is declared better"
    for text in (render_comparison(found, "md"), render_comparison(found, "terminal")):
        assert "drift: Drift in px, lower is better." in text
        assert "side: Side, neither direction is declared better." in text
        assert "−2.10 [" in text
    first = json.loads(render_comparison(found, "json"))["groups"][0]
    assert (first["label"], first["unit"], first["higher_is_better"]) == ("Drift", "px", False)


def test_other_units_are_never_paired(runs: Path) -> None:
    metres = tuple(Metric(**{**vars(metric), "unit": "m"}) for metric in OWN)
    for seed in range(3):
        config = evaluation(pretraining("supervised", seed=seed), "stranger")
        write_run(runs, config, metrics={"drift": 1.0, "side": 1.0, "extra": 1.0}, declared=metres)
    found = compare(results.load(runs), "opera", "supervised")
    assert not found.groups
    assert {unpaired.reason for unpaired in found.unpaired} == {
        "the nearest supervised run differs in unit (px, there m)",
        "the nearest opera run differs in unit (m, there px)",
    }


def test_tables_mark_the_better_direction_and_give_the_unit(runs: Path) -> None:
    table = build_table(TABLE, results.load(runs))
    moco, opera = (row.cells for row in table.rows)
    assert [cell.better for cell in opera] == [True, False, True]
    assert [cell.best for cell in opera] == [True, False, True]
    assert not any(cell.best for cell in moco)
    assert "1.00" in render_table(table, "md")
    document = json.loads(render_table(table, "json"))
    assert {name: cell["unit"] for name, cell in document["rows"][1]["cells"].items()} == {
        "drift": "px",
        "side": "",
        "extra": "s",
    }


def test_figures_and_report_say_label_unit_and_direction(runs: Path, tmp_path: Path) -> None:
    frame, store = results.load(runs), load_runs(runs)
    numbers = find_figure("methods").data(store.runs, frame)
    panels = set(zip(numbers["metric"], numbers["unit"], strict=True))
    assert panels == {("drift", "px"), ("side", "")}
    assert any("Drift (px, lower is better)" in panel for panel in numbers["panel"])
    picture = save_figure("methods", store.runs, frame, tmp_path / "figures", "svg").read_text(encoding="utf-8")
    assert "Drift (px, lower is better)" in picture
    with pytest.raises(InputError, match="no method has two finished seeds"):
        find_figure("seeds").data(store.runs, frame)
    run = next(run for run in store.runs if run.record and run.record.metrics["drift"] == 1.0)
    assert _headline_result(run) == "Drift 1.00 px, Side 9.0"
    assert _provenance(run)["metrics"] == "Drift 1 px, Side 9, Extra 5 s"


def test_a_label_is_text_wherever_it_is_printed(tmp_path: Path) -> None:
    odd = Metric(name="x", label=r"Cost <b>$\frac$ [red]|_&", unit="px", higher_is_better=False, headline=True)
    for seed in range(3):
        for method in ("opera", "moco_v3"):
            config = evaluation(pretraining(method, seed=seed), "stranger")
            write_run(tmp_path / "runs", config, metrics={"x": float(seed)}, declared=(odd,))
    frame, store = results.load(tmp_path / "runs"), load_runs(tmp_path / "runs")
    picture = save_figure("methods", store.runs, frame, tmp_path, "svg").read_text(encoding="utf-8")
    assert html.escape(r"$\frac$ [red]|_&", quote=False) in picture
    write_report(store, [], ["methods"], tmp_path / "report.html", "s")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Cost &lt;b&gt;$" in page
    assert "Cost <b>" not in page
    text = render_comparison(compare(frame, "opera", "moco_v3"), "terminal")
    assert r"x: Cost <b>$\frac$ [red]|_& in px, lower is better." in " ".join(text.split())


def test_records_of_schema_2_are_read_with_labels_by_name(tmp_path: Path) -> None:
    for seed in range(3):
        for method, by in (("opera", 2.0), ("moco_v3", seed / 10)):
            subject = pretraining(method, seed=seed)
            write_run(tmp_path, evaluation(subject, "knn"), metrics={"knn_top1": 90 + by, "recall_at_1": 80 + by})
            write_run(tmp_path, evaluation(subject, "linear"), metrics={"top1": 90 + by, "train_loss": 1.0})
    for path in tmp_path.glob("*/record.json"):
        of_schema_2(path)
    store = load_runs(tmp_path)
    assert not store.problems
    linear = next(run.record for run in store.runs if run.stage == "linear" and run.record)
    assert linear.schema_version == 2 < SCHEMA_VERSION
    assert linear.declared()["top1"] == load_reference().metrics["top1"].declaration
    assert linear.declared()["train_loss"].headline is False
    assert load_rows(tmp_path)[0] == to_rows(store.runs) == load_rows(tmp_path)[0]
    groups = {group.fields["metric"]: group for group in compare(results.load(tmp_path), "opera", "moco_v3").groups}
    assert set(groups) == {"top1", "knn_top1", "recall_at_1"}
    assert groups["top1"].verdict.startswith("n = 3: opera better")
    assert groups["knn_top1"].verdict.endswith("no direction is declared better")
    assert (groups["knn_top1"].metric.label, groups["knn_top1"].metric.unit) == ("knn_top1", "")


def test_a_record_keeps_its_declarations(runs: Path) -> None:
    record = read_record(next(runs.glob("*/record.json")))
    assert {
        name: (metric.label, metric.unit, metric.higher_is_better) for name, metric in record.declared().items()
    } == {metric.name: (metric.label, metric.unit, metric.higher_is_better) for metric in OWN}
    store = load_runs(runs)
    assert load_rows(runs)[0] == to_rows(store.runs) == load_rows(runs)[0]


def test_shipped_evaluators_declare_what_the_reference_data_says() -> None:
    known = load_reference().metrics
    seen = set()
    for name in evaluator_names():
        for metric in find_evaluator(name).METRICS:
            if metric.name in known:
                seen.add(metric.name)
                declared = known[metric.name].declaration
                assert {key: getattr(metric, key) for key in vars(declared)} == vars(declared), (name, metric.name)
    assert seen == set(known)
    assert all(metric.source for metric in known.values())


def test_the_marks_of_a_metric_in_which_less_is_better(tmp_path: Path) -> None:
    """Bold and underlined are the lower numbers, and no note calls them higher."""
    less = Metric(name="error", label="Error", unit="%", higher_is_better=False, headline=True)
    for method, value in (("moco_v3", 20.0), ("opera", 10.0)):
        write_run(tmp_path, evaluation(pretraining(method)), metrics={"error": value}, declared=[less])
    declared = OwnDeclaration.model_validate(
        {
            "id": "t",
            "title": "T",
            "caption": "c",
            "labels": ["Method"],
            "rows": [
                {"labels": ["MoCo-v3"], "where": {"method": "moco_v3"}},
                {"labels": ["OPERA"], "where": {"method": "opera"}},
            ],
            "columns": {"error": {"metric": "error"}},
            "baseline": "MoCo-v3",
            "ours": "OPERA",
        }
    )
    table = build_table(declared, results.load(tmp_path))
    assert [(row.cells[0].better, row.cells[0].best) for row in table.rows] == [(False, False), (True, True)]
    marks = [note for note in table.notes if note.startswith(("Bold", "Underlined"))]
    assert marks == [
        "Bold: OPERA better than the MoCo-v3 row it belongs to, as a mean and whatever the spread.",
        "Underlined: the best of its backbone.",
    ]
