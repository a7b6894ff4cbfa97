"""The command line: what it prints, what it imports, how it ends."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import results
from results.record import read_record
from results.runs import append_json_line
from tests.bench.conftest import SWEEP, Engine
from tests.conftest import Ended

HEAVY = ("torch", "torchvision", "timm", "torchmetrics", "sklearn", "pandas", "matplotlib", "scipy")
REAL = """\
name: real
pretrain:
  - method: moco_v3
    recipe: mocov3-vit
    backbone: tiny_vit
    dataset: digits
    image_size: 16
    precision: fp32
    mlp_dimension: 32
    embedding_dimension: 16
    epochs: 0
    seed: [0, 1]
evaluate:
  - knn
"""

OWN_TABLE = """\
id: mine
title: Mine at first
caption: All runs.
labels: [Runs]
rows: [{labels: [all], where: {}}]
columns: {Top-1: {protocol: probe, metric: top1}}
"""


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def finished(command: Callable[..., Ended], runs: Path, engine: Engine, write_sweep: Callable[..., Path]) -> Path:
    """The small sweep, run inline to its end; its file."""
    sweep = write_sweep(SWEEP)
    ended = command("run", sweep, "--runs", runs, "--executor", "inline", "--yes")
    assert ended.status == 0, ended.err
    return sweep


def opera_bench(*arguments: object, cwd: Path) -> subprocess.Popen[str]:
    """The command in a process of its own."""
    call = [sys.executable, "-m", "bench.cli", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        call, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True
    )


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["run", "--help"], ["plan", "SWEEP"], ["plan", "SWEEP", "--format", "json"], ["status", "SWEEP"]],
)
def test_help_plan_and_status_import_nothing_heavy(
    arguments: list[str], tmp_path: Path, write_sweep: Callable[..., Path]
) -> None:
    sweep = write_sweep(REAL)
    code = (
        "import sys, bench.cli\n"
        f"sys.argv = ['opera-bench', *{[str(sweep) if a == 'SWEEP' else a for a in arguments]!r}]\n"
        "try:\n    bench.cli.main()\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
        f"print('HEAVY', *({HEAVY!r} & sys.modules.keys()))\n".replace(repr(HEAVY), f"set({HEAVY!r})")
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1].split() == ["HEAVY"]


def test_plan_and_status_json_are_one_form(command, finished, runs) -> None:
    planned = json.loads(command("plan", finished, "--runs", runs, "--format", "json").out)
    status = json.loads(command("status", finished, "--runs", runs, "--format", "json").out)
    assert planned == status
    assert set(planned) == {"jobs"}
    assert len(planned["jobs"]) == 8
    assert {"run_id", "stage", "state", "parents", "title"} <= set(planned["jobs"][0])
    assert {job["state"] for job in planned["jobs"]} == {"done"}
    everything = json.loads(command("status", "--runs", runs, "--format", "json").out)
    assert sorted(job["run_id"] for job in everything["jobs"]) == sorted(job["run_id"] for job in planned["jobs"])


def test_plan_tells_what_would_start(command, runs, write_sweep) -> None:
    sweep = write_sweep(SWEEP)
    fresh = json.loads(command("plan", sweep, "--runs", runs, "--format", "json").out)["jobs"]
    assert [job["state"] for job in fresh] == ["planned"] * 4 + ["waiting"] * 4
    assert "8 runs, 8 would start" in command("plan", sweep, "--runs", runs).out
    assert not runs.exists()


def test_status_table_counts_and_says_what_next(command, finished, runs) -> None:
    lines = command("status", finished, "--runs", runs).out.splitlines()
    assert [line.split() for line in lines[:3]] == [["stage", "done"], ["pretrain", "4"], ["probe", "4"]]
    assert lines[-1] == f"all done: opera-bench report {finished} --runs {runs}"


def test_run_ends_with_tables_and_a_report_that_is_made_once(command, finished, runs) -> None:
    out = runs / "report" / "small"
    assert (out / "report.html").read_text(encoding="utf-8").startswith("<!")
    assert {path.name for path in (out / "tables").iterdir()} == {"digits.md", "digits.tex", "digits.csv"}
    made = (out / "report.html").stat().st_mtime_ns
    again = command("run", finished, "--runs", runs, "--executor", "inline")
    assert "| Tiny ViT | OPERA |" in again.out
    assert f"report: {out / 'report.html'}" in again.err
    assert (out / "report.html").stat().st_mtime_ns == made
    next(runs.glob("probe-*/record.json")).unlink()
    command("run", finished, "--runs", runs, "--executor", "inline", "--yes")
    assert (out / "report.html").stat().st_mtime_ns > made


def test_the_report_follows_what_the_sweep_shows(command, write_sweep, runs, engine, tmp_path, monkeypatch) -> None:
    table = tmp_path / "mine.yaml"
    table.write_text(OWN_TABLE, encoding="utf-8")
    out = runs / "report" / "small"

    def again(text: str) -> tuple[str, bool]:
        """The report, and whether the command made it anew."""
        made = (out / "report.html").stat().st_mtime_ns if out.exists() else 0
        ended = command("run", write_sweep(text), "--runs", runs, "--executor", "inline", "--yes")
        assert ended.status == 0, ended.err
        return (out / "report.html").read_text(encoding="utf-8"), (out / "report.html").stat().st_mtime_ns > made

    again(SWEEP)
    with_table = SWEEP.replace("tables: [digits]", f"tables: [digits, {table}]")
    report, is_new = again(with_table)
    assert is_new
    assert "Mine at first" in report
    assert (out / "tables" / "mine.md").is_file()
    table.write_text(OWN_TABLE.replace("Mine at first", "Mine renamed"), encoding="utf-8")
    report, is_new = again(with_table)
    assert is_new
    assert "Mine renamed" in report
    _, is_new = again(with_table + "figures: [seeds]\n")
    assert is_new
    assert (out / "figures" / "seeds.svg").is_file()
    assert not again(with_table + "figures: [seeds]\n")[1]
    code = tmp_path / "results"
    (code / "reference").mkdir(parents=True)
    (code / "reference" / "methods.yaml").write_text("opera: {title: OPERA}", encoding="utf-8")
    monkeypatch.setattr(results, "__file__", str(code / "__init__.py"))
    assert again(with_table)[1], "another release of the package that shows runs"
    assert not again(with_table)[1]
    (code / "reference" / "methods.yaml").write_text("opera: {title: Opera}", encoding="utf-8")
    assert again(with_table)[1], "another title of a method"


def test_logs_show_a_traceback_and_unknown_runs_are_named(command, runs, write_sweep, engine) -> None:
    engine.fails = "opera-tiny_vit-e2-s0"
    sweep = write_sweep(SWEEP)
    command("run", sweep, "--runs", runs, "--executor", "inline", "--yes")
    shown = command("logs", "pretrain-opera-tiny_vit-e2-s0", "--runs", runs, "--follow")
    assert "ArithmeticError: loss is nan at step 3" in shown.out
    missing = command("logs", "pretrain-oprea-tiny_vit", "--runs", runs)
    assert missing.status == 2
    assert "did you mean 'pretrain-opera-tiny_vit" in missing.err
    several = command("logs", "probe-", "--runs", runs)
    assert (several.status, "several runs" in several.err) == (2, True)


def test_one_run_without_a_sweep_is_the_run_of_the_sweep(command, runs, engine, write_sweep) -> None:
    common = ["--runs", runs]
    made = command(
        "pretrain", "--method", "opera", "--backbone", "tiny_vit", "--dataset", "digits", "--set", "seed=1", *common
    )
    assert made.status == 2, "seed is an option of its own"
    made = command(
        "pretrain", "--method", "opera", "--backbone", "tiny_vit", "--dataset", "digits", "--seed", 1, *common
    )
    run_id = made.out.splitlines()[-2]
    judged = command("evaluate", "probe", run_id, "--set", "epochs=1", *common)
    assert judged.out.splitlines()[-1] == "top1: 3"
    engine.trained.clear()
    command("run", write_sweep(SWEEP), *common, "--executor", "inline", "--yes")
    assert run_id not in engine.trained
    assert len(engine.trained) == 3
    assert len(list(runs.glob("probe-*"))) == 4


def test_evaluating_what_is_no_finished_pretraining_is_bad_input(command, finished, runs) -> None:
    probe = next(runs.glob("probe-*")).name
    ended = command("evaluate", "probe", probe, "--runs", runs)
    assert (ended.status, "left no checkpoint" in ended.err) == (2, True)
    pretraining = next(runs.glob("pretrain-*"))
    ended = command("evaluate", "prob", pretraining.name, "--runs", runs)
    assert (ended.status, "did you mean 'probe'" in ended.err) == (2, True)
    (pretraining / "record.json").unlink()
    ended = command("evaluate", "probe", pretraining.name, "--runs", runs)
    assert (ended.status, "is not done" in ended.err) == (2, True)


def test_of_runs_that_do_not_exist_only_usable_and_near_ones_are_suggested(command, finished, runs) -> None:
    ended = command("evaluate", "probe", "nope", "--runs", runs)
    assert ended.status == 2
    assert f"no pretrain or import run 'nope' in {runs}; allowed: pretrain-" in ended.err
    assert "probe-" not in ended.err
    for number in range(20):
        (runs / f"pretrain-moco_v3-{number:02d}").mkdir()
        (runs / f"pretrain-moco_v3-{number:02d}" / "config.yaml").touch()
    count = len(list(runs.glob("pretrain-*")))
    ended = command("evaluate", "probe", "nope", "--runs", runs)
    assert ended.err.endswith(f"in {runs}; there are {count}\n")
    ended = command("evaluate", "probe", "pretrain-mocov3-07", "--runs", runs)
    assert "; did you mean 'pretrain-moco_v3-07' or 'pretrain-" in ended.err
    ended = command("evaluate", "probe", "pretrain-moco", "--runs", runs)
    assert ended.err.endswith("pretrain-moco_v3-09, … (22 in all)\n")


def test_the_papers_table_as_csv(command) -> None:
    shown = command("tables", "table1", "--paper", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(shown.out)))
    opera = [row for row in rows if "OPERA" in row.values()]
    assert opera
    assert "74.8" in {value for row in opera for value in row.values()}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["tables", "tabel1", "--paper"], "table1"),
        (["tables", "table1", "--paper", "--format", "xls"], "xls"),
        (["tables", "--runs", "/no/such/runs"], "/no/such/runs"),
        (["figures", "figur4"], "figure4"),
        (["data", "check", "cifr10"], "cifar10"),
        (["data", "check", "cifar10"], "needs its directory"),
        (["status", "--format", "xml"], "table, json"),
        (["pretrain", "--method", "oprea", "--backbone", "tiny_vit"], "opera"),
        (["run", "digits", "--device", "foo"], "'foo' is no device"),
        (["tables", "table1", "--paper", "--out", __file__], "can't write here"),
    ],
)
def test_bad_arguments_are_one_line_and_status_2(arguments, said, command, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    ended = command(*arguments)
    assert ended.status == 2
    assert ended.err.startswith("error: ")
    assert said in ended.err
    assert ended.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_an_unknown_executor_is_bad_input_and_writes_nothing(command, runs, write_sweep) -> None:
    ended = command("run", write_sweep(SWEEP), "--runs", runs, "--executor", "locl", "--yes")
    assert (ended.status, "did you mean 'local'" in ended.err) == (2, True)
    assert not runs.exists()


def test_tables_and_figures_take_a_sweep(command, finished, runs, write_sweep, engine, tmp_path) -> None:
    other = write_sweep(SWEEP.replace("seed: [0, 1]", "seed: [2, 3, 4]"), "other.yaml")
    assert command("run", other, "--runs", runs, "--executor", "inline", "--yes").status == 0
    for run in runs.glob("pretrain-*"):
        for epoch in (1, 2):
            append_json_line(run / "progress.jsonl", {"epoch": epoch, "total_epochs": 2, "loss": 1 / epoch})
    shown = {}
    for option in ((), ("--sweep", finished), ("--sweep", other)):
        out = tmp_path / f"figures{len(shown)}"
        ended = command("figures", "curves", *option, "--runs", runs, "--out", out)
        assert ended.status == 0, ended.err
        with (out / "curves.csv").open(encoding="utf-8", newline="") as file:
            shown[option[-1:]] = {row["run_id"].split("-s")[1][0] for row in csv.DictReader(file)}
    assert shown == {(): set("01234"), (finished,): set("01"), (other,): set("234")}
    assert command("tables", "--sweep", finished, "--runs", runs).out.startswith("**Digits")
    assert command("tables", "--runs", runs).out.count("| --- |") > 5
    ended = command("tables", "digits", "--runs", runs, "--tiny")
    assert (ended.status, ended.err) == (2, "error: --set and --tiny change a sweep; name it with --sweep SWEEP\n")
    ended = command("tables", finished, "--runs", runs)
    assert (ended.status, ended.err.split("type: ")[1]) == (2, f"opera-bench tables --sweep {finished}\n")


def test_data_and_doctor(command, runs) -> None:
    assert "mnist5k" in command("data", "list").out
    assert command("data", "check", "digits").out == "digits: no problem found\n"
    seen = command("doctor", "--runs", runs)
    assert (seen.status, "package bench: " in seen.out) == (0, True), seen.out


def test_real_processes_and_an_interruption(tmp_path: Path, write_sweep: Callable[..., Path]) -> None:
    """Two local workers run the real thing; Ctrl-C leaves a state that the same command finishes."""
    sweep = write_sweep(REAL)
    first = opera_bench("run", sweep, "--workers", 2, "--executor", "local", cwd=tmp_path)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("runs/*/attempts.jsonl")) and time.monotonic() < deadline:
        time.sleep(0.02)
    first.send_signal(signal.SIGINT)
    _, said = first.communicate(timeout=120)
    assert first.returncode == 130, said
    assert "interrupted; run the same command to continue" in said
    assert not list(tmp_path.glob("runs/*/failure.json"))
    done_before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("runs/*/record.json")}

    second = opera_bench("run", sweep, "--workers", 2, "--executor", "local", cwd=tmp_path)
    out, said = second.communicate(timeout=240)
    assert second.returncode == 0, out + said
    records = {path: read_record(path) for path in tmp_path.glob("runs/*/record.json")}
    assert len(records) == 4
    assert all(path.stat().st_mtime_ns == when for path, when in done_before.items())
    assert {record.stage for record in records.values()} == {"pretrain", "knn"}


def test_what_a_disk_refuses_is_one_sentence(command, monkeypatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "runs/.slurm/lock")

    monkeypatch.setattr("bench.show.doctor.diagnose", refuse)
    ended = command("doctor")
    assert (ended.status, ended.err) == (2, "error: runs/.slurm/lock: No space left on device\n")
