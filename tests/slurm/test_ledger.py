"""The ledger of submissions, whatever a kill left of it."""

from __future__ import annotations

import multiprocessing
import time
from pathlib import Path

import pytest

from slurm.scheduler.ledger import Ledger


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "ledger.jsonl"


@pytest.fixture
def ledger(file: Path) -> Ledger:
    return Ledger(file.parent)


def test_the_last_submission_of_a_job_counts_and_array_elements_have_their_index(ledger: Ledger) -> None:
    ledger.intend("first", ["a", "b", "c"])
    ledger.accepted("first", "10")
    ledger.intend("second", ["b"])
    ledger.accepted("second", "11")
    latest = ledger.latest()
    assert {job: (entry.name, entry.slurm_id) for job, entry in latest.items()} == {
        "a": ("first", "10_0"),
        "b": ("second", "11"),
        "c": ("first", "10_2"),
    }


def test_a_refused_submission_leaves_the_one_before(ledger: Ledger) -> None:
    ledger.intend("first", ["a"])
    ledger.accepted("first", "10")
    ledger.intend("second", ["a", "b"])
    ledger.refused("second")
    assert {job: entry.name for job, entry in ledger.latest().items()} == {"a": "first"}


def test_an_intent_without_an_answer_is_kept_without_a_number(ledger: Ledger) -> None:
    ledger.intend("cut-off", ["a", "b"])
    assert [(each.slurm_id, each.refused) for each in ledger.submissions()] == [(None, False)]
    assert {entry.slurm_id for entry in ledger.latest().values()} == {None}
    ledger.accepted("cut-off", "12")
    assert {entry.slurm_id for entry in ledger.latest().values()} == {"12_0", "12_1"}


def test_every_length_of_a_half_written_line_is_survived(ledger: Ledger, file: Path) -> None:
    """As a kill or a full disk leaves it; the next line starts on its own."""
    ledger.intend("first", ["a"])
    ledger.accepted("first", "10")
    whole = file.read_bytes()
    ledger.intend("second", ["b"])
    written = file.read_bytes()
    for length in range(len(whole), len(written) - 1):
        file.write_bytes(written[:length])
        assert list(ledger.latest()) == ["a"]
        ledger.intend("third", ["c"])
        ledger.accepted("third", "13")
        assert {job: entry.slurm_id for job, entry in ledger.latest().items()} == {"a": "10", "c": "13"}


def test_lines_that_say_nothing_are_skipped(ledger: Ledger, file: Path) -> None:
    ledger.intend("first", ["a"])
    with file.open("a") as opened:
        opened.write('\n[]\n{"no": "name"}\nnull\n{"name": "never intended", "slurm_id": "9"}\n')
        opened.write('{"name": "no zone", "job_ids": ["b"], "at": "2026-01-01T00:00:00"}\n')
        opened.write('{"name": "no zone", "refused": true}\n')
    assert list(ledger.latest()) == ["a"]
    assert ledger.given_up() == set()


def _submit_alone(folder: Path, number: int) -> None:
    ledger = Ledger(folder)
    with ledger.locked():
        if not ledger.latest():
            time.sleep(0.1)  # long enough for all the others to look, if they could
            ledger.intend(f"batch-{number}", ["a"])
            ledger.accepted(f"batch-{number}", str(number))


def test_commands_that_submit_at_the_same_moment_take_turns(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_submit_alone, args=(tmp_path, number)) for number in range(8)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
    assert [process.exitcode for process in processes] == [0] * 8
    assert len(Ledger(tmp_path).submissions()) == 1
