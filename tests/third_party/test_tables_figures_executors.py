"""Another distribution's backbone, executor, table and figure; a table in a file beside the sweep."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.third_party.conftest import SWEEP, Site

TABLE = Path(__file__).parent / "shapes_ssl" / "shapes_ssl" / "tables" / "strangers.yaml"
WHOLE = SWEEP.replace("backbone: tiny_vit", "backbone: wide_vit").replace(
    "method: shapes_simsiam", "method: [shapes_simsiam, shapes_simclr]"
)


@pytest.mark.slow
def test_a_sweep_runs_on_its_executor_and_fills_its_table_and_figure(site: Site) -> None:
    sweep = f"{WHOLE}tables: [strangers, own.yaml]\nfigures: [dots, methods]\n"
    (site.work / "own.yaml").write_text(
        TABLE.read_text().replace("id: strangers", "id: own").replace("Strangers", "Own")
    )
    done = site("run", "SWEEP", "--executor", "aloud", "--runs", "runs", sweep=sweep)
    assert done.returncode == 0, done.stderr
    assert "aloud: 4 jobs" in done.stderr
    assert "Own" in done.stdout
    report = site.work / "runs" / "report" / "strangers"
    assert {path.name for path in report.glob("*/*.csv")} == {"strangers.csv", "own.csv", "dots.csv", "methods.csv"}
    rows = (report / "tables" / "strangers.csv").read_text()
    assert rows == (report / "tables" / "own.csv").read_text()
    assert "SimSiam" in rows
    printed = site("tables", str(site.work / "own.yaml"), "--runs", "runs")
    assert printed.returncode == 0, printed.stderr
    assert "SimCLR" in printed.stdout
    _own_metrics_are_shown(site, report)


def _own_metrics_are_shown(site: Site, report: Path) -> None:
    """The evaluator's metric is smaller for the better method, and has a unit of its own."""
    angles = {
        record["config"]["pretrain"]["method"]: record["metrics"]["angle"]
        for record in (json.loads(path.read_text()) for path in site.work.glob("runs/knn_sweep-*/record.json"))
    }
    numbers = (report / "figures" / "methods.csv").read_text()
    assert "Angle to the nearest (mrad, lower is better)" in numbers
    assert "Top-1 accuracy, k = 5 (%)" in numbers
    table = json.loads(site("tables", str(site.work / "own.yaml"), "--runs", "runs", "--format", "json").stdout)
    simsiam, simclr = (row["cells"]["angle"] for row in table["rows"])
    assert (simclr["unit"], simclr["decimals"], simclr["mean"]) == ("mrad", 2, angles["shapes_simclr"])
    better = min(angles, key=lambda method: angles[method])
    assert (simsiam["best"], simclr["best"]) == (better == "shapes_simsiam", better == "shapes_simclr")
    methods = ("--method", "shapes_simclr", "--baseline", "shapes_simsiam")
    compared = site("compare", "SWEEP", "--runs", "runs", *methods, sweep=WHOLE)
    assert compared.returncode == 0, compared.stderr
    assert "angle: Angle to the nearest in mrad, lower is better." in " ".join(compared.stdout.split())
    page = next(report.glob("*.html")).read_text()
    assert f"Angle to the nearest {angles['shapes_simclr']:.2f} mrad" in page


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (
            '{"angle": angle',
            '{"angel": angle',
            "returns the metric 'angel', which its METRICS lack; they declare knn_k{k}",
        ),
        ('{"angle": angle} |', "{} |", "declares the metric 'angle' in METRICS and returns only knn_k1, knn_k5"),
    ],
)
def test_metrics_that_are_not_declared_fail_in_one_sentence(old: str, new: str, sentence: str, site: Site) -> None:
    site.edit("knn_sweep.py", old, new)
    done = site("run", "SWEEP", "--executor", "inline", "--runs", "runs")
    assert done.returncode == 1
    failures = [json.loads(path.read_text())["error"] for path in site.work.glob("runs/knn_sweep-*/failure.json")]
    assert len(failures) == 1
    assert f"evaluator knn_sweep {sentence}" in failures[0]
    assert len(failures[0].splitlines()) == 1


def test_an_evaluator_without_declarations_is_refused_when_it_is_planned(site: Site) -> None:
    site.edit("knn_sweep.py", "METRICS = (", "OTHERS = (")
    refused = site("plan", "SWEEP")
    assert refused.returncode == 2
    assert "evaluator 'knn_sweep' of shapes-ssl 0.0.1 can't be used" in refused.stderr
    assert "knn_sweep.py: has no METRICS of type tuple" in refused.stderr
    site.edit("knn_sweep.py", "OTHERS = (", 'METRICS = ("angle",')
    assert (
        "evaluator knn_sweep: METRICS must be a tuple of pretrain.metrics.Metric, not 'angle'"
        in site("plan", "SWEEP").stderr
    )


