"""``opera-bench logs`` of a run whose SLURM job never got as far as the run's own log."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.commands.logs import SECONDS_BETWEEN_READS
from slurm.scheduler.ledger import Ledger
from tests.conftest import Ended
from tests.results.synthetic import pretraining, run_id_of, write_run

RUN = run_id_of(pretraining())


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """One run, third of an array that was submitted now, which SLURM has logs of."""
    runs = tmp_path / "rüns of 'one' sweep"
    assert write_run(runs, pretraining(), state="planned") == RUN
    (runs / RUN / "logs").mkdir()
    ledger = Ledger(runs / ".slurm")
    ledger.intend("first", ["a", "b", RUN])
    ledger.accepted("first", "7")
    (runs / ".slurm" / "first").mkdir()
    for name in ("7_1_0", "7_2_0", "7_2_1", "7_20_0"):
        (runs / ".slurm" / "first" / f"{name}_log.out").write_text(f"kept of {name}\n")
    return runs


def test_what_slurm_kept_is_shown(command: Callable[..., Ended], runs: Path) -> None:
    shown = command("logs", RUN, "--runs", runs)
    assert shown.status == 0
    assert shown.out == "kept of 7_2_0\nkept of 7_2_1\n"
    assert "7_2_0_log.out" in shown.err


def test_it_follows_the_log_of_an_earlier_attempt(command: Callable[..., Ended], runs: Path) -> None:
    own = runs / RUN / "logs" / "job.log"
    own.write_text("an attempt of an hour ago\n")
    os.utime(own, (time.time() - 3600,) * 2)
    assert command("logs", RUN, "--runs", runs).out == "an attempt of an hour ago\nkept of 7_2_0\nkept of 7_2_1\n"


def test_a_job_that_got_to_its_own_log_has_said_all_there(command: Callable[..., Ended], runs: Path) -> None:
    (runs / RUN / "logs" / "job.log").write_text("its own\n")
    assert command("logs", RUN, "--runs", runs).out == "its own\n"


def test_what_killed_a_job_in_its_own_log_is_known_to_slurm_alone(
    command: Callable[..., Ended], runs: Path, scheduler_says: Callable[[str], None]
) -> None:
    (runs / RUN / "logs" / "job.log").write_text("its own\n")
    scheduler_says("7_2|OUT_OF_MEMORY|None|first")
    assert command("logs", RUN, "--runs", runs).out == "its own\nkept of 7_2_0\nkept of 7_2_1\n"


def test_a_run_that_nobody_submitted_has_no_log(command: Callable[..., Ended], runs: Path) -> None:
    (runs / "other").mkdir()
    (runs / "other" / "config.yaml").write_text("{}")
    shown = command("logs", "other", "--runs", runs)
    assert (shown.out, "has not started" in shown.err) == ("", True)


@pytest.fixture
def scheduler_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Have ``squeue`` print this line of its format; ``sacct`` knows nothing."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def say(line: str) -> None:
        for name, script in (("squeue", f"echo '{line}'"), ("sacct", "true")):
            (folder / name).write_text(f"#!/bin/sh\n{script}\n")
            (folder / name).chmod(0o755)

    return say


@pytest.mark.parametrize(
    ("line", "end"),
    [
        ("7_2|CANCELLED|None|first", "cancelled: SLURM job 7_2 was cancelled"),
        ("7_2|FAILED|NonZeroExitCode|first", "failed: SLURM job 7_2: FAILED"),
        ("7_2|PENDING|DependencyNeverSatisfied|first", "failed: SLURM job 7_2 can never start"),
        (
            "7_2|RUNNING|None|somebody-else",
            "unknown: SLURM has no record of job 7_2; if it did not finish: opera-bench retry",
        ),
    ],
)
def test_following_a_run_that_will_not_begin_ends(
    command: Callable[..., Ended], runs: Path, scheduler_says: Callable[[str], None], line: str, end: str
) -> None:
    scheduler_says(line)
    shown = command("logs", RUN, "--runs", runs, "--follow")
    assert shown.out == "kept of 7_2_0\nkept of 7_2_1\n"
    assert shown.err.splitlines()[-1].startswith(f"{RUN}: {end}")


def test_following_a_run_whose_configuration_was_edited_ends(
    command: Callable[..., Ended], runs: Path, scheduler_says: Callable[[str], None]
) -> None:
    (runs / RUN / "config.yaml").write_text("{stage: pretrain, parents: [], config: {}}")
    scheduler_says("7_2|CANCELLED|None|first")
    assert command("logs", RUN, "--runs", runs, "--follow").err.splitlines()[-1].startswith(f"{RUN}: ")


def test_following_waits_for_a_job_that_waits(
    command: Callable[..., Ended],
    runs: Path,
    scheduler_says: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It begins, says something and fails while the follower looks away."""
    looks: list[float] = []
    sleep = time.sleep

    def look_away(seconds: float) -> None:
        if seconds != SECONDS_BETWEEN_READS:  # a subprocess is waited for
            sleep(seconds)
            return
        looks.append(seconds)
        if len(looks) == 3:
            (runs / RUN / "logs" / "job.log").write_text("its own\n")
            (runs / RUN / "failure.json").write_text('{"error": "ValueError: no luck"}')

    scheduler_says("7_2|PENDING|Priority|first")
    monkeypatch.setattr(time, "sleep", look_away)
    shown = command("logs", RUN, "--runs", runs, "--follow")
    assert shown.out == "its own\n"
    waiting, end = shown.err.splitlines()
    assert waiting == f"{RUN} has not started; waiting for its log"
    assert end == f"{RUN}: failed: ValueError: no luck"
    assert len(looks) == 3
