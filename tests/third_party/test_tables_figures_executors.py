"""Another distribution's backbone, executor, table and figure; a table in a file beside the sweep."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.third_party.conftest import SWEEP, Site

TABLE = Path(__file__).parent / "shapes_ssl" / "shapes_ssl" / "tables" / "strangers.yaml"
WHOLE = SWEEP.replace("backbone: tiny_vit", "backbone: wide_vit").replace(
    "method: shapes_simsiam", "method: [shapes_simsiam, shapes_simclr]"
)


@pytest.mark.slow
def test_a_sweep_runs_on_its_executor_and_fills_its_table_and_figure(site: Site) -> None:
    sweep = f"{WHOLE}tables: [strangers, own.yaml]\nfigures: [dots]\n"
    (site.work / "own.yaml").write_text(
        TABLE.read_text().replace("id: strangers", "id: own").replace("Strangers", "Own")
    )
    done = site("run", "SWEEP", "--executor", "aloud", "--runs", "runs", sweep=sweep)
    assert done.returncode == 0, done.stderr
    assert "aloud: 4 jobs" in done.stderr
    assert "Own" in done.stdout
    report = site.work / "runs" / "report" / "strangers"
    assert {path.name for path in report.glob("*/*.csv")} == {"strangers.csv", "own.csv", "dots.csv"}
    rows = (report / "tables" / "strangers.csv").read_text()
    assert rows == (report / "tables" / "own.csv").read_text()
    assert "SimSiam" in rows
    printed = site("tables", str(site.work / "own.yaml"), "--runs", "runs")
    assert printed.returncode == 0, printed.stderr
    assert "SimCLR" in printed.stdout


def test_names_that_are_taken_are_refused(site: Site) -> None:
    (site.path / "shapes_ssl" / "tables" / "table1.yaml").write_text(TABLE.read_text())
    site.add_entry_point("figures", "curves = shapes_ssl.dots")
    site.add_entry_point("executors", "local = shapes_ssl.aloud:AloudExecutor")
    refused = site("tables", "table1", "--runs", ".")
    assert (refused.returncode, "table 'table1' is shipped with opera-bench" in refused.stderr) == (2, True)
    refused = site("run", "SWEEP", "--executor", "local", "--runs", "runs")
    assert (refused.returncode, "executor 'local' is shipped with opera-bench" in refused.stderr) == (2, True)
    assert "shapes-ssl (shapes_ssl.aloud:AloudExecutor)" in refused.stderr
    told = site("doctor")
    assert "figure 'curves' is shipped with opera-bench, and shapes-ssl 0.0.1 (shapes_ssl.dots)" in told.stdout
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