VARIED = """\
name: varied
pretrain:
  - {method: shapes_simclr, temperature: [0.1, 0.5], backbone: tiny_vit, dataset: digits, recipe: shapes-contrastive,
     epochs: 1, image_size: 8, global_batch_size: 512}
evaluate:
  - knn_sweep: {ks: [[1]], noise: [0.0, 0.5]}
"""
TEMPERATURES = """\
id: temperatures
title: Temperatures
caption: Nearest neighbours (%), with clean and with noisy queries.
labels: [Temperature]
where: {method: shapes_simclr, protocol: knn_sweep, metric: knn_k1}
rows:
  - {labels: ["0.1"], where: {temperature: 0.1}}
  - {labels: ["0.5"], where: {temperature: 0.5}}
  - {labels: ["0.7"], where: {temperature: 0.7}}
columns:
  clean: {protocol_noise: 0.0}
  noisy: {protocol_noise: 0.5}
  misspelt: {protocol_nois: 0.5}
"""
WRITE_CONFIGURATIONS = """\
import sys
from pathlib import Path
import yaml
from bench.plan.graph import plan_sweep
from bench.sweep.load import load_sweep
for run in plan_sweep(load_sweep(sys.argv[1], ())).runs:
    Path("runs", run.run_id).mkdir(parents=True)
    planned = {"run_id": run.run_id, "stage": run.stage, "parents": list(run.parents), "config": run.config}
    Path("runs", run.run_id, "config.yaml").write_text(yaml.safe_dump(planned))
"""


def test_its_options_are_axes_of_tables(site: Site) -> None:
    """Four planned evaluations differ in an option of its method and in one of its evaluator: each is one cell."""
    (site.work / "temperatures.yaml").write_text(TEMPERATURES)
    (site.work / "sweep.yaml").write_text(VARIED)
    written = site.python(WRITE_CONFIGURATIONS, "sweep.yaml")
    assert written.returncode == 0, written.stderr
    shown = site("tables", "temperatures.yaml", "--runs", "runs", "--format", "json", sweep=VARIED)
    assert shown.returncode == 0, shown.stderr
    rows = {row["labels"]["Temperature"]: row["cells"] for row in json.loads(shown.stdout)["rows"]}
    for temperature in ("0.1", "0.5"):
        cells = [rows[temperature][column] for column in ("clean", "noisy")]
        assert [(cell["state"], cell["seeds"]) for cell in cells] == [("waiting", 1), ("waiting", 1)]
    assert rows["0.7"]["clean"]["state"] == rows["0.1"]["misspelt"]["state"] == "not planned"
    assert rows["0.1"]["misspelt"]["reason"].startswith("the runs have no column 'protocol_nois'; they have ")


def test_names_that_are_taken_are_refused(site: Site) -> None:
    (site.path / "shapes_ssl" / "tables" / "table1.yaml").write_text(TABLE.read_text())
    site.add_entry_point("figures", "curves = shapes_ssl.dots")
    site.add_entry_point("executors", "local = shapes_ssl.aloud:AloudExecutor")
    refused = site("tables", "table1", "--runs", ".")
    assert (refused.returncode, "table 'table1' is shipped with opera-bench" in refused.stderr) == (2, True)
    refused = site("run", "SWEEP", "--executor", "local", "--runs", "runs")
    assert (refused.returncode, "executor 'local' is shipped with opera-bench" in refused.stderr) == (2, True)
    assert "shapes-ssl (shapes_ssl.aloud:AloudExecutor)" in refused.stderr
    aloud = site.path / "shapes_ssl" / "aloud.py"
    aloud.write_text(f"{aloud.read_text()}\n    @classmethod\n    def diagnose(cls):\n        raise KeyError(1)\n")
    told = site("doctor")
    assert "later: takes jobs" in told.stdout
    assert "executor aloud: its check failed (KeyError: 1)" in told.stdout
    assert "figure 'curves' is shipped with opera-bench, and shapes-ssl 0.0.1 (shapes_ssl.dots)" in told.stdout
    assert (
        "executor 'local' is shipped with opera-bench, and shapes-ssl (shapes_ssl.aloud:AloudExecutor)" in told.stdout
    )
    assert site("plan", "SWEEP").returncode == 0


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("id: strangers", "id: digits", "its id 'digits' is the name of another table; choose another id"),
        ("metric: knn_k1", "metrik: knn_k1", "columns.k = 1: no frame column 'metrik'; allowed: run_id"),
        ("metric: knn_k1", "metric: yes", "metric"),
        ("id: strangers", "id: ../up", "id: '../up' may hold letters, digits, - and _"),
        ("labels: [Method]", "labels: [", "can't be read"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_when_the_sweep_is_planned(
    old: str, new: str, told: str, site: Site
) -> None:
    (site.work / "own.yaml").write_text(TABLE.read_text().replace(old, new))
    refused = site("plan", "SWEEP", sweep=f"{SWEEP}tables: [own.yaml]\n")
    assert refused.returncode == 2, refused.stdout
    assert "sweep.yaml:" in refused.stderr
    assert "own.yaml: " in refused.stderr
    assert told in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1
    missing = site("plan", "SWEEP", sweep=f"{SWEEP}tables: [none.yaml]\n")
    assert (missing.returncode, "none.yaml: no such file" in missing.stderr) == (2, True)
