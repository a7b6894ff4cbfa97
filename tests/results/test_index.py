"""The index answers what reading everything answers, whatever happened to the files since, and can be thrown away."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import results
from results.errors import InputError
from results.frame import to_rows
from results.index import INDEX, load_rows
from results.record import read_record, record_text
from results.runs import RunDirectory
from results.store import load_runs
from tests.results.fixed_runs import write_fixed_runs
from tests.results.synthetic import evaluation, pretraining, write_run


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    write_fixed_runs(tmp_path)
    return tmp_path


def agrees(runs: Path) -> None:
    store = load_runs(runs)
    rows, problems = load_rows(runs)
    assert rows == to_rows(store.runs)
    assert problems == store.problems


def test_cold_and_warm_agree_with_reading_everything(runs: Path) -> None:
    for _ in range(2):
        agrees(runs)
    assert (runs / INDEX).is_file()


def test_warm_reads_no_record(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = load_rows(runs)

    def refuse(*arguments: object) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr("results.store.read_record", refuse)
    monkeypatch.setattr(RunDirectory, "read_config", refuse)
    assert load_rows(runs) == before


def test_what_changed_is_read_again(runs: Path) -> None:
    load_rows(runs)
    done = next(path.parent for path in sorted(runs.glob("*/record.json")))
    record = read_record(done / "record.json").model_copy(update={"metrics": {"top1": 1.25}})
    (done / "record.json").write_text(record_text(record))
    assert [row["value"] for row in load_rows(runs)[0] if row["run_id"] == done.name] == [1.25]
    agrees(runs)
    (done / "record.json").unlink()
    agrees(runs)
    for path in done.iterdir():
        path.unlink()
    done.rmdir()
    agrees(runs)
    write_run(runs, evaluation(pretraining(seed=77)))
    agrees(runs)


def test_states_are_never_kept(tmp_path: Path) -> None:
    parent = write_run(tmp_path, pretraining(), state="planned")
    write_run(tmp_path, evaluation(pretraining()), state="planned", parents=(parent,))
    assert {row["state"] for row in load_rows(tmp_path)[0]} == {"planned", "waiting"}
    (tmp_path / parent / "failure.json").write_text('{"error": "boom"}')
    assert {row["state"] for row in load_rows(tmp_path)[0]} == {"failed"}
    (tmp_path / parent / "failure.json").unlink()
    assert {row["state"] for row in load_rows(tmp_path)[0]} == {"planned", "waiting"}


def test_damaged_and_foreign_records_are_told_every_time(runs: Path) -> None:
    paths = sorted(runs.glob("*/record.json"))
    paths[0].write_text("{")
    paths[1].write_text(paths[2].read_text())
    for _ in range(2):
        _, problems = load_rows(runs)
        assert len(problems) == 2
        assert str(paths[0]) in problems[0]
        assert "another run" in problems[1]
        agrees(runs)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": [0]}', '{"format": [1], "runs": {"a": [1]}}', "\x00\xff"])
def test_an_index_that_is_none_is_made_anew(runs: Path, text: str) -> None:
    (runs / INDEX).write_text(text)
    agrees(runs)
    assert json.loads((runs / INDEX).read_text())["runs"]


def test_some_runs_alone(runs: Path) -> None:
    wanted = sorted(path.name for path in runs.iterdir())[3:6]
    rows, _ = load_rows(runs, [*wanted, "never-written"])
    assert {row["run_id"] for row in rows} == set(wanted)
    assert rows == to_rows(load_runs(runs, wanted).runs)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_can_not_be_written_is_read(runs: Path) -> None:
    runs.chmod(0o500)
    try:
        agrees(runs)
    finally:
        runs.chmod(0o700)


def test_no_directory(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such directory"):
        load_rows(tmp_path / "nowhere")


def test_load_gives_the_frame(runs: Path) -> None:
    assert results.load(runs).equals(results.load(runs))


def test_problems_of_some_runs_are_theirs_and_their_parents(tmp_path: Path) -> None:
    parents = [write_run(tmp_path, pretraining(seed=seed)) for seed in range(3)]
    wanted, damaged, orphan = (
        write_run(tmp_path, evaluation(pretraining(seed=seed)), parents=(parents[seed],)) for seed in range(3)
    )
    (tmp_path / damaged / "record.json").write_text("{")
    (tmp_path / parents[2] / "record.json").write_text("{")
    (tmp_path / "a copy").mkdir()
    (tmp_path / "a copy" / "record.json").write_text("{")
    for run_ids in ([wanted], [damaged], [orphan], [wanted, parents[1], "a copy"], None):
        for _ in range(2):
            assert load_rows(tmp_path, run_ids)[1] == load_runs(tmp_path, run_ids).problems
    assert load_rows(tmp_path, [wanted])[1] == ()
    assert [problem.split()[0] for problem in load_rows(tmp_path, [orphan])[1]] == [parents[2]]
