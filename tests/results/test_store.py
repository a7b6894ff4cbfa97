"""Reading run directories: states, parents, and what is damaged."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

import results
from results.errors import InputError
from results.runs import RunState
from results.seal import seal
from results.store import Run, load_runs, resolve
from tests.results.synthetic import evaluation, pretraining, write_run


def only(runs: Path, run_id: str) -> Run:
    return next(run for run in load_runs(runs).runs if run.run_id == run_id)


@pytest.mark.parametrize("state", ["planned", "running", "unknown", "done", "failed", "cancelled"])
def test_the_state_of_a_run_alone(tmp_path: Path, state: str) -> None:
    run_id = write_run(tmp_path, pretraining(), state=state)
    run = only(tmp_path, run_id)
    assert run.state == RunState(state)
    assert run.stage == "pretrain"
    assert run.config["pretrain"]["method"] == "opera"
    assert (run.record is not None) == (state == "done")
    assert (run.reason is not None) == (state in ("failed", "unknown"))


def test_a_failure_gives_its_message(tmp_path: Path) -> None:
    run_id = write_run(tmp_path, pretraining(), state="failed", error="out of memory\non device 0")
    assert only(tmp_path, run_id).reason == "out of memory"


@pytest.mark.parametrize(
    ("parent_state", "expected"),
    [
        ("planned", RunState.WAITING),
        ("running", RunState.WAITING),
        ("unknown", RunState.WAITING),
        ("done", RunState.PLANNED),
        ("failed", RunState.FAILED),
        ("cancelled", RunState.FAILED),
    ],
)
def test_a_planned_run_takes_its_state_from_its_parent(tmp_path: Path, parent_state: str, expected: RunState) -> None:
    parent = write_run(tmp_path, pretraining(), state=parent_state)
    child = write_run(tmp_path, evaluation(pretraining()), state="planned", parents=(parent,))
    run = only(tmp_path, child)
    assert run.state == expected
    assert run.reason == (f"parent {parent} {parent_state}" if expected is RunState.FAILED else None)


def test_failure_passes_to_grandchildren_but_not_to_what_is_done(tmp_path: Path) -> None:
    first = write_run(tmp_path, pretraining(seed=1), state="failed")
    second = write_run(tmp_path, pretraining(seed=2), state="planned", parents=(first,))
    third = write_run(tmp_path, evaluation(pretraining(seed=2)), state="planned", parents=(second,))
    finished = write_run(tmp_path, evaluation(pretraining(seed=1)), parents=(first,))
    assert only(tmp_path, third).reason == f"parent {second} failed"
    assert only(tmp_path, finished).state is RunState.DONE


def test_parents_outside_the_asked_ids_still_count(tmp_path: Path) -> None:
    parent = write_run(tmp_path, pretraining(), state="failed")
    child = write_run(tmp_path, evaluation(pretraining()), state="planned", parents=(parent,))
    write_run(tmp_path, pretraining(seed=5))
    store = load_runs(tmp_path, [child, "never-written"])
    assert [(run.run_id, run.state) for run in store.runs] == [(child, RunState.FAILED)]


def test_a_missing_parent_is_waited_for(tmp_path: Path) -> None:
    child = write_run(tmp_path, evaluation(pretraining()), state="planned", parents=("pretrain-gone",))
    assert only(tmp_path, child).state is RunState.WAITING


def test_circular_parents_do_not_hang(tmp_path: Path) -> None:
    child = only(tmp_path, write_run(tmp_path, pretraining(), state="planned", parents=("x",)))
    assert resolve({child.run_id: replace(child, parents=(child.run_id,))})[child.run_id].state is RunState.WAITING


def test_a_damaged_record_is_a_problem_and_not_an_error(tmp_path: Path) -> None:
    good = write_run(tmp_path, pretraining(seed=1))
    bad = write_run(tmp_path, pretraining(seed=2))
    record = tmp_path / bad / "record.json"
    record.write_text(record.read_text()[:200])
    store = load_runs(tmp_path)
    assert [(run.run_id, run.state) for run in store.runs] == sorted([(good, RunState.DONE), (bad, RunState.DAMAGED)])
    assert len(store.problems) == 1
    assert str(record) in store.problems[0]
    with pytest.warns(UserWarning, match="damaged"):
        assert set(results.load(tmp_path)["state"]) == {"done", "damaged"}


def test_a_record_of_a_newer_schema_says_so(tmp_path: Path) -> None:
    run_id = write_run(tmp_path, pretraining())
    record = tmp_path / run_id / "record.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "schema_version": 99, "mood": "good"}))
    (problem,) = load_runs(tmp_path).problems
    assert "schema 99" in problem
    assert "upgrade" in problem


def test_a_foreign_record_is_not_taken_for_the_directory(tmp_path: Path) -> None:
    original, copy = write_run(tmp_path, pretraining(seed=1)), write_run(tmp_path, pretraining(seed=2))
    (tmp_path / copy / "record.json").write_text((tmp_path / original / "record.json").read_text())
    (problem,) = load_runs(tmp_path).problems
    assert f"another run, {original}" in problem


@pytest.mark.parametrize("text", ["", "a: [", "just words", "stage: 3\nconfig: {}\nparents: []", "\x00"])
def test_an_unreadable_configuration_is_a_problem(tmp_path: Path, text: str) -> None:
    run_id = write_run(tmp_path, pretraining(), state="planned")
    (tmp_path / run_id / "config.yaml").write_text(text)
    store = load_runs(tmp_path)
    assert [(run.run_id, run.state) for run in store.runs] == [(run_id, RunState.DAMAGED)]
    (problem,) = store.problems
    assert str(tmp_path / run_id / "config.yaml") in problem


def test_other_directories_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "report").mkdir()
    (tmp_path / "notes.txt").write_text("hello")
    assert load_runs(tmp_path) == type(load_runs(tmp_path))((), ())


def test_no_runs_directory(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such directory"):
        load_runs(tmp_path / "nowhere")


def test_a_record_with_a_number_that_is_none_is_listed_not_fatal(tmp_path: Path) -> None:
    run_id = write_run(tmp_path, pretraining(), state="done", metrics={"loss": 1.5})
    record = tmp_path / run_id / "record.json"
    content = json.loads(record.read_text()) | {"metrics": {"loss": float("nan")}}
    del content["sha256"]
    record.write_text(seal(json.dumps(content)))
    (problem,) = load_runs(tmp_path).problems
    assert "metrics.loss" in problem
    assert "opera-bench retry" in problem
