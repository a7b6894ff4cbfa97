"""The Python of docs/results.md runs, in its order, on runs of the digits sweep's shape."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from results.reference import load_reference
from results.tables import build_table
from tests.results.synthetic import evaluation, pretraining, write_run

PAGE = Path(__file__).parents[2] / "docs" / "results.md"
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)


def write_digits(runs: Path) -> None:
    for seed in range(3):
        for place, method in enumerate(("moco_v3", "opera")):
            subject = pretraining(method, seed=seed)
            parent = write_run(runs, subject, metrics={"loss": 1.0})
            for protocol in ("linear", "finetune"):
                metrics = {"top1": 90.0 + place + seed / 3, "top5": 99.0}
                write_run(runs, evaluation(subject, protocol), metrics=metrics, parents=(parent,))
            metrics = {"knn_top1": 80.0 + 2 * place + seed / 7, "recall_at_1": 79.0 + place}
            write_run(runs, evaluation(subject, "knn"), metrics=metrics, parents=(parent,))
    write_run(runs, evaluation(pretraining("opera", "tiny_resnet", epochs=2)), metrics={"top1": 50.0, "top5": 80.0})
    write_run(runs, evaluation(pretraining("opera", "tiny_resnet")), metrics={"top1": 60.0, "top5": 85.0})
    write_run(runs, evaluation(pretraining("supervised")), state="failed")


def test_the_pages_python_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_digits(tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    printed = []
    assert len(SNIPPETS) >= 7
    for snippet in SNIPPETS:
        exec(compile(snippet, str(PAGE), "exec"), names)
        printed.append(capsys.readouterr().out)
        assert printed[-1].strip(), f"prints nothing:\n{snippet}"
    assert "91.3" in printed[0], "the mean of three seeds"
    assert "50.0" in printed[0], "another length of pretraining has a line of its own"
    assert "loss is nan at step 7" in printed[1]
    assert "('Tiny ViT', 'OPERA') 91.3" in printed[2]
    assert "**<ins>82.1 ± 0.1</ins>** (n=3)" in printed[3]
    assert "labels.Method" in printed[4]
    assert all("tiny_resnet" in printed[number] for number in (0, 6)), "a network has a line of its own"
    assert (tmp_path / "figures" / "methods.svg").is_file()


def test_the_page_explains_every_state_and_mark(tmp_path: Path) -> None:
    text = PAGE.read_text(encoding="utf-8")
    for word in (
        *(
            "not planned",
            "planned",
            "waiting",
            "running",
            "failed",
            "cancelled",
            "unknown",
            "mixed",
            "missing",
            "cited",
            "damaged",
            "not defined",
        ),
        *("paper 74.8", "official 72.8", "Δ", "±", "(n=3)", "†", "@2*", "bold", "underlined"),
    ):
        assert word in text, word
    tolerances = {metric.declaration.tolerance for metric in load_reference().metrics.values()}
    assert tolerances == {0.3, 0.4, 0.5}
    assert all(str(tolerance) in text for tolerance in tolerances)


def test_the_page_names_every_figure() -> None:
    from results.figures import figure_names

    text = PAGE.read_text(encoding="utf-8")
    for name in figure_names():
        assert f"`{name}`" in text or name in ("figure6", "figure7"), name


def test_states_of_cells_are_those_the_page_explains(tmp_path: Path) -> None:
    write_digits(tmp_path)
    import results

    text = PAGE.read_text(encoding="utf-8")
    table = build_table("digits", results.load(tmp_path))
    assert all(f"`{cell.state}`" in text or cell.state == "done" for row in table.rows for cell in row.cells)
