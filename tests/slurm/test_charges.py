"""Hours that the scheduler charged, worked out by hand from rows as ``sacct`` prints them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from slurm.job import Charge, JobState
from slurm.scheduler.charges import charged_hours
from slurm.scheduler.commands import Row
from slurm.scheduler.ledger import Ledger
from slurm.scheduler.queue import Queue
from slurm.scheduler.reports import read_reports
from tests.slurm.test_queue import stand_in

US = os.getuid()


@pytest.mark.parametrize(
    ("allocated", "seconds", "hours"),
    [
        ("billing=16,cpu=16,gres/gpu=4,mem=64G,node=1", "5400", (6.0, 0.0)),
        ("billing=16,cpu=16,gres/gpu:a100=4,gres/gpu=4,mem=64G,node=1", "5400", (6.0, 0.0)),
        ("cpu=16,gres/gpu:a100=3,gres/gpu:h100=1,node=2", "5400", (6.0, 0.0)),
        ("billing=8,cpu=8,gres/gpumem=80G,mem=64G,node=1", "900", (0.0, 2.0)),
        ("", "0", (0.0, 0.0)),
        ("", "900", None),
        ("mem=64G,node=1", "900", None),
        ("cpu=8,node=1", "", None),
    ],
)
def test_hours_are_those_of_gpus_or_else_of_processors(
    allocated: str, seconds: str, hours: tuple[float, float] | None
) -> None:
    row = Row("7", "first", "COMPLETED", "", "0", "2026-01-01T00:00:00", seconds, allocated)
    assert charged_hours([row]) == hours
    assert charged_hours([row, row]) == (None if hours is None else tuple(2 * each for each in hours))


def account(folder: Path, *rows: str, squeue: str = "true") -> None:
    """``sacct`` prints these rows, and counts how often it was asked in ``asked``."""
    lines = "; ".join(f"echo '{row}'" for row in rows) or "true"
    stand_in(folder, squeue=squeue, sacct=f"echo >>'{folder / 'asked'}'; {lines}")


def row(number: str, state: str, hour: int, seconds: int, name: str = "first", held: str = "cpu=2,gres/gpu=1") -> str:
    return f"{number}|{state}|{US}|2026-01-01T{hour:02}:00:00|{seconds}|{held}|{name}"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Runs ``a`` and ``b`` were submitted as an array, job 7, whose name is ``first``."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    submit(tmp_path, "first", "7", "a", "b")
    return tmp_path


def submit(folder: Path, name: str, number: str, *run_ids: str) -> None:
    ledger = Ledger(folder)
    ledger.intend(name, run_ids)
    ledger.accepted(name, number)


def charges(folder: Path) -> dict[str, Charge | None]:
    return {run_id: told.charge for run_id, told in read_reports(folder, fresh=True).items()}


def test_a_requeued_job_is_charged_for_each_time_it_ran(folder: Path) -> None:
    """``sacct`` gives the later row first."""
    account(folder, row("7_0", "COMPLETED", 3, 3600), row("7_0", "PREEMPTED", 1, 1800), row("7_1", "RUNNING", 1, 99))
    assert charges(folder) == {"a": Charge(1.5, True, frozenset({"7_0"})), "b": None}
    assert read_reports(folder)["a"].state is JobState.DONE


def test_accounts_are_asked_once_about_jobs_that_the_queue_saw_end(folder: Path) -> None:
    queue = "echo '7_0|COMPLETED|None|first'; echo '7_1|FAILED|None|first'"
    account(folder, row("7_0", "COMPLETED", 1, 3600), row("7_1", "RUNNING", 1, 3600), squeue=queue)
    assert charges(folder) == {"a": Charge(1.0, True, frozenset({"7_0"})), "b": None}
    account(folder, row("7_0", "COMPLETED", 1, 3600), row("7_1", "FAILED", 1, 7200), squeue=queue)
    assert charges(folder)["b"] == Charge(2.0, True, frozenset({"7_1"})), "its end has reached the accounts"
    for _ in range(3):
        assert charges(folder)["b"] == Charge(2.0, True, frozenset({"7_1"}))
    assert len((folder / "asked").read_text().splitlines()) == 2


def test_hours_of_a_job_that_is_back_in_the_queue_are_asked_for_anew(folder: Path) -> None:
    account(folder, row("7_0", "FAILED", 1, 3600), row("7_1", "COMPLETED", 1, 3600))
    assert charges(folder)["a"] == Charge(1.0, True, frozenset({"7_0"}))
    account(folder, squeue="echo '7_0|PENDING|BeginTime|first'")
    assert charges(folder)["a"] is None
    account(folder, row("7_0", "FAILED", 1, 3600), row("7_0", "COMPLETED", 2, 3600), row("7_1", "COMPLETED", 1, 3600))
    assert charges(folder)["a"] == Charge(2.0, True, frozenset({"7_0"}))


def test_a_run_that_was_submitted_again_is_charged_for_all_its_jobs(folder: Path) -> None:
    """Element 7_1 was cancelled before it started, and SLURM has forgotten it."""
    submit(folder, "second", "9", "a", "b")
    again = [row("9_0", "COMPLETED", 5, 3600, "second"), row("9_1", "COMPLETED", 5, 3600, "second")]
    account(folder, row("7_0", "FAILED", 1, 1800), *again)
    found = charges(folder)
    assert found["a"] == Charge(1.5, True, frozenset({"7_0", "9_0"}))
    assert found["b"] == Charge(1.0, True, frozenset({"7_1", "9_1"}))


def test_gpus_and_processors_are_not_added(folder: Path) -> None:
    submit(folder, "second", "9", "a")
    account(folder, row("7_0", "FAILED", 1, 1800), row("9", "COMPLETED", 5, 3600, "second", "cpu=8"))
    assert charges(folder)["a"] is None


@pytest.mark.parametrize("sacct", ["echo 'Slurm accounting storage is disabled' >&2; exit 1", "true"])
def test_accounts_that_know_nothing_are_asked_once(folder: Path, sacct: str) -> None:
    queue = "echo '7_0|COMPLETED|None|first'; echo '7_1|COMPLETED|None|first'"
    stand_in(folder, squeue=queue, sacct=f"echo >>'{folder / 'asked'}'; {sacct}")
    assert charges(folder) == charges(folder) == {"a": None, "b": None}
    assert len((folder / "asked").read_text().splitlines()) == 1


def test_accounts_that_do_not_answer_change_no_state(folder: Path) -> None:
    queue = "echo '7_0|COMPLETED|None|first'; echo '7_1|FAILED|None|first'"
    stand_in(folder, squeue=queue, sacct="exit 1")
    views = Queue(folder).views(fresh=True)
    assert {run_id: view.detail for run_id, view in views.items()} == {"a": "COMPLETED", "b": "FAILED"}
    assert charges(folder) == {"a": None, "b": None}
    account(folder, row("7_0", "COMPLETED", 1, 3600), row("7_1", "FAILED", 1, 3600), squeue=queue)
    assert charges(folder)["a"] == Charge(1.0, True, frozenset({"7_0"}))


@pytest.mark.parametrize("damage", ["1", '"x"', "[1.0]", '["x", 0.0]', "{}"])
def test_damaged_hours_are_asked_for_anew(folder: Path, damage: str) -> None:
    account(folder, row("7_0", "COMPLETED", 1, 3600), row("7_1", "COMPLETED", 1, 3600))
    charged = charges(folder)
    file = folder / "queue.json"
    assert "[1.0, 0.0]" in file.read_text()
    file.write_text(file.read_text().replace("[1.0, 0.0]", damage))
    assert charges(folder) == charged
